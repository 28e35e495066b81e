/** Which agent and which collector run on this machine, and how do they stand? Whoever does not answer is said to be absent. */
import { join } from "node:path"
import type { z } from "zod"
import { agentSocket, agentVerbs, type Status as AgentStatus } from "../agent/verbs.ts"
import { type CollectorVerbs, type Shown, socketName, verbs } from "../collector/verbs.ts"
import { type Caller, CallFailed, openCaller, type Verbs } from "../local/call.ts"
import { fleetOf } from "./attesters.ts"
import { agentConfiguration, collectorConfiguration } from "./configuration.ts"
import { Problem } from "./exit.ts"

const deadline = 30_000

/** What `use` makes of the process that answers at `socket`, or "absent". */
export async function ask<const V extends Verbs, T>(socket: string, set: V, use: (caller: Caller<V>) => Promise<T>) {
  const caller = await openCaller(socket, set, deadline).catch(error => {
    if (error instanceof CallFailed) return undefined
    throw error
  })
  if (!caller) return "absent" as const
  return use(caller).finally(() => caller.close())
}

export type Identity = z.infer<CollectorVerbs["identity"]["answer"]>
export type Neighbours = {
  readonly agent: AgentStatus | "absent"
  readonly collector: { readonly identity: Identity; readonly fleet: readonly Shown[] } | "absent"
}

/** Asks both. Throws a {@link Problem} where neither answers. */
export async function neighbours(agentConfig?: string, collectorConfig?: string): Promise<Neighbours> {
  const paths = {
    agent: join((await agentConfiguration(agentConfig)).runtime, agentSocket),
    collector: join((await collectorConfiguration(collectorConfig)).runtime, socketName),
  }
  const agent = await ask(paths.agent, agentVerbs, caller => caller.call("status", {}))
  const collector = await ask(paths.collector, verbs, async caller => ({
    identity: await caller.call("identity", {}),
    fleet: await fleetOf(caller),
  }))
  if (agent !== "absent" || collector !== "absent") return { agent, collector }
  throw new Problem(
    "missing",
    `neither ${paths.agent} nor ${paths.collector} answers`,
    "start one: assay agent, assay collector",
  )
}
