/** Which parsers meet foreign bytes? One row each. A parser that is added to the project is added here. */
import { readConfiguration as readAgentConfiguration } from "../../agent/config.ts"
import { readConfiguration as readCollectorConfiguration } from "../../collector/config.ts"
import { Delivery } from "../../collector/delivery.ts"
import { BadConfiguration } from "../../local/configuration.ts"
import { readResult } from "../../attestation/appraise/result.ts"
import { readReference, writeReference } from "../../attestation/pins/reference.ts"
import { ed25519Verifies, readEnvelope, signedEnvelope } from "../../attestation/protocol/dsse.ts"
import { readEvent, writeEvent } from "../../attestation/protocol/event.ts"
import { readPayload, writePayload } from "../../attestation/protocol/evidence.ts"
import { readInvitation, writeInvitation } from "../../attestation/protocol/invitation.ts"
import * as message from "../../attestation/protocol/message.ts"
import { qualifyingData } from "../../attestation/protocol/qualifying-data.ts"
import { auditAttest, creationAttest, quote } from "../../attestation/tcg/attest.ts"
import { readCel, replayCel, writeCelLine } from "../../attestation/tcg/cel.ts"
import { whyNotEndorsement } from "../../attestation/tcg/creation.ts"
import { makeCredential } from "../../attestation/tcg/credential.ts"
import { keyOf, nameOf, readPublic, whyNoAttestationKey } from "../../attestation/tcg/public.ts"
import { signature, signedBy } from "../../attestation/tcg/signature.ts"
import { verify } from "../../attestation/verify/verify.ts"
import { type Codec, decode, encode, Malformed } from "../../attestation/wire/codec.ts"
import { frame, Unframer } from "../../attestation/wire/frame.ts"
import { sameBytes } from "../../attestation/wire/text.ts"
import { bootLogs } from "./boot-logs.ts"
import { certificates } from "./certificates.ts"
import { governance } from "./governance.ts"
import { machine } from "./machine.ts"
import { release } from "./release.ts"
import * as seed from "./seeds.ts"
import { Broken, type Target } from "./target.ts"

const none = new Uint8Array(0)
const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8")

/** What was accepted has one spelling: written again it is the same. */
function sameAgain(bytes: Uint8Array, again: Uint8Array): void {
  if (!sameBytes(bytes, again)) throw new Broken("accepted, and written again in another spelling")
}

/** A parser of bytes that throws Malformed and nothing else. */
const parser = (
  name: string,
  grammar: Target["grammar"],
  seeds: readonly Uint8Array[],
  take: (bytes: Uint8Array) => void,
): Target => ({ name, grammar, refusal: Malformed, seeds: () => seeds, take })

/** A structure of the TPM: decoded, and the same when its encoding is decoded again. */
const structure = <T>(name: string, codec: Codec<T>, seeds: readonly Uint8Array[], use: (value: T) => void): Target =>
  parser(name, "bytes", seeds, bytes => {
    const value = decode(codec, bytes)
    use(value)
    sameAgain(bytes, encode(codec, value))
  })

const key = keyOf(readPublic(seed.akPublic))

const tpm: readonly Target[] = [
  parser("tpm-public", "bytes", seed.publicAreas, bytes => {
    const area = readPublic(bytes)
    nameOf(area)
    whyNoAttestationKey(area)
    keyOf(area)
  }),
  parser("tpm-credential", "bytes", seed.storageKeys, bytes => {
    const ek = readPublic(bytes)
    makeCredential(ek, none, new Uint8Array(16), seed.chanceFor(ek))
  }),
  structure("tpm-signature", signature, seed.signatures, value => {
    signedBy(key, none, value)
  }),
  // a selection is read with up to four bytes and written with three: only what it means is compared
  parser("tpm-quote", "bytes", seed.attests, bytes => {
    const value = decode(quote, bytes)
    if (value.selections.some(({ pcrs }) => pcrs.some(pcr => pcr > 23))) return
    const again = encode(quote, value)
    sameAgain(again, encode(quote, decode(quote, again)))
  }),
  structure("tpm-audit-attest", auditAttest, seed.audits, () => undefined),
  structure("tpm-creation-attest", creationAttest, [seed.creation.attest], () => undefined),
  {
    ...parser(
      "tpm-creation",
      "bytes",
      [framed(seed.creation.data, seed.creation.attest, seed.creation.signature)],
      bytes => {
        const [data = none, attest = none, signed = none, ...more] = unframed(bytes)
        if (more.length > 0) throw new Malformed("more than three parts")
        const faults = whyNotEndorsement(readPublic(seed.akPublic), { data, attest, signature: signed })
        const whole = sameBytes(data, seed.creation.data) && sameBytes(attest, seed.creation.attest)
        if (faults.length === 0 && !whole) throw new Broken("a proof of creation that was altered is accepted")
      },
    ),
  },
]

function framed(...parts: readonly Uint8Array[]): Uint8Array {
  return seed.join(...parts.map(frame))
}

/** The frames in `bytes`, whatever the chunks in which they come. Throws Malformed. */
function unframed(bytes: Uint8Array): Uint8Array[] {
  const whole = new Unframer(1 << 20)
  const split = new Unframer(1 << 20)
  const frames = whole.push(bytes)
  const middle = bytes.length >> 1
  const again = [...split.push(bytes.subarray(0, middle)), ...split.push(bytes.subarray(middle))]
  if (whole.pending !== split.pending || !sameBytes(seed.join(...frames), seed.join(...again)))
    throw new Broken("frames depend on how their bytes come")
  if (whole.pending > 0) throw new Malformed("a frame is not whole")
  return frames
}

/** Whether a log begins with what {@link seed.log} holds. */
const isSeedLog = (log: Uint8Array): boolean => sameBytes(log.subarray(0, seed.log.length), seed.log)

/** Verifies; evidence other than the seed's must not pass. */
function mustNotPass(envelope: Uint8Array, log: Uint8Array, isSeed: boolean): void {
  const outcome = verify({ envelope, logs: new Map([["assay", log]]) }, seed.expected)
  if (outcome.authentic && !(isSeed && isSeedLog(log))) throw new Broken("altered evidence is authentic")
  if (!outcome.authentic && outcome.findings.length === 0) throw new Broken("refused without a finding")
  const [first] = outcome.authentic ? [] : outcome.findings
  if (first) throw new Malformed(`${first.id}: ${first.seen}`)
}

const [answer = none] = seed.payloadBytes
const [payload] = seed.payloads

/** Whether it says what the seed says, command audit and other programs' logs aside: those the quote does not bind, and verdicts tell. */
function saysTheSame(bytes: Uint8Array): boolean {
  const { body, quote: said } = readPayload(bytes)
  const bound = (each: Pick<typeof said, "attest" | "signature" | "pcrs">): string =>
    JSON.stringify([each.attest, each.signature, each.pcrs])
  return (
    payload !== undefined &&
    JSON.stringify(body) === JSON.stringify(payload.body) &&
    bound(said) === bound(payload.quote)
  )
}
const envelope = seed.enveloped(answer)

const evidence: readonly Target[] = [
  parser("event-log", "text", [seed.log], bytes => {
    const records = readCel(bytes)
    replayCel(records, 23, "sha256")
    sameAgain(bytes, seed.join(...records.map(writeCelLine)))
  }),
  parser("event", "json", seed.events.map(seed.utf8), bytes => {
    const event = text(bytes)
    if (writeEvent(readEvent(event)) !== event) throw new Broken("an event that has two spellings")
  }),
  parser("envelope", "json", [envelope], bytes => {
    signedEnvelope(seed.evidenceKey, readEnvelope(bytes))
  }),
  parser("payload", "json", seed.payloadBytes, bytes => {
    const payload = readPayload(bytes)
    qualifyingData(payload.body, none)
    sameAgain(bytes, writePayload(payload))
  }),
  parser("evidence", "bytes", [framed(envelope, seed.log)], bytes => {
    const [untrusted = none, log = none] = unframed(bytes)
    mustNotPass(untrusted, log, sameBytes(untrusted, envelope))
  }),
  // signed by the right key whatever it says: what is left are the quote, the log and the nonce
  parser("evidence-resealed", "json", [answer], bytes => {
    mustNotPass(seed.enveloped(bytes), seed.log, saysTheSame(bytes))
  }),
  parser("log-of-evidence", "text", [seed.utf8(seed.events.join("\n"))], bytes => {
    const contents = Buffer.from(bytes).toString("utf8").split("\n")
    mustNotPass(envelope, seed.logOf(contents.slice(0, 1000)), true)
  }),
  parser("ed25519", "bytes", seed.ed25519, bytes => {
    const parts = [bytes.subarray(0, 32), bytes.subarray(96), bytes.subarray(32, 96)] as const
    if (!ed25519Verifies(...parts)) throw new Malformed("no signature")
    if (!seed.ed25519.some(each => sameBytes(each, bytes))) throw new Broken("an altered signature fits")
  }),
  parser("result", "json", seed.results, bytes => {
    readResult(bytes)
  }),
  parser("reference", "json", seed.references, bytes => sameAgain(bytes, writeReference(readReference(bytes)))),
]

/** Announced bytes, delivered in frames: as many come out as were announced, and not one more is taken. */
function deliver(announced: Extract<message.FromAttester, { type: "evidence" }>): void {
  const delivery = new Delivery(announced)
  const wanted = announced.logs.reduce((sum, log) => sum + log.length, announced.envelope)
  if (wanted > 1 << 16) return
  const delivered = delivery.push(new Uint8Array(wanted))
  if (delivered === "more" || delivered.whole.length !== wanted) throw new Broken("a delivery that is not whole")
  const parts = delivered.logs.reduce((sum, log) => sum + log.bytes.length, delivered.envelope.length)
  if (parts !== wanted) throw new Broken("the parts of a delivery are not the whole")
}

const messages: readonly Target[] = [
  parser("message-from-attester", "json", seed.messages.fromAttester, bytes => {
    const read = message.readFromAttester(bytes)
    sameAgain(bytes, seed.utf8(message.writeMessage(read)))
    if (read.type === "evidence") deliver(read)
  }),
  parser("message-to-attester", "json", seed.messages.toAttester, bytes =>
    sameAgain(bytes, seed.utf8(message.writeMessage(message.readToAttester(bytes)))),
  ),
  parser("message-from-verifier", "json", seed.messages.fromVerifier, bytes =>
    sameAgain(bytes, seed.utf8(message.writeMessage(message.readFromVerifier(bytes)))),
  ),
  parser("message-to-verifier", "json", seed.messages.toVerifier, bytes =>
    sameAgain(bytes, seed.utf8(message.writeMessage(message.readToVerifier(bytes)))),
  ),
  parser("frames", "bytes", [framed(none, seed.utf8("a"), seed.utf8("several bytes"))], bytes => {
    sameAgain(bytes, framed(...unframed(bytes)))
  }),
]

const people: readonly Target[] = [
  parser("invitation", "text", [seed.utf8(seed.invitation)], bytes => {
    const invitation = text(bytes)
    if (writeInvitation(readInvitation(invitation)) !== invitation.trim())
      throw new Broken("an invitation of two spellings")
  }),
  {
    ...{
      name: "agent-configuration",
      grammar: "text",
      refusal: BadConfiguration,
      seeds: () => seed.agentConfigurations,
    },
    take: bytes => void readAgentConfiguration(text(bytes), {}),
  },
  {
    ...{ name: "collector-configuration", grammar: "text", refusal: BadConfiguration },
    seeds: () => seed.collectorConfigurations,
    take: bytes => void readCollectorConfiguration(text(bytes), { hostname: "a", environment: {} }),
  },
]

/** Every target, in the order in which they are run. */
export const targets: readonly Target[] = [
  ...[...tpm, certificates, ...evidence, ...bootLogs, ...messages, release],
  ...[...people, ...governance, ...machine],
]
