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
}

/** For whom the first evidence is, before any challenge has said what the collector is called. */
const usualAudience = "collector"

/** Makes reports until `signal` is aborted. */
export async function makeReports(parts: ReportParts, signal: AbortSignal): Promise<void> {
  const { standing, say, every } = parts
  for (;;) {
    await delay(every * 1000, undefined, { signal }).catch(() => undefined)
    if (signal.aborted) return
    if (standing.connection.state === "connected") continue
    await report(parts, signal).catch(error => {
      const { message, hint } = told(error)
      if (!signal.aborted) say(`cannot make a report: ${message}`, hint)
    })
  }
}

/** One report: to whom the newest evidence was, and not made before what that collector acknowledged last. */
async function report({ attester, spool, standing }: ReportParts, signal: AbortSignal): Promise<void> {
  const newest = spool.waiting.at(-1) ?? spool.acknowledged.at(-1)
  const asked = { kind: "report", after: spool.acknowledged.at(-1)?.digest ?? null } as const
  const audience = newest?.audience ?? usualAudience
  const evidence = await attester.answer({ asked, audience, depth: "quick" }, signal)
  standing.made(evidence)
  await spool.add({ ...evidence, challenge: null })
}
