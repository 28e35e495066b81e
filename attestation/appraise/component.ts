/** What is one part of a verdict? A tier, words, and findings. How parts are judged: `appraise.ts`, `pinned.ts`. */
import { keyOfMeasurement } from "../pins/reference.ts"
import type { Measurement } from "../protocol/event.ts"
import { type Finding, finding, findings } from "../verify/finding.ts"
import { plainLine } from "../wire/text.ts"

/** The tiers of an attestation result (draft-ietf-rats-ar4si), best first; `none`: nothing can be said. */
export const tiers = ["affirming", "warning", "none", "contraindicated"] as const
export type Tier = (typeof tiers)[number]

/** One source's part of a verdict: in words, its tier, and what was found. */
export type Component = {
  readonly name: string
  readonly tier: Tier
  readonly says: string
  readonly findings: readonly Finding[]
}

/** The best tier that these findings leave. */
export function tierOf(found: readonly Finding[], best: Tier): Tier {
  const effects = found.map(each => findings[each.id].effect)
  if (effects.includes("contraindicates") || effects.includes("refuses")) return "contraindicated"
  return effects.includes("warns") ? "warning" : best
}

/** Characters of what the attester says about why something could not be read. */
const reasonLimit = 1024

/** What was there and could not be read, and why: in the attester's words. */
export const unreadable = (present: readonly Measurement[]): Finding[] =>
  present
    .filter(each => each.state === "unreadable")
    .map(each => finding("source.unreadable", keyOfMeasurement(each), reasonOf(each), "readable"))

function reasonOf({ facts }: Measurement): string {
  const reasons = facts.filter(([name]) => name === "unreadable").map(([, reason]) => reason)
  return reasons.length === 0 ? "unreadable" : plainLine(`unreadable: ${reasons.join("; ")}`, reasonLimit)
}
