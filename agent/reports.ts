/**
 * What does the agent do while nobody asks? It makes a report every so often, and keeps it for the collector. While a
 * connection stands the collector asks, and no report is needed.
 */
import { setTimeout as delay } from "node:timers/promises"
import type { Attester } from "./attester.ts"
import type { Spool } from "./spool.ts"
import type { Standing } from "./standing.ts"
import { type Say, told } from "./trouble.ts"

export type ReportParts = {
  readonly attester: Attester
  readonly spool: Spool
  readonly standing: Standing
  readonly say: Say
  /** seconds */
  readonly every: number
  /** for whom: the collector that the agent is enrolled with, or nobody yet */
  readonly audience: () => { readonly named: string } | "nobody"
}

/** Makes reports until `signal` is aborted. */
export async function makeReports(parts: ReportParts, signal: AbortSignal): Promise<void> {
  const { standing, say, every } = parts
  for (;;) {
    await delay(every * 1000, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return
    const audience = parts.audience()
    if (standing.connection.state === "connected" || audience === "nobody") continue
    await report(parts, audience.named, signal).catch(error => {
      const { message, hint } = told(error)
      if (!signal.aborted) say(`cannot make a report: ${message}`, hint)
    })
  }
}

/** One report, not made before what the collector acknowledged last. */
async function report(
  { attester, spool, standing, say }: ReportParts,
  audience: string,
  signal: AbortSignal,
): Promise<void> {
  const asked = { kind: "report", after: spool.acknowledged.at(-1)?.digest ?? null } as const
  const evidence = await attester.answer({ asked, audience, depth: "quick" }, signal)
  standing.made(evidence)
  for (const { message, hint } of evidence.remarks) say(message, hint)
  await spool.add({ ...evidence, challenge: null })
}
