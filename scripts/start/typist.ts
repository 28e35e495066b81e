/**
 * How does the main job give a passphrase? As a person does: it types it on a terminal, when it is asked for. script(1) lends the
 * terminal; the passphrase stands in no argument and in no environment. Whose it is: `people.ts`.
 */
import { spawn } from "node:child_process"
import { entryPoint } from "../../local/entry.ts"
import { environment } from "./child.ts"

const shown = /passphrase[^\n:]*: /g

/** One argument as sh reads it. */
const quoted = (argument: string): string => `'${argument.replaceAll("'", `'\\''`)}'`

/** Runs `assay ARGS` on a terminal, and types `passphrase` whenever one is asked for. Throws, with what was said, unless it ends with 0. */
export async function runTyped(args: readonly string[], passphrase: string, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  const line = [process.execPath, entryPoint("cli"), ...args].map(quoted).join(" ")
  const child = spawn("setpriv", ["--pdeathsig", "TERM", "script", "-qefc", line, "/dev/null"], {
    env: { ...environment, SHELL: "/bin/sh", TERM: "dumb" },
    ...{ detached: true, stdio: ["pipe", "pipe", "ignore"] },
  })
  const abort = (): boolean => child.kill("SIGTERM")
  signal.addEventListener("abort", abort)
  let [said, answered] = ["", 0]
  child.stdout.on("data", chunk => {
    said += String(chunk)
    for (const asked = [...said.matchAll(shown)].length; answered < asked; answered++)
      child.stdin.write(`${passphrase}\r`)
  })
  const exit = await new Promise<number>((resolve, reject) => {
    child.once("error", reject)
    child.once("close", code => resolve(code ?? 1))
  })
  signal.removeEventListener("abort", abort)
  if (exit !== 0) throw new Error(`assay ${args.slice(0, 2).join(" ")} ended with ${exit}\n${said.trim()}`)
}
