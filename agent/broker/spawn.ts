/**
 * How does an agent in a checkout come by its broker? It starts one as its child, starts it anew when it dies, and asks it
 * over its socket as it would ask an installed one. It holds nothing of the broker's: no TPM, no key.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { setTimeout as delay } from "node:timers/promises"
import { type Caller, CallFailed, openCaller } from "../../local/call.ts"
import { entryPoint } from "../../local/entry.ts"
import { withLevel } from "../../local/journal.ts"
import { verbs } from "./verbs.ts"

/** A socket at which a broker answers, or will. */
export type BrokerSocket = {
  readonly socket: string
  /** milliseconds until a call is given up; the broker's own deadline for a TPM command is shorter */
  readonly callDeadline: number
  /** milliseconds to wait for a broker that is starting */
  readonly patience: number
}

export type SpawnOptions = BrokerSocket & {
  readonly state: string
  readonly tcti: string
  readonly pcr: number
  readonly softwareTpm: boolean
  /** a file with the EK's certificate, or "" */
  readonly ekCertificate: string
  /** milliseconds that one TPM command may take */
  readonly deadline: number
  /** milliseconds between the death of a broker and the start of the next */
  readonly pause: number
}

export type SpawnedBroker = Omit<Caller<typeof verbs>, "close"> & {
  /** of the broker that runs now, or 0 */
  readonly pid: () => number
  /** Ends the broker, and resolves when it has ended. */
  close(): Promise<void>
}

export const spawnDefaults = {
  ekCertificate: "",
  pcr: 23,
  deadline: 10_000,
  pause: 1000,
  callDeadline: 120_000,
  patience: 30_000,
} as const

/** Calls on a broker at `socket`, whoever runs it. Each call is a connection of its own, so that none outlives a broker. */
export function brokerAt({ socket, callDeadline, patience }: BrokerSocket): Omit<Caller<typeof verbs>, "close"> {
  return {
    call: async (verb, given) => {
      const caller = await openWithin(socket, callDeadline, patience)
      try {
        return await caller.call(verb, given)
      } finally {
        caller.close()
      }
    },
  }
}

/** Starts a broker and keeps one running until it is closed. */
export function spawnBroker(options: SpawnOptions): SpawnedBroker {
  const closing = new AbortController()
  let child: ChildProcess | undefined
  const kept = keepRunning(options, closing.signal, started => (child = started))
  return {
    ...brokerAt(options),
    pid: () => (child && isRunning(child) ? (child.pid ?? 0) : 0),
    async close() {
      closing.abort()
      child?.kill("SIGTERM")
      const late = setTimeout(() => child?.kill("SIGKILL"), options.deadline + 5000)
      await kept
      clearTimeout(late)
    },
  }
}

const isRunning = (child: ChildProcess): boolean => child.exitCode === null && child.signalCode === null

async function keepRunning(
  options: SpawnOptions,
  closing: AbortSignal,
  started: (child: ChildProcess) => void,
): Promise<void> {
  while (!closing.aborted) {
    const child = start(options)
    started(child)
    const how = await endOf(child)
    if (closing.aborted) return
    process.stderr.write(withLevel("warning", `assay: agent: the broker ended (${how}) and is started anew\n`))
    await delay(options.pause, undefined, { signal: closing }).catch(() => undefined)
  }
}

/** The pipe to its stdin ends with this process, however that ends, and the broker with it. */
function start({ socket, state, tcti, pcr, deadline, softwareTpm, ekCertificate }: SpawnOptions): ChildProcess {
  const numbers = ["--pcr", String(pcr), "--deadline", String(deadline)]
  const args = ["--socket", socket, "--state", state, "--tcti", tcti, ...numbers, "--attached"]
  if (softwareTpm) args.push("--software-tpm")
  if (ekCertificate !== "") args.push("--ek-certificate", ekCertificate)
  return spawn(process.execPath, [entryPoint("broker"), ...args], { stdio: ["pipe", "ignore", "inherit"] })
}

function endOf(child: ChildProcess): Promise<string> {
  return new Promise(resolve => {
    child.once("error", error => resolve(error.message))
    child.once("exit", (code, signal) => resolve(signal ?? `exit status ${code}`))
  })
}

async function openWithin(socket: string, callDeadline: number, patience: number): Promise<Caller<typeof verbs>> {
  const until = Date.now() + patience
  for (;;) {
    try {
      return await openCaller(socket, verbs, callDeadline)
    } catch (error) {
      if (!(error instanceof CallFailed) || Date.now() > until) throw error
      await delay(20)
    }
  }
}
