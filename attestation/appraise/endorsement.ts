/**
 * Whose word is it that an EK is a real TPM's? Its maker's, a person's who admitted the maker's root or this very EK, or nobody's.
 * How a chain to a root is found: `tcg/ek-chain.ts`; what follows for a verdict: `appraise.ts`.
 */
import { z } from "zod"
import { hex, line, plainLine } from "../wire/text.ts"

/** A person who decided, and why. */
export const decision = z.strictObject({ by: line(128).min(1), reason: line(300).min(1) })
export type Decision = z.infer<typeof decision>

export const endorsement = z.discriminatedUnion("kind", [
  /** there is no EK certificate */
  z.strictObject({ kind: z.literal("unendorsed") }),
  /** there is one that does not lead to an admitted root */
  z.strictObject({ kind: z.literal("unanchored"), why: line(512) }),
  /** a person vouches for this EK */
  z.strictObject({ kind: z.literal("accepted"), by: line(128), reason: line(300) }),
  /** its certificate leads to the root with this SHA-256: one of the table of makers' roots, or one that a person admitted */
  z.strictObject({
    kind: z.literal("endorsed"),
    maker: line(128),
    root: hex(32),
    approval: z.union([z.literal("listed"), decision]),
  }),
])
export type Endorsement = z.infer<typeof endorsement>

/** The endorsement in words of at most 512 characters. */
export const spoken = (given: Endorsement): string => plainLine(inWords(given), 512)

function inWords(given: Endorsement): string {
  if (given.kind === "unendorsed") return "unendorsed"
  if (given.kind === "unanchored") return `unendorsed: its EK certificate ${given.why}`
  if (given.kind === "accepted") return `accepted by ${given.by}: ${given.reason}`
  return `certified by ${given.maker}, root ${given.root.slice(0, 16)}…${admission(given.approval)}`
}

const admission = (approval: "listed" | Decision): string =>
  approval === "listed" ? "" : `, which ${approval.by} admitted: ${approval.reason}`
