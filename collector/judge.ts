/**
 * What does evidence come to? Bytes, stored keys, a nonce and the time → verify → continuity → appraise → a signed result →
 * the store. One piece of evidence of an attester after another, so that each is judged from what the one before led to.
 * Who may send evidence, and how it comes: `attester.ts`.
 */
import { createHash } from "node:crypto"
import { Malformed, decode } from "../attestation/wire/codec.ts"
import { fromBase64, sameBytes } from "../attestation/wire/text.ts"
import { quote } from "../attestation/tcg/attest.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { evidenceDigest, type Payload, readPayload } from "../attestation/protocol/evidence.ts"
import type { Circumstances } from "../attestation/verify/boot-logs.ts"
import type { Seen } from "../attestation/verify/continuity.ts"
import { type Finding, finding } from "../attestation/verify/finding.ts"
import type { Logs } from "../attestation/verify/log.ts"
import { type Expected, type PinnedKeys, type VerifiedEvidence, verifyAgain } from "../attestation/verify/verify.ts"
import type { Tier } from "../attestation/appraise/appraise.ts"
import { after } from "../attestation/appraise/state.ts"
import { assembleBootLogs, Memory } from "./boot-logs.ts"
import { conclude, type Lacking, type Verifier } from "./conclude.ts"
import { decoyKeys } from "./decoy.ts"
import type { Delivered, LogPart } from "./delivery.ts"
import { shortFindings } from "./shorten.ts"
import { type Asking, questionOf } from "./question.ts"
import type { Enrolment, Store } from "./store.ts"

/** Evidence as it came over one connection. */
export type Submission = Asking & {
  /** under which name the connection said hello: a claim */
  readonly claimedAttester: string
  /** this attester was asked to send again what this store lacks: then an answer may be to a nonce that is forgotten, as history */
  readonly resending: boolean
  /** the nonce between whose records everything must have been read again */
  readonly hashed: Uint8Array | "nothing"
  readonly delivered: Delivered
}

export type Judged =
  | {
      readonly kind: "acknowledged"
      readonly evidence: string
      readonly tier: Tier
      /** an answer in time on its own connection: this connection is the attester's */
      readonly timely: boolean
      readonly result: Uint8Array
      readonly findings: readonly Finding[]
      readonly lacking: Lacking
    }
  | Refused

type Refused = {
  readonly kind: "refused"
  readonly evidence: string | null
  readonly findings: readonly Finding[]
  /** of these, what may be told to whoever sent it */
  readonly told: readonly Finding[]
  /** whether somebody is enrolled under the claimed name */
  readonly enrolled: boolean
  /** the enrolled keys signed it, in time and for its own connection: this connection is the attester's, whatever it shows */
  readonly own: boolean
}

export type Judge = (submission: Submission) => Promise<Judged>

/** What every piece of evidence must be: the PCRs that its quote covers, the one of its log, for whom it is, and which defects are admitted. */
export type Demands = Pick<Expected, "pcrs" | "logPcr" | "audience"> & Pick<Circumstances, "quirks">

/** A judge over `store`; `now` is its clock. */
export function judgeOver(store: Store, verifier: Verifier, demands: Demands, now: () => number): Judge {
  const decoy = decoyKeys()
  const memory = new Memory()
  const last = new Map<string, Promise<unknown>>()
  return submission => {
    const { claimedAttester } = submission
    const turn = (last.get(claimedAttester) ?? Promise.resolve()).then(() =>
      judge({ store, verifier, demands, now, decoy, memory }, submission),
    )
    const settled = turn.catch(() => undefined)
    last.set(claimedAttester, settled)
    void settled.then(() => last.get(claimedAttester) === settled && last.delete(claimedAttester))
    return turn
  }
}

type Bench = {
  readonly store: Store
  readonly verifier: Verifier
  readonly demands: Demands
  readonly now: () => number
  readonly decoy: PinnedKeys
  readonly memory: Memory
}

/** What the bytes claim, so that what belongs to it can be looked up. Nothing in it is believed. */
type Claim = { readonly digest: string; readonly payload: Payload; readonly clock: Seen["clock"] }

async function judge(bench: Bench, submission: Submission): Promise<Judged> {
  const { store, now, demands } = bench
  const received = now()
  const { claimedAttester, delivered } = submission
  const enrolment = await store.enrolment(claimedAttester)
  const keys = enrolment ? pinned(enrolment) : { ...bench.decoy, attester: claimedAttester }
  const refuse = (findings: readonly Finding[], evidence: string | null): Refused => ({
    ...{ kind: "refused", evidence, findings, told: tellable(findings), enrolled: enrolment !== undefined, own: false },
  })

  const claim = claimIn(delivered.envelope)
  if (claim instanceof Malformed)
    return refuse([finding("evidence.malformed", "evidence", claim.message, "the format")], null)
  const question = await questionOf(store, submission, claimedAttester, claim.payload, received)
  const logs = await assemble(store, claimedAttester, claim, delivered.logs)
  const own = { remembered: bench.memory.of(claimedAttester), quirks: demands.quirks }
  const boot = await assembleBootLogs(store, claimedAttester, claim.payload, delivered.logs, own)
  const outcome = verifyAgain(
    { envelope: delivered.envelope, logs: new Map([...logs, ...boot.logs]) },
    { ...demands, keys, asked: question.asked, now: received },
    { ...own, tail: boot.tail },
  )
  if (!enrolment) return refuse(outcome.authentic ? [strange] : outcome.findings, claim.digest)
  if (!outcome.authentic) {
    const isTheirs = question.timely && isOwn(outcome.findings)
    if (isTheirs && outcome.findings.some(contradicts)) await contradict(store, claimedAttester, claim.clock.resetCount)
    return { ...refuse(outcome.findings, claim.digest), own: isTheirs }
  }

  const { evidence } = outcome
  const kept = await store.archived(evidence.digest)
  if (kept) return known(evidence, kept.tier, kept.result)
  if (question.missing && !submission.resending) return refuse([question.missing], evidence.digest)
  const concluded = await conclude(store, bench.verifier, {
    evidence,
    enrolment,
    envelope: delivered.envelope,
    bootLogs: boot.pieces,
    question,
    hashed: submission.hashed,
    received,
  })
  if (concluded.kind === "refused") return refuse(concluded.findings, evidence.digest)
  bench.memory.keep(claimedAttester, evidence.platform.remembered)
  const { tier, result, findings, lacking } = concluded
  return { kind: "acknowledged", evidence: evidence.digest, tier, timely: question.timely, result, findings, lacking }
}

const strange = finding("evidence.key-unknown", "envelope", "these keys", "keys that were enrolled under this name")

/** Evidence that was judged before is acknowledged again, and changes nothing: its acknowledgement was lost. */
const known = ({ digest }: VerifiedEvidence, tier: Tier, result: Uint8Array): Judged => ({
  ...{ kind: "acknowledged", evidence: digest, tier, timely: false, result, findings: [], lacking: "nothing" },
})

const pinned = ({ attester, identity }: Enrolment): PinnedKeys => ({
  attester,
  ak: fromBase64(identity.akPublic),
  evidenceKey: fromBase64(identity.evidenceKey),
})

function claimIn(envelope: Uint8Array): Claim | Malformed {
  try {
    const bytes = fromBase64(readEnvelope(envelope).payload)
    const payload = readPayload(bytes)
    return { digest: evidenceDigest(bytes), payload, clock: decode(quote, fromBase64(payload.quote.attest)).clock }
  } catch (error) {
    if (error instanceof Malformed) return error
    throw error
  }
}

/** Our log from its beginning: what came, after what was verified before it. */
async function assemble(
  store: Store,
  attester: string,
  { payload, clock }: Claim,
  parts: readonly LogPart[],
): Promise<Logs> {
  const logs = new Map<string, Uint8Array>()
  for (const { name, offset, bytes } of parts) {
    if (name !== "assay") continue
    const prefixes = offset === 0 ? [new Uint8Array(0)] : await store.prefixes({ attester, ...clock }, offset)
    const wholes = prefixes.map(prefix => new Uint8Array(Buffer.concat([prefix, bytes])))
    const claimed = payload.body.logs.find(log => log.name === name)
    const whole = wholes.find(each => claimed && fits(each, claimed)) ?? wholes[0]
    if (whole) logs.set(name, whole)
  }
  return logs
}

function fits(log: Uint8Array, { length, digest }: { readonly length: number; readonly digest: string }): boolean {
  const hashed = createHash("sha256").update(log.subarray(0, length)).digest()
  return sameBytes(new Uint8Array(hashed), new Uint8Array(Buffer.from(digest, "hex")))
}

/** What a finding's id begins with where keys, nonce, connection or quote are in doubt: then nobody knows who sent it. */
const doubts = ["evidence.", "ak.", "quote.", "nonce.", "channel.", "credential."]

/** What is wrong lies in what the machine shows, not in who shows it: a log that does not replay, for one. */
const isOwn = (found: readonly Finding[]): boolean => found.every(({ id }) => !doubts.some(each => id.startsWith(each)))

/** What the TPM signed, just now and for this question, is not what the log says: something else was extended, or the PCR was reset. */
const contradicts = ({ id }: Finding): boolean => id === "log.replay"

/** A boot takes it back, as it takes the PCR. */
async function contradict(store: Store, attester: string, resetCount: number): Promise<void> {
  const verdict = { tier: "contraindicated", resetCount, asked: null, under: null, approvable: false } as const
  for (;;) {
    const standing = await store.standing(attester)
    if ((await store.stand(attester, { version: standing.version, after: after(standing, verdict) })) === "kept") return
  }
}

/** Findings from which a stranger would learn what is pinned. */
const revealing: ReadonlySet<string> = new Set([
  ...["evidence.key-unknown", "evidence.signature", "evidence.attester", "ak.name", "ak.unfit", "quote.signature"],
])

/** Only who holds the enrolled keys is told more than that these are not they. */
const tellable = (found: readonly Finding[]): Finding[] =>
  found.some(each => revealing.has(each.id)) ? [strange] : shortFindings(found)
