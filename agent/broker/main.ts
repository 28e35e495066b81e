/** The broker as a process: its arguments, its socket, its signals, and how it ends. What it does: `broker.ts`. */
import type { Server, Socket } from "node:net"
import { parseArgs } from "node:util"
import { connectionsOf, isActivated, listenActivated } from "../../local/activation.ts"
import { listenLocal, serveVerbs } from "../../local/call.ts"
import { type Broker, type BrokerSettings, openBroker } from "./broker.ts"
import { Fault, faultOf, LastingFault, say } from "./fault.ts"
import { openState } from "./state.ts"
import { verbs } from "./verbs.ts"

/** sysexits.h: what a supervisor may read from how the broker ended. */
const exit = { usage: 64, temporary: 75, configuration: 78 } as const

type Options = BrokerSettings & {
  readonly socket: string
  /** octal; 0660 lets the socket's group in */
  readonly mode: number
  /** end when stdin ends: whoever started the broker is gone */
  readonly attached: boolean
}

const usage =
  "broker --socket PATH --state DIR --tcti device:/dev/tpmrm0 [--pcr 23] [--mode 600|660] [--deadline MILLISECONDS] [--ek-certificate FILE] [--software-tpm] [--attached]"

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      socket: { type: "string", default: "" },
      state: { type: "string", default: "" },
      tcti: { type: "string", default: "device:/dev/tpmrm0" },
      pcr: { type: "string", default: "23" },
      mode: { type: "string", default: "600" },
      deadline: { type: "string", default: "10000" },
      "ek-certificate": { type: "string", default: "" },
      "software-tpm": { type: "boolean", default: false },
      attached: { type: "boolean", default: false },
    },
  })
  const { socket, state, tcti, attached } = values
  if (state === "") throw new Fault("--state is missing", usage)
  if (socket === "" && !isActivated()) throw new Fault("--socket is missing", usage)
  if (!/^6[06]0$/.test(values.mode)) throw new Fault(`--mode ${values.mode} is neither 600 nor 660`, usage)
  const [pcr, deadline] = [wholeNumber("pcr", values.pcr, 23), wholeNumber("deadline", values.deadline, 3_600_000)]
  const mode = Number.parseInt(values.mode, 8)
  const ekCertificate = values["ek-certificate"]
  return { socket, state, tcti, pcr, deadline, mode, attached, ekCertificate, softwareTpm: values["software-tpm"] }
}

function wholeNumber(name: string, text: string, most: number): number {
  const value = /^\d{1,7}$/.test(text) ? Number(text) : Number.NaN
  if (value <= most) return value
  throw new Fault(`--${name} ${text} is no number up to ${most}`, usage)
}

/** Ends connections once what was written to them is gone, or after a second. */
async function endAll(server: Server, open: ReadonlySet<Socket>): Promise<void> {
  server.close()
  await new Promise(resolve => setTimeout(resolve, 50)) // answers that are on their way are written first
  const ended = [...open].map(socket => new Promise(resolve => socket.once("close", resolve).end()))
  const late = new Promise(resolve => setTimeout(resolve, 1000))
  await Promise.race([Promise.all(ended), late])
  for (const socket of open) socket.destroy()
}

async function endAfterLoss(broker: Broker, server: Server, open: ReadonlySet<Socket>, fault: Fault): Promise<void> {
  say(fault.message, fault.hint)
  await endAll(server, open)
  end(exit.temporary, broker.hung())
}

/** A hung TPM command holds a thread for which process.exit() would wait: then only a signal ends this process. */
function end(code: number, hung: boolean): void {
  if (hung) process.kill(process.pid, "SIGKILL")
  process.exit(code)
}

/** One broker to a directory: a second one, on another socket, would write into the first one's log. */
async function lock(state: string): Promise<Server> {
  const { pathOf } = await openState(state)
  return listenLocal(pathOf("lock"), 0o600)
}

async function run(options: Options): Promise<void> {
  const held = await lock(options.state)
  const broker = await openBroker(options)
  const server = await listenActivated(options.socket, options.mode)
  const open = connectionsOf(server)
  serveVerbs(server, verbs, broker.handlers)
  void broker.lost.then(fault => endAfterLoss(broker, server, open, fault))
  let stopping = false
  const stop = async (): Promise<void> => {
    if (stopping) return
    stopping = true
    server.close()
    await broker.stop()
    await endAll(server, open)
    held.close()
    end(0, broker.hung())
  }
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => void stop())
  if (options.attached) process.stdin.once("end", () => void stop()).resume()
}

/** Codes of node-tpm2 that only a person mends. */
const lasting: ReadonlySet<string> = new Set([
  "TPM_TCTI_REFUSED",
  "TPM_LIBRARY_MISSING",
  "TPM_NAME_MISMATCH",
  "TPM_RC_LOCALITY",
])

function explain(error: unknown): void {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  const { message, hint } = faultOf(error)
  say(message, hint)
  const lasts = error instanceof LastingFault || lasting.has(code)
  end(lasts ? exit.configuration : exit.temporary, code === "TPM_HUNG")
}

try {
  const options = readOptions(process.argv.slice(2))
  await run(options).catch(explain)
} catch (error) {
  const { message, hint } = faultOf(error)
  say(message, hint === "" ? usage : hint)
  process.exit(exit.usage)
}
