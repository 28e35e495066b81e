/**
 * What follows from evidence that is authentic? Whether it continues what was seen, whether it is acceptable, what result is
 * signed, and how the attester stands after it: decided from one state of the store, and written only if that still holds.
 */
import {
  type Appraisal,
  type Approvals,
  appraise,
  type Endorsement,
  type Tier,
} from "../attestation/appraise/appraise.ts"
import { custodyIn, policyIn, type Result, verdictOf, writeResult } from "../attestation/appraise/result.ts"
import { after, approvable } from "../attestation/appraise/state.ts"
import { readReference, type Reference, referenceDigest } from "../attestation/pins/reference.ts"
import { keyIdOf, payloadTypes, seal } from "../attestation/protocol/dsse.ts"
import { auditContinuity, continuity, type History, type Seen } from "../attestation/verify/continuity.ts"
import { type Finding, finding, refused } from "../attestation/verify/finding.ts"
import { readBetween } from "../attestation/verify/full-reading.ts"
import type { VerifiedEvidence } from "../attestation/verify/verify.ts"
import { inForce } from "./endorse.ts"
import type { ResultKey } from "./keys.ts"
import type { Question } from "./question.ts"
import type { Enrolment, Entry, Gap, Neighbours, Restoration, Store, VersionedStanding } from "./store.ts"
import type { Retirement } from "./trust.ts"

/** Who concludes: named in every result. `build` is the SHA-256 of its own code. */
export type Verifier = {
  readonly version: string
  readonly build: string
  readonly key: ResultKey
  /** what is approved now */
  readonly approvals: () => Approvals | "ungoverned"
}

/** Authentic evidence with what belongs to it. */
export type Case = {
  readonly evidence: VerifiedEvidence
  readonly enrolment: Enrolment
  readonly envelope: Uint8Array
  readonly bootLogs: Entry["bootLogs"]
  readonly question: Question
  readonly hashed: Uint8Array | "nothing"
  readonly received: number
}

/** Whether evidence before this is missing: what was made after the newest that is here, or all of it. */
export type Lacking = "nothing" | { readonly after: string | null }

export type Concluded =
  | {
      readonly kind: "concluded"
      readonly tier: Tier
      readonly result: Uint8Array
      readonly findings: readonly Finding[]
      readonly lacking: Lacking
    }
  | { readonly kind: "refused"; readonly findings: readonly Finding[] }

/** How often the ground may move under one conclusion: a person who clears, another connection. */
const attempts = 5
/** The most open gaps that a result names. */
const gapsNamed = 8

/** Concludes from `given`, and keeps the conclusion. */
export async function conclude(store: Store, verifier: Verifier, given: Case): Promise<Concluded> {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const ground = await groundOf(store, given)
    if (ground.retired) return { kind: "refused", findings: [retired(ground.retired)] }
    const breaks = breaksIn(ground.near, given)
    if (refused(breaks)) return { kind: "refused", findings: breaks }
    const { entry, findings } = entryFrom(verifier, given, ground, breaks)
    const recorded = await store.record(entry)
    if (recorded === "moved") continue
    if (recorded === "spent") return { kind: "refused", findings: [spent] }
    const { tier, result } = entry
    return { kind: "concluded", tier, result, findings, lacking: lackingBefore(entry, ground.near) }
  }
  throw new Error(`the standing of ${given.evidence.body.attester} changed ${attempts} times while it was judged`)
}

function lackingBefore({ gap }: Entry, { newest, restored }: Neighbours): Lacking {
  if (gap) return { after: newest?.digest ?? null }
  return restored && !newest ? { after: null } : "nothing"
}

function breaksIn(near: Neighbours, given: Case): Finding[] {
  const { evidence } = given
  const audit = near.audit === undefined ? "unavailable" : BigInt(near.audit)
  return [
    ...continuity(historyFrom(near, given), evidence),
    ...shrunk(near, evidence),
    ...auditContinuity(audit, evidence),
    ...(given.hashed === "nothing" ? [] : readBetween(given.hashed, evidence.events)),
    ...(near.restored ? [fromBackup(near.restored)] : []),
  ]
}

/** What contradicted the machine may be among what the backup lacks; a boot wipes the PCR of it (M11). */
const fromBackup = ({ at, by, reason }: Restoration): Finding =>
  finding("store.restored", "history", `out of a backup on ${instantOf(at)}: ${reason} (${by})`, "a later boot")

const spent = finding("nonce.unknown", "nonce", "a nonce that was redeemed", "one that is open")

type Ground = {
  readonly near: Neighbours
  readonly gaps: readonly Gap[]
  readonly reference: Reference | "none recorded"
  readonly standing: VersionedStanding
  readonly endorsement: Endorsement
  readonly retired: Retirement | undefined
}

const retired = ({ at, by, reason }: Retirement): Finding =>
  finding("attester.retired", "attester", `retired by ${by} on ${instantOf(at)}: ${reason}`, "one that is enrolled")

async function groundOf(store: Store, { evidence: { body, quote }, enrolment }: Case): Promise<Ground> {
  const { attester, chain } = body
  const reference = await store.reference(attester)
  return {
    standing: await store.standing(attester),
    near: await store.neighbours({
      attester,
      chain,
      predecessor: chain.predecessor?.digest ?? null,
      clock: quote.clock,
    }),
    gaps: await store.gaps(attester, gapsNamed),
    reference: reference ? readReference(reference) : "none recorded",
    endorsement: await inForce(store, enrolment.endorsement),
    retired: await store.retirement(attester),
  }
}

/**
 * What this evidence must continue. An answer in time is the newest there is. Late evidence is compared with its neighbours by
 * quote (M7): that newer evidence came before it is no break, and what the log holds since then is not its to show.
 */
function historyFrom(near: Neighbours, { evidence, question }: Case): History | "nothing seen" {
  if (!near.newest) return "nothing seen"
  const { before, same, older, log } = near
  const predecessor = evidence.body.chain.predecessor?.digest
  const knows = (digest: string): boolean => near.knowsPredecessor && digest === predecessor
  if (question.timely) return { before, same, newest: near.newest, log, knows }
  const newest = before && !isBefore(before.clock, evidence.quote.clock) ? before : older
  const due = Math.max(older?.log ?? 0, evidence.log.length)
  return { before, same, newest, log: log.subarray(0, due), knows }
}

const isBefore = (a: Seen["clock"], b: Seen["clock"]): boolean =>
  (a.resetCount - b.resetCount || a.restartCount - b.restartCount || Number(a.milliseconds - b.milliseconds)) < 0

/** Late evidence may show that a log shrank: evidence quoted after it in the same epoch holds less. */
function shrunk({ newer }: Neighbours, { log }: VerifiedEvidence): Finding[] {
  if (!newer || newer.log >= log.length) return []
  const wanted = `at least the ${log.length} bytes quoted before it`
  return [finding("log.rewritten", "log", `${newer.log} bytes in evidence ${newer.digest}`, wanted)]
}

function entryFrom(
  verifier: Verifier,
  given: Case,
  { gaps, reference, standing, endorsement }: Ground,
  breaks: readonly Finding[],
): { entry: Entry; findings: readonly Finding[] } {
  const { evidence, enrolment, question, received } = given
  const { body, quote, digest } = evidence
  const approvals = verifier.approvals()
  const found = [...breaks, ...gaps.map(openGap)]
  const appraisal = appraise(evidence, { reference, approvals, endorsement, findings: found })
  const asked = question.timely ? (question.nonce?.issued ?? null) : null
  const entry: Entry = {
    digest,
    attester: body.attester,
    enrolment: enrolment.number,
    kind: body.kind,
    timely: question.timely,
    chain: body.chain,
    clock: quote.clock,
    boot: body.boot,
    audit: evidence.audit === "unavailable" ? null : String(evidence.audit.counter),
    nonce: question.nonce?.nonce ?? null,
    asked: question.nonce?.issued ?? null,
    received,
    envelope: given.envelope,
    log: evidence.log,
    bootLogs: given.bootLogs,
    tier: appraisal.tier,
    result: resultOf(verifier, given, appraisal, { reference, approvals }),
    gap: gapBefore(breaks, evidence),
    standing: {
      version: standing.version,
      after: after(standing, {
        ...{ tier: appraisal.tier, resetCount: quote.clock.resetCount, asked },
        ...{ under: appraisal.force?.current.note ?? null, approvable: approvable(appraisal.findings) },
      }),
    },
  }
  return { entry, findings: appraisal.findings }
}

const openGap = ({ evidence, missing }: Gap): Finding =>
  finding("chain.gap", `evidence ${evidence}`, `after ${missing ?? "nothing"}`, "after evidence that was seen")

function gapBefore(breaks: readonly Finding[], { body: { chain } }: VerifiedEvidence): Entry["gap"] {
  if (!breaks.some(each => each.id === "chain.gap")) return null
  return { missing: chain.previous ?? chain.predecessor?.digest ?? null }
}

type Compared = { readonly reference: Reference | "none recorded"; readonly approvals: Approvals | "ungoverned" }

function resultOf(
  verifier: Verifier,
  { evidence: { body, digest }, question, received }: Case,
  appraisal: Appraisal,
  { reference, approvals }: Compared,
): Uint8Array {
  const payload = writeResult({
    attester: body.attester,
    evidence: digest,
    kind: body.kind,
    asked: question.nonce ? instantOf(question.nonce.issued) : null,
    received: instantOf(received),
    ...verdictOf(appraisal),
    custody: [...custodyIn(appraisal), custodyOfResults(verifier)],
    policy: policyIn(approvals),
    reference: reference === "none recorded" ? null : referenceDigest(reference),
    verifier: { version: verifier.version, build: verifier.build },
  })
  return seal(payloadTypes.result, payload, verifier.key.publicKey, verifier.key.sign)
}

/** The result's own signature rests on a file of this collector's. */
const custodyOfResults = ({ key }: Verifier): Result["custody"][number] => ({
  ...{ signs: "result", key: keyIdOf(key.publicKey), class: "file", chain: ["the verifier's own word"] },
})

const instantOf = (time: number): string => new Date(time).toISOString()
