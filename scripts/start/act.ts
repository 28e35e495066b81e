/** What do the acts of the main job share? Where it lives, what runs, how it speaks, and how its processes are asked. */
import type { ChildProcess } from "node:child_process"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import type { z } from "zod"
import { agentSocket, agentVerbs, type Status } from "../../agent/verbs.ts"
import type { Output } from "../../cli/terminal.ts"
import { socketName, verbs } from "../../collector/verbs.ts"
import { openCaller } from "../../local/call.ts"
import type { Run, Service } from "./child.ts"
import type { House } from "./house.ts"
import type { Steps } from "./steps.ts"

/** What runs, in the order in which it began. */
export type Running = { tpm?: ChildProcess; collector?: Service; agent?: Service; watching?: true }

/** One performance. */
export type Act = {
  readonly out: Output
  readonly house: House
  readonly steps: Steps
  readonly running: Running
  readonly run: Run
  readonly signal: AbortSignal
}

/** Rejects when a process ends that should not. */
export const deaths = ({ agent, collector }: Running): Promise<never>[] =>
  [agent, collector].flatMap(each => (each ? [each.died] : []))

/** What `look` sees, as soon as it sees something. Throws when a process has ended, and when the job is interrupted. */
export async function untilSeen<T>({ running, signal }: Act, look: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    signal.throwIfAborted()
    const seen = await Promise.race([look(), ...deaths(running)])
    if (seen !== undefined) return seen
    await delay(100)
  }
}

/** What `ask` gives, as soon as somebody answers. */
export const untilAnswers = <T>(act: Act, ask: () => Promise<T>): Promise<T> =>
  untilSeen(act, () => ask().catch(() => undefined))

const askDeadline = 60_000

/** How the agent stands. */
export async function askAgent({ runtime }: House): Promise<Status> {
  const caller = await openCaller(join(runtime.agent, agentSocket), agentVerbs, askDeadline)
  return caller.call("status", {}).finally(() => caller.close())
}

/** Asks the collector as its operator. */
export async function askCollector<const K extends "identity" | "status">(
  { runtime }: House,
  verb: K,
  request: z.infer<(typeof verbs)[K]["request"]>,
): Promise<z.infer<(typeof verbs)[K]["answer"]>> {
  const caller = await openCaller(join(runtime.collector, socketName), verbs, askDeadline)
  return caller.call<K>(verb, request).finally(() => caller.close())
}
