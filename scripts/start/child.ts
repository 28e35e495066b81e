/**
 * How are the product's own commands run as processes? Each in a session of its own, so that Ctrl-C reaches the main job first
 * and the order of the end is its; each dies with it, however it ends.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { createWriteStream, readFileSync } from "node:fs"
import { join } from "node:path"
import { entryPoint } from "../../local/entry.ts"
import { endOf } from "../swtpm.ts"

/** The launcher need not stand in for a Node that is there already. */
export const environment = { ...process.env, ASSAY_ENTERED: join(import.meta.dirname, "../../.cache/env.sh") }

/** setpriv --pdeathsig: whoever kills the main job takes its processes with it. */
function start(args: readonly string[]): ChildProcess {
  const line = ["--pdeathsig", "TERM", process.execPath, entryPoint("cli"), ...args]
  return spawn("setpriv", line, { env: environment, detached: true, stdio: ["pipe", "pipe", "pipe"] })
}

/** A process that runs until it is stopped; what it says on stderr is kept in a file. */
export type Service = {
  readonly name: string
  /** rejects when the process ends without being told to */
  readonly died: Promise<never>
  readonly stop: () => Promise<void>
  /** ends it as a power failure would */
  readonly kill: () => Promise<void>
}

/** Starts `assay ARGS` as a service whose stderr goes to the file `log`. */
export function startService(name: string, args: readonly string[], log: string): Service {
  const child = start(args)
  child.stdin?.end()
  child.stdout?.resume()
  child.stderr?.pipe(createWriteStream(log))
  let stopping = false
  const died = new Promise<never>((_, reject) => {
    child.once("error", reject)
    child.once("exit", (code, signal) => {
      if (!stopping) reject(new Error(`${name} ended (${signal ?? `exit ${code}`}):\n${tail(log)}`))
    })
  })
  died.catch(() => undefined)
  return {
    name,
    died,
    stop: async () => {
      stopping = true
      child.kill("SIGTERM")
      const late = setTimeout(() => child.kill("SIGKILL"), 15_000)
      await endOf(child)
      clearTimeout(late)
    },
    kill: async () => {
      stopping = true
      child.kill("SIGKILL")
      await endOf(child)
    },
  }
}

const tail = (log: string): string => readFileSync(log, "utf8").trim().split("\n").slice(-12).join("\n")

export type Done = { readonly exit: number; readonly out: string; readonly err: string }

/** Runs `assay ARGS` to its end, with `input` on its stdin; `signal` ends it before. */
export async function runCommand(args: readonly string[], input: string, signal: AbortSignal): Promise<Done> {
  signal.throwIfAborted()
  const child = start(args)
  const abort = (): boolean => child.kill("SIGTERM")
  signal.addEventListener("abort", abort)
  const parts = { out: [] as Buffer[], err: [] as Buffer[] }
  child.stdout?.on("data", (chunk: Buffer) => parts.out.push(chunk))
  child.stderr?.on("data", (chunk: Buffer) => parts.err.push(chunk))
  child.stdin?.on("error", () => undefined).end(input)
  const exit = await new Promise<number>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", code => resolve(code ?? 1))
  })
  signal.removeEventListener("abort", abort)
  return { exit, out: Buffer.concat(parts.out).toString("utf8"), err: Buffer.concat(parts.err).toString("utf8") }
}

/** What a command must end with to have done what it was asked: 0, or what else is an answer. */
export type Run = (args: readonly string[], input?: string, good?: readonly number[]) => Promise<Done>

/** Runs commands of which each must do what it is asked; any other exit is a failure, told with what the command said. */
export const runnerUnder =
  (signal: AbortSignal): Run =>
  async (args, input = "", good = [0]) => {
    const done = await runCommand(args, input, signal)
    if (good.includes(done.exit)) return done
    throw new Error(
      `assay ${args.slice(0, 2).join(" ")} ended with ${done.exit}\n${done.err.trim() || done.out.trim()}`,
    )
  }
