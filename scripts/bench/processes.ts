/**
 * Where are measurements taken? In processes of our own that are started for it, some of them with OpenSSL's SHA instructions
 * masked, and that answer one order at a time: so what is compared takes turns within a second. What they do: sampler.ts.
 */
import { type ChildProcess, fork } from "node:child_process"
import { once } from "node:events"
import type { Order, Reply } from "./sampler.ts"

/** The bit of CPUID that says SHA (leaf 7, EBX, bit 29), off for whatever uses OpenSSL in a process (OPENSSL_ia32cap(3)). */
export const mask = ":~0x20000000"
export const maskedEnvironment: NodeJS.ProcessEnv = { ...process.env, OPENSSL_ia32cap: mask }

/** Which Node, with which flags, in which environment. */
export type Launch = { readonly node: string; readonly flags: readonly string[]; readonly env: NodeJS.ProcessEnv }

/** A process that is asked to hash. {@link end} it. */
export class Sampler {
  readonly #child: ChildProcess
  #failed: ((error: Error) => void) | undefined
  #heard: ((reply: Reply) => void) | undefined

  /** @param script the bundled sampler.ts */
  constructor(script: string, { node, flags, env }: Launch) {
    this.#child = fork(script, [], {
      execPath: node,
      execArgv: [...flags],
      env,
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    })
    this.#child.on("message", (reply: Reply) => this.#heard?.(reply))
    this.#child.on("error", error => this.#failed?.(error))
    this.#child.on("exit", code => this.#failed?.(new Error(`a process that was measured ended with ${code}`)))
  }

  /** One order at a time. @throws what went wrong there. */
  async ask(order: Order): Promise<Reply & { readonly kind: "cost" | "done" }> {
    const { promise, resolve, reject } = Promise.withResolvers<Reply>()
    this.#heard = resolve
    this.#failed = reject
    this.#child.send(order)
    const reply = await promise
    if (reply.kind === "failed") throw new Error(reply.message)
    return reply
  }

  /** Resolves when the process is gone, so that its end costs nobody else. */
  async end(): Promise<void> {
    const child = this.#child
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, "exit")
    await this.ask({ kind: "end" }).catch(() => child.kill("SIGKILL"))
    this.#failed = undefined
    if (child.connected) child.disconnect()
    await gone
  }
}
