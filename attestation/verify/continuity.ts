/**
 * Does this evidence continue what was seen before? Compared with its neighbours in sequence and with the newest by quote
 * (counters and clock), never by arrival: late evidence is history, not a break. Which evidence was seen is the caller's to
 * look up; a verifier that has seen nothing says so.
 */
import type { ClockInfo } from "../tcg/attest.ts"
import { type Finding, finding } from "./finding.ts"
import { continues } from "./log.ts"
import type { VerifiedEvidence } from "./verify.ts"

/** What a verifier keeps of evidence that it verified before. */
export type Seen = {
  readonly digest: string
  readonly chain: { readonly id: string; readonly sequence: string }
  readonly clock: Pick<ClockInfo, "milliseconds" | "resetCount" | "restartCount">
  /** the kernel's boot id: a label */
  readonly boot: string
}

/** What was seen of one attester, as far as it touches one piece of evidence. */
export type History = {
  /** of the same chain: the nearest with a lower number, and whatever has this number already */
  readonly before: Seen | undefined
  readonly same: Seen | undefined
  /** the newest by quote over all chains */
  readonly newest: Seen | undefined
  /** digests of all evidence whose successor this may name */
  readonly knows: (digest: string) => boolean
  /** the longest log verified in the same log epoch, or empty */
  readonly log: Uint8Array
}

/** Every break between `evidence` and `history`. */
export function continuity(history: History | "nothing seen", evidence: VerifiedEvidence): Finding[] {
  if (history === "nothing seen")
    return [finding("history.not-checked", "history", "nothing", "the evidence before this")]
  return [...checkChain(history, evidence), ...checkClock(history, evidence), ...checkLog(history, evidence)]
}

function checkChain({ before, same, newest, knows }: History, evidence: VerifiedEvidence): Finding[] {
  const { body, digest } = evidence
  const place = `chain ${body.chain.id}, number ${body.chain.sequence}`
  if (same && same.digest !== digest) return [finding("chain.replayed", place, digest, same.digest)]
  if (before) {
    if (body.chain.previous === before.digest) return []
    return [finding("chain.gap", place, `after ${body.chain.previous ?? "nothing"}`, `after ${before.digest}`)]
  }
  if (!newest) return []
  const predecessor = body.chain.predecessor?.digest ?? null
  // an attester whose state was put back names what was the last one then
  const forgotten = predecessor !== newest.digest && order(newest.clock, evidence.quote.clock) < 0
  if (body.chain.previous === null && predecessor !== null && knows(predecessor) && !forgotten)
    return [finding("chain.restarted", place, "a new chain", `a continuation of ${predecessor}`)]
  return [
    finding(
      "chain.gap",
      place,
      `after ${body.chain.previous ?? predecessor ?? "nothing"}`,
      forgotten ? `after ${newest.digest}, the newest that was seen` : "after evidence that was seen",
    ),
  ]
}

const order = (a: Seen["clock"], b: Seen["clock"]): number =>
  a.resetCount - b.resetCount || a.restartCount - b.restartCount || Number(a.milliseconds - b.milliseconds)

const spoken = (clock: Seen["clock"]): string =>
  `reset ${clock.resetCount}, restart ${clock.restartCount}, clock ${clock.milliseconds} ms`

/** An answer was made just now, so nothing seen may be newer; a report must be newer than its predecessor only. */
function checkClock({ before, newest }: History, { body, digest, quote }: VerifiedEvidence): Finding[] {
  const earlier = body.kind === "answer" ? newest : before
  if (!earlier || earlier.digest === digest) return []
  if (order(quote.clock, earlier.clock) <= 0)
    return [finding("clock.backwards", "clock", spoken(quote.clock), `later than ${spoken(earlier.clock)}`)]
  if (quote.clock.resetCount <= earlier.clock.resetCount) return []
  const reset = finding("epoch.reset", "clock", spoken(quote.clock), spoken(earlier.clock))
  if (body.boot !== earlier.boot) return [reset]
  return [reset, finding("epoch.boot-unchanged", "clock", `boot ${body.boot}`, "another boot than before the reset")]
}

/**
 * A log grows. Only evidence that was quoted before the newest may hold less than was seen: later, less means that the PCR
 * was reset and the beginning of its history extended again without its end.
 */
function checkLog({ log, newest }: History, { quote, log: shown }: VerifiedEvidence): Finding[] {
  const late = newest !== undefined && order(quote.clock, newest.clock) <= 0
  if (continues(log, shown) || (late && continues(shown, log))) return []
  const seen = continues(shown, log) ? `only its first ${shown.length} bytes` : "another history"
  return [finding("log.rewritten", "log", seen, `the ${log.length} bytes seen before in this epoch`)]
}

/**
 * The counter moves with the first audited command after each reading, whoever read. It is compared with what it was before this
 * log epoch, not with the evidence just before: so a finding lasts the epoch (M4). An audit that is gone is no audit that is clean.
 */
export function auditContinuity(known: bigint | "unavailable", { audit }: VerifiedEvidence): Finding[] {
  if (known === "unavailable") return []
  const wanted = `audit counter ${known}`
  if (audit === "unavailable") return [finding("pcr.reset-possible", "audit", "no audit, which was armed", wanted)]
  if (audit.counter === known) return []
  return [finding("pcr.reset-possible", "audit", `audit counter ${audit.counter}`, wanted)]
}
