/**
 * Was everything read again after it was asked for? The log holds two records of the question's nonce, in order, and what is
 * quoted holds both. That the agent's code read in between is its own word; which code that is, other findings say.
 */
import type { LogEvent } from "../protocol/event.ts"
import { toBase64 } from "../wire/text.ts"
import { type Finding, finding } from "./finding.ts"

/** What is wrong with a full reading that `nonce` (32 bytes) asked for, by the replayed events of one log. */
export function readBetween(nonce: Uint8Array, events: readonly LogEvent[]): Finding[] {
  const asked = toBase64(nonce)
  const last = (type: "assay.hash-begun.v1" | "assay.hash-done.v1"): number =>
    events.findLastIndex(event => event.type === type && event.nonce === asked)
  const [begun, done] = [last("assay.hash-begun.v1"), last("assay.hash-done.v1")]
  if (begun >= 0 && done > begun) return []
  const seen = begun < 0 ? "no record that it began" : "no record after it that it was done"
  return [finding("hash.unbound", "log", seen, "both records with the nonce that asked for it")]
}
