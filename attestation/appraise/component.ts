/** What is one part of a verdict? Who appraises each: `appraise.ts`, `boot.ts`. */
import { type Finding, findings } from "../verify/finding.ts"

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

/** The tier that `found` leaves, where `best` is what nothing found would give. */
export function tierOf(found: readonly Finding[], best: Tier): Tier {
  const effects = found.map(each => findings[each.id].effect)
  if (effects.includes("contraindicates") || effects.includes("refuses")) return "contraindicated"
  return effects.includes("warns") ? "warning" : best
}
