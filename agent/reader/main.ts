/**
 * The reader as a process: its arguments, its socket and how it ends. It has the right to look at every process and file, no
 * network and no other right, and serves the closed list of verbs.ts to whom the socket's mode lets in.
 */
import { readFileSync } from "node:fs"
import type { Server } from "node:net"
import { parseArgs } from "node:util"
import { connectionsOf, isActivated, listenActivated } from "../../local/activation.ts"
import { serveVerbs } from "../../local/call.ts"
import { BadConfiguration } from "../../local/configuration.ts"
import { readConfiguration, type Weights } from "../config.ts"
import { handlersFor } from "./reader.ts"
import { verbs } from "./verbs.ts"

/** sysexits.h: what a supervisor may read from how the reader ended. */
const exit = { usage: 64, temporary: 75, configuration: 78 } as const
const usage = "reader --socket PATH [--config FILE] [--mode 600|660] [--idle SECONDS] [--attached]"
/** The agent asks one question at a time; a command by hand may ask beside it. */
const mostConnections = 8

class Misuse extends Error {}

type Options = {
  readonly socket: string
  readonly mode: number
  readonly weights: readonly Weights[]
  /** seconds without a question after which a reader that systemd starts again ends; 0: never */
  readonly idle: number
  /** end when stdin ends: whoever started the reader is gone */
  readonly attached: boolean
}

function readOptions(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      socket: { type: "string", default: "" },
      config: { type: "string", default: "" },
      mode: { type: "string", default: "600" },
      idle: { type: "string", default: "0" },
      attached: { type: "boolean", default: false },
    },
  })
  const { socket, config, mode, idle, attached } = values
  if (socket === "" && !isActivated()) throw new Misuse("--socket is missing")
  if (!/^6[06]0$/.test(mode)) throw new Misuse(`--mode ${mode} is neither 600 nor 660`)
  if (!/^\d{1,6}$/.test(idle)) throw new Misuse(`--idle ${idle} is no number of seconds`)
  const weights = config === "" ? [] : readConfiguration(textOf(config), {}).weights
  return { socket, mode: Number.parseInt(mode, 8), weights, idle: Number(idle), attached }
}

/** Where there is no such file every default holds, as for the agent. */
function textOf(path: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return ""
    throw error
  }
}

async function run({ socket, mode, weights, idle, attached }: Options): Promise<void> {
  const server = await listenActivated(socket, mode)
  server.maxConnections = mostConnections
  const open = connectionsOf(server)
  serveVerbs(server, verbs, handlersFor(weights))
  const stop = (): void => {
    server.close()
    for (const each of open) each.destroy()
    process.exit(0)
  }
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, stop)
  if (attached) process.stdin.once("end", stop).resume()
  if (idle > 0) endWhenIdle(idle, server, open, stop)
}

/** Whoever asks next is served by another one: systemd keeps the socket. */
function endWhenIdle(seconds: number, server: Server, open: ReadonlySet<unknown>, stop: () => void): void {
  const timer = setTimeout(() => (open.size === 0 ? stop() : timer.refresh()), seconds * 1000)
  server.on("connection", () => timer.refresh())
}

const say = (message: string, hint: string): void =>
  void process.stderr.write(`assay: error: reader: ${message}\nassay: hint: ${hint}\n`)

function fail(error: unknown): never {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof BadConfiguration) {
    say(message, error.hint)
    process.exit(exit.configuration)
  }
  const misused = error instanceof Misuse || (error instanceof TypeError && "code" in error)
  say(message, misused ? usage : "look at the socket's folder, and at the rights of this process")
  process.exit(misused ? exit.usage : exit.temporary)
}

try {
  await run(readOptions(process.argv.slice(2)))
} catch (error) {
  fail(error)
}
