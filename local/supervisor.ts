/**
 * How does a process tell systemd how it stands? sd_notify(3): a datagram to the socket that the environment names. Node has no
 * Unix datagrams, so systemd's own program sends it, one message after another. What is told when: whoever runs the process.
 */
import { spawn } from "node:child_process"
import { setTimeout as delay } from "node:timers/promises"

/** systemd, or whoever stands for it. */
export type Supervisor = {
  /** milliseconds within which it must hear of progress, or else ends the process */
  readonly patience: number | "endless"
  /** Sends variables of sd_notify(3) as one message, after those that were told before. */
  readonly tell: (...variables: readonly string[]) => void
}

/** A process that nobody supervises tells nobody. */
export const nobody: Supervisor = Object.freeze({ patience: "endless", tell: () => undefined })

const program = "/usr/bin/systemd-notify"

type Environment = Readonly<Record<string, string | undefined>>

/** Who supervises the process `pid` with this environment: systemd.exec(5), $NOTIFY_SOCKET and $WATCHDOG_USEC. */
export function supervisorOf(environment: Environment, pid = process.pid): Supervisor {
  const socket = environment["NOTIFY_SOCKET"]
  if (socket === undefined || socket === "") return nobody
  let last = Promise.resolve()
  return {
    patience: patienceOf(environment, pid),
    tell: (...variables) => {
      last = last.then(() => sendSurely(socket, variables))
    },
  }
}

function patienceOf(environment: Environment, pid: number): number | "endless" {
  const meant = environment["WATCHDOG_PID"]
  const microseconds = Number(environment["WATCHDOG_USEC"])
  const ours = meant === undefined || meant === String(pid)
  return ours && Number.isSafeInteger(microseconds) && microseconds > 0 ? microseconds / 1000 : "endless"
}

/** How often a message is sent before it is given up, and milliseconds between. */
const tries = 10
const pause = 1000

/**
 * systemd-notify waits until systemd has heard it, since a message whose sender has ended meanwhile belongs to no service. A
 * system under load may be too slow for its five seconds: then it is sent again, which does no harm where it was heard.
 */
async function sendSurely(socket: string, variables: readonly string[]): Promise<void> {
  for (let attempt = 1; attempt <= tries; attempt++) {
    const problem = await send(socket, variables)
    if (problem === "") return
    if (attempt === tries)
      process.stderr.write(`assay: error: systemd was not told ${variables.join(" ")}: ${problem}\n`)
    else await delay(pause, undefined, { ref: false })
  }
}

/** Why it could not be sent, or "". */
function send(socket: string, variables: readonly string[]): Promise<string> {
  const child = spawn(program, variables, { env: { NOTIFY_SOCKET: socket }, stdio: ["ignore", "ignore", "pipe"] })
  let said = ""
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = `${said}${text}`.slice(0, 300)
  })
  return new Promise(resolve => {
    child.once("error", error => resolve(error.message))
    child.once("close", code => resolve(code === 0 ? "" : said.trim() || `${program} ended with ${code}`))
  })
}

/** Tells `supervisor` thrice in its patience that there is progress, as long as `moves` says so. Gives what ends it. */
export function keepTelling({ patience, tell }: Supervisor, moves: () => boolean): () => void {
  if (patience === "endless") return () => undefined
  const timer = setInterval(() => {
    if (moves()) tell("WATCHDOG=1")
  }, patience / 3)
  return () => clearInterval(timer)
}
