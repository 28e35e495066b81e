/**
 * Is this evidence authentic, fresh and whole? It is shown evidence bytes, pinned keys, what was asked and the time, and
 * nothing else. Whether what it says is acceptable is asked in `appraise/`; whether it continues what came before, in
 * `continuity.ts`. Every finding is reported, not the first only.
 */
import { timingSafeEqual } from "node:crypto"
import { decode, Malformed } from "../wire/codec.ts"
import { fromBase64, fromHex, sameBytes, toHex } from "../wire/text.ts"
import { type Quote, quote as quoteCodec } from "../tcg/attest.ts"
import { compositeDigest, type PcrSelection } from "../tcg/pcr.ts"
import { attestedBy, nameOf, type PublicArea, readPublic, whyNoAttestationKey } from "../tcg/public.ts"
import { type Signature, signature as signatureCodec } from "../tcg/signature.ts"
import { type Envelope, keyIdOf, payloadTypes, readEnvelope, signedEnvelope } from "../protocol/dsse.ts"
import {
  type Answer,
  type Body,
  digestAsRead,
  evidenceDigest,
  type Payload,
  readPayload,
} from "../protocol/evidence.ts"
import type { LogEvent } from "../protocol/event.ts"
import { qualifyingDataOver } from "../protocol/qualifying-data.ts"
import { checkBootLogs, type Circumstances, firstTime, type Platform } from "./boot-logs.ts"
import { type Finding, finding, refused } from "./finding.ts"
import { type Audited, checkAudit } from "./audit.ts"
import { checkLogs, type Logs } from "./log.ts"

/** What came from the attester or out of an archive. */
export type UntrustedEvidence = { readonly envelope: Uint8Array; readonly logs: Logs }

/** The keys of one attester, from a source that is not the evidence. */
export type PinnedKeys = {
  /** Name of the EK, in hex */
  readonly attester: string
  /** TPMT_PUBLIC of the AK */
  readonly ak: Uint8Array
  /** 32 bytes; or "as quoted": the AK is pinned and the quote binds whatever key signed */
  readonly evidenceKey: Uint8Array | "as quoted"
}

/** What was asked. `channel` is this end's own binding of the connection; `credential` the secret that was wrapped, or empty. */
export type Asked =
  | {
      readonly kind: "nonce"
      readonly nonce: Uint8Array
      readonly channel: Uint8Array | "not checkable"
      readonly credential: Uint8Array
      /** milliseconds since 1970, by this verifier's clock; left out where it is not known when the nonce was drawn */
      readonly issued?: number
    }
  | { readonly kind: "nothing" }

export type Expected = {
  readonly keys: PinnedKeys
  readonly asked: Asked
  /** PCRs that the quote must cover */
  readonly pcrs: readonly number[]
  /** the PCR that holds the attester's log: not for the attester to choose when it is asked */
  readonly logPcr: number
  /** for whom the evidence must be, or "anyone" where the nonce is the verifier's own, or history is read */
  readonly audience: { readonly named: string } | "anyone"
  /** milliseconds since 1970 */
  readonly now: number
}

declare const quoted: unique symbol
/** PCR values that a TPM signed for us; only {@link verify} makes them. */
export type QuotedPcrs = ReadonlyMap<number, Uint8Array> & { readonly [quoted]: true }

/** Evidence that {@link verify} found authentic. */
export type VerifiedEvidence = {
  readonly digest: string
  readonly body: Body
  readonly quote: Quote
  readonly quotedPcrs: QuotedPcrs
  /** what our log says, replayed to the quoted PCR */
  readonly events: readonly LogEvent[]
  readonly log: Uint8Array
  /** what the logs of firmware, systemd and IMA prove of the quoted PCRs; its findings are its own */
  readonly platform: Platform
  /** what command audit of TPM2_PCR_Reset stated */
  readonly audit: Audited | "unavailable"
  /** what was found and refuses nothing */
  readonly findings: readonly Finding[]
}

export type Outcome =
  | { readonly authentic: true; readonly evidence: VerifiedEvidence }
  | { readonly authentic: false; readonly findings: readonly Finding[] }

/** The most that the attester's clock may be ahead or behind, in milliseconds. */
const tolerance = 5 * 60_000

/** Judges `untrusted` against what is `expected`. Never throws for what the evidence holds. */
export const verify = (untrusted: UntrustedEvidence, expected: Expected): Outcome =>
  verifyAgain(untrusted, expected, firstTime)

/** As {@link verify}, by a verifier with circumstances of its own: what it remembers of this attester, and what it admits. */
export function verifyAgain(untrusted: UntrustedEvidence, expected: Expected, own: Circumstances): Outcome {
  try {
    return examine(untrusted, expected, own)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return { authentic: false, findings: [finding("evidence.malformed", "evidence", error.message, "the format")] }
  }
}

function examine(untrusted: UntrustedEvidence, expected: Expected, own: Circumstances): Outcome {
  const envelope = readEnvelope(untrusted.envelope)
  const unsigned = checkEnvelope(envelope, expected.keys)
  const payloadBytes = fromBase64(envelope.payload)
  const payload = attempt(() => readPayload(payloadBytes))
  if (payload instanceof Malformed)
    return {
      authentic: false,
      findings: [...unsigned, finding("evidence.malformed", "payload", payload.message, "the format")],
    }
  const { body } = payload
  const signer = ownKey(body, envelope, expected.keys)
  const { quote, found: aboutQuote } = checkQuote(payload, expected)
  const { audit, found: aboutAudit } = auditOf(payload, quote, expected)
  const before = own.remembered === "nothing" ? "nothing" : own.remembered.own
  const { events, log, own: read, found: aboutLogs } = checkLogs(payload, quote, untrusted.logs, before)
  const found = [
    ...unsigned,
    ...signer,
    ...checkAsked(body, expected),
    ...aboutQuote,
    ...aboutAudit,
    ...aboutLogs,
    ...checkTime(body, expected),
  ]
  if (refused(found) || !quote) return { authentic: false, findings: found }
  const quotedPcrs = valuesOf(payload) as unknown as QuotedPcrs
  const { platform, found: aboutBootLogs } = checkBootLogs(payload, quotedPcrs, untrusted.logs, own, read)
  if (refused(aboutBootLogs)) return { authentic: false, findings: [...found, ...aboutBootLogs] }
  const digest = evidenceDigest(payloadBytes)
  return {
    authentic: true,
    evidence: { digest, body, quote, quotedPcrs, events, log, audit, platform, findings: found },
  }
}

const auditOf = (payload: Payload, quote: Quote | undefined, { keys }: Expected): ReturnType<typeof checkAudit> =>
  quote ? checkAudit(payload, quote, keys.ak) : { audit: "unavailable", found: [] }

function checkEnvelope(envelope: Envelope, keys: PinnedKeys): Finding[] {
  const [{ keyid }] = envelope.signatures
  if (envelope.payloadType !== payloadTypes.evidence)
    return [finding("evidence.malformed", "envelope", envelope.payloadType, payloadTypes.evidence)]
  if (keys.evidenceKey === "as quoted") return []
  const wanted = keyIdOf(keys.evidenceKey)
  if (keyid !== wanted) return [finding("evidence.key-unknown", "envelope", keyid, wanted)]
  if (signedEnvelope(keys.evidenceKey, envelope)) return []
  return [finding("evidence.signature", "envelope", "a signature that does not fit", `a signature by ${wanted}`)]
}

/** The key that the body names, which the quote binds, is the key that signed, whether it is pinned or not. */
function ownKey(body: Body, envelope: Envelope, { evidenceKey }: PinnedKeys): Finding[] {
  const key = fromBase64(body.evidenceKey)
  if (evidenceKey !== "as quoted" && !sameBytes(key, evidenceKey))
    return [finding("evidence.key-unknown", "body", keyIdOf(key), keyIdOf(evidenceKey))]
  if (evidenceKey !== "as quoted" || signedEnvelope(key, envelope)) return []
  return [finding("evidence.signature", "envelope", "a signature by another key", `a signature by ${keyIdOf(key)}`)]
}

function checkAsked(body: Body, { keys, asked, audience, logPcr }: Expected): Finding[] {
  const found: Finding[] = []
  if (body.attester !== keys.attester)
    found.push(finding("evidence.attester", "evidence", body.attester, keys.attester))
  if (audience !== "anyone" && body.audience !== audience.named)
    found.push(finding("evidence.audience", "evidence", body.audience, audience.named))
  if (body.logPcr !== logPcr) found.push(finding("log.pcr", "log", `PCR ${body.logPcr}`, `PCR ${logPcr}`))
  if (body.kind === "answer") found.push(...checkCredential(body, secretOf(asked)))
  if (asked.kind === "nothing") return body.kind === "answer" ? [...found, unasked(body)] : found
  if (body.kind !== "answer") return [...found, finding("evidence.kind", "evidence", body.kind, "answer")]
  if (!sameSecret(fromBase64(body.nonce), asked.nonce))
    found.push(finding("nonce.mismatch", "nonce", toHex(fromBase64(body.nonce)), toHex(asked.nonce)))
  if (asked.channel === "not checkable")
    found.push(finding("channel.not-checkable", "channel", "a binding", "the connection's own"))
  else if (!sameSecret(fromBase64(body.channel), asked.channel))
    found.push(finding("channel.mismatch", "channel", toHex(fromBase64(body.channel)), toHex(asked.channel)))
  return found
}

/** What was wrapped and what the body says of it agree, both ways: a claim to have recovered what nobody wrapped is false. */
function checkCredential(body: Answer, secret: Uint8Array): Finding[] {
  const wanted = secret.length === 0 ? "none" : "recovered"
  return body.credential === wanted ? [] : [finding("credential.missing", "credential", body.credential, wanted)]
}

const secretOf = (asked: Asked): Uint8Array => (asked.kind === "nonce" ? asked.credential : new Uint8Array(0))

const unasked = (body: Answer): Finding =>
  finding("nonce.not-checked", "nonce", toHex(fromBase64(body.nonce)), "the nonce of who asked")

const sameSecret = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && timingSafeEqual(a, b)

function checkQuote(payload: Payload, expected: Expected): { quote: Quote | undefined; found: Finding[] } {
  const { body } = payload
  const attest = fromBase64(payload.quote.attest)
  const quote = attempt(() => decode(quoteCodec, attest))
  const signature = attempt(() => decode(signatureCodec, fromBase64(payload.quote.signature)))
  const ak = attempt(() => readPublic(expected.keys.ak))
  const found = [...malformed(quote, "quote"), ...malformed(signature, "signature"), ...checkKey(body, ak)]
  if (!(ak instanceof Malformed || signature instanceof Malformed)) found.push(...checkSignature(ak, attest, signature))
  if (quote instanceof Malformed) return { quote: undefined, found }
  const wanted = qualifyingDataOver(body, secretOf(expected.asked), digestAsRead(body))
  if (!sameSecret(quote.qualifyingData, wanted))
    found.push(finding("quote.qualifying-data", "quote", toHex(quote.qualifyingData), toHex(wanted)))
  found.push(...checkSelection(payload, quote, expected.pcrs))
  if (!(ak instanceof Malformed)) found.push(...checkValues(payload, quote, ak))
  return { quote, found }
}

/** What `decoding` gives, or why it is malformed: one bad part does not hide what is wrong with the others. */
function attempt<T>(decoding: () => T): T | Malformed {
  try {
    return decoding()
  } catch (error) {
    if (error instanceof Malformed) return error
    throw error
  }
}

const malformed = (part: Quote | Signature | Malformed, name: string): Finding[] =>
  part instanceof Malformed ? [finding("quote.malformed", name, part.message, `the ${name} of TPM2_Quote`)] : []

function checkKey(body: Body, ak: PublicArea | Malformed): Finding[] {
  if (ak instanceof Malformed) return [finding("ak.unfit", "ak", ak.message, "a public area (TPMT_PUBLIC)")]
  const name = toHex(nameOf(ak))
  const named = body.ak === name ? [] : [finding("ak.name", "ak", body.ak, name)]
  const faults = whyNoAttestationKey(ak)
  return [...named, ...faults.map(fault => finding("ak.unfit", "ak", fault, "a restricted signing key of one TPM"))]
}

function checkSignature(ak: PublicArea, attest: Uint8Array, signature: Signature): Finding[] {
  if (attempt(() => attestedBy(ak, attest, signature)) === true) return []
  const wanted = `${ak.scheme.kind} with ${ak.scheme.hash ?? "no hash"} by ${toHex(nameOf(ak))}`
  return [finding("quote.signature", "quote", `${signature.kind} with ${signature.hash} that does not fit`, wanted)]
}

function checkSelection({ body }: Payload, { selections }: Quote, required: readonly number[]): Finding[] {
  const said = selections.map(spoken).join("+")
  const claimed = spoken(body.selection)
  const found = said === claimed ? [] : [finding("quote.selection", "quote", said, claimed)]
  const lacking = [...required, body.logPcr].filter(pcr => !selections[0]?.pcrs.includes(pcr))
  if (lacking.length > 0) found.push(finding("quote.selection", "quote", said, `PCR ${lacking.join(", ")} too`))
  return found
}

const spoken = ({ bank, pcrs }: PcrSelection): string => `${bank}:${pcrs.join(",")}`

/** The values shown are exactly the quoted PCRs', in order; they hash to what was signed, by the hash of the AK's scheme. */
function checkValues(payload: Payload, { selections, pcrDigest }: Quote, ak: PublicArea): Finding[] {
  const pcrs = selections[0]?.pcrs ?? []
  const shown = payload.quote.pcrs.map(([pcr]) => pcr)
  if (shown.join(",") !== pcrs.join(",")) return [finding("quote.pcr-digest", "pcrs", shown.join(","), pcrs.join(","))]
  const composite = compositeDigest(ak.scheme.hash ?? ak.nameAlg, pcrs, valuesOf(payload))
  return sameBytes(composite, pcrDigest)
    ? []
    : [finding("quote.pcr-digest", "pcrs", toHex(composite), toHex(pcrDigest))]
}

const valuesOf = (payload: Payload): ReadonlyMap<number, Uint8Array> =>
  new Map(payload.quote.pcrs.map(([pcr, value]) => [pcr, fromHex(value)]))

/** What answers a nonce was not made before it was drawn, whatever its maker's clock says. */
function checkTime(body: Body, { now, asked }: Expected): Finding[] {
  const made = Date.parse(body.made)
  const instant = (time: number): string => new Date(time).toISOString()
  if (made > now + tolerance) return [finding("time.ahead", "clock", body.made, `at most ${instant(now + tolerance)}`)]
  const earliest = asked.kind === "nonce" && asked.issued !== undefined ? asked.issued - tolerance : -Infinity
  if (made >= earliest) return []
  return [finding("time.behind", "clock", body.made, `at least ${instant(earliest)}`)]
}
