/** How do tests start a server of models, and ask it? It is ended by whoever started it. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { join } from "node:path"

export const serverProgram = join(import.meta.dirname, "server.ts")

export type LlamaServer = { readonly pid: number; readonly port: number; readonly child: ChildProcess }

/** Starts test/llama/server.ts, directly or by `prefix`; resolves when it has loaded its model. */
export async function startServer(given: readonly string[], prefix: readonly string[] = []): Promise<LlamaServer> {
  const [program = process.execPath, ...rest] = [...prefix, process.execPath, serverProgram, ...given]
  const child = spawn(program, rest, { stdio: ["ignore", "pipe", "pipe"] })
  let told = ""
  child.stderr.on("data", (chunk: Buffer) => (told += chunk.toString()))
  const port = await new Promise<number>((resolve, reject) => {
    let said = ""
    child.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString()
      const [, number] = /listening on (\d+)/.exec(said) ?? []
      if (number !== undefined) resolve(Number(number))
    })
    child.once("exit", code => reject(new Error(`the server ended with ${code}: ${told}`)))
  })
  return { pid: child.pid ?? 0, port, child }
}

export async function endServer({ child }: LlamaServer): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, "exit")
  child.kill("SIGKILL")
  await ended
}

/** The tokens that the server computes for a text. */
export async function tokensOf({ port }: LlamaServer, prompt: string): Promise<readonly number[]> {
  const body = JSON.stringify({ prompt, n_predict: 6 })
  const answer: unknown = await (await fetch(`http://127.0.0.1:${port}/completion`, { method: "POST", body })).json()
  const tokens: unknown = Object(answer).tokens
  return Array.isArray(tokens) ? tokens.filter(each => typeof each === "number") : []
}
