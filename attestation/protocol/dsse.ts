/**
 * Who signed these bytes? DSSE v1 envelopes (secure-systems-lab/dsse, protocol.md): the signature is over the pre-authentication
 * encoding (PAE) of payload type and payload, exactly as they came. Ed25519 is RFC 8032's, cofactorless,
 * and without points of small order: on those, versions of OpenSSL disagree.
 */
import { createPublicKey, hash, type KeyObject, verify } from "node:crypto"
import { z } from "zod"
import { readExact, writeExact } from "../wire/json.ts"
import { Memo } from "../wire/memo.ts"
import { base64, base64Exactly, fromBase64, hex, toBase64, toHex } from "../wire/text.ts"

/** The payload types of this project. */
export const payloadTypes = {
  evidence: "application/vnd.assay.evidence.v1+json",
  result: "application/vnd.assay.attestation-result.v1+json",
} as const
export type PayloadType = (typeof payloadTypes)[keyof typeof payloadTypes]

const envelope = z.strictObject({
  payloadType: z.enum(Object.values(payloadTypes)),
  payload: base64(1 << 18),
  signatures: z.tuple([z.strictObject({ keyid: hex(32), sig: base64Exactly(64) })]),
})
/** An envelope as it came: `payload` holds bytes that nobody has vouched for yet. */
export type Envelope = z.infer<typeof envelope>

/** The most bytes of a whole envelope. */
export const envelopeLimit = 1 << 19

/** The envelope in `bytes`. Throws Malformed. */
export const readEnvelope = (bytes: Uint8Array): Envelope => readExact(envelope, bytes, envelopeLimit)

/** PAE(type, payload): what is signed. */
export function preAuthentication(payloadType: string, payload: Uint8Array): Uint8Array {
  const type = Buffer.from(payloadType, "utf8")
  const head = `DSSEv1 ${type.length} ${payloadType} ${payload.length} `
  return new Uint8Array(Buffer.concat([Buffer.from(head, "utf8"), payload]))
}

/** SubjectPublicKeyInfo of an Ed25519 key (RFC 8410) before its 32 bytes. */
const spkiHead = Buffer.from("302a300506032b6570032100", "hex")
const spki = (publicKey: Uint8Array): Buffer => Buffer.concat([spkiHead, publicKey])

/** What an Ed25519 key is called: SHA-256 of its SubjectPublicKeyInfo, in hex, as `openssl pkey -pubin -outform DER | sha256sum` says. */
export const keyIdOf = (publicKey: Uint8Array): string => hash("sha256", spki(publicKey))

/** The key in PEM, for people and for openssl. */
export function toPem(publicKey: Uint8Array): string {
  return `-----BEGIN PUBLIC KEY-----\n${spki(publicKey).toString("base64")}\n-----END PUBLIC KEY-----\n`
}

/** Every encoding of a point whose order divides eight, its sign bit cleared. Such a key or R fits many messages. */
const smallOrder: ReadonlySet<string> = new Set([
  "00".repeat(32),
  `01${"00".repeat(31)}`,
  `ec${"ff".repeat(30)}7f`,
  `ed${"ff".repeat(30)}7f`,
  `ee${"ff".repeat(30)}7f`,
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
])
const isSmallOrder = (point: Uint8Array): boolean => smallOrder.has(toHex(point.with(31, (point[31] ?? 0) & 0x7f)))

/** A verifier checks the same few keys again and again, and making a key's object takes as long as half a signature. */
const keyObjects = new Memo<KeyObject>(4096)
const keyObject = (publicKey: Uint8Array): KeyObject =>
  keyObjects.get(toHex(publicKey), () => createPublicKey({ key: spki(publicKey), format: "der", type: "spki" }))

/** Whether `publicKey` (32 bytes) signed `message`; false also for a key or a signature that is none. */
export function ed25519Verifies(publicKey: Uint8Array, message: Uint8Array, sig: Uint8Array): boolean {
  if (publicKey.length !== 32 || sig.length !== 64) return false
  if (isSmallOrder(publicKey) || isSmallOrder(sig.subarray(0, 32))) return false
  try {
    return verify(null, message, keyObject(publicKey), sig)
  } catch {
    return false
  }
}

/** Whether the envelope's one signature is by `publicKey`. */
export function signedEnvelope(by: Uint8Array, signed: Envelope): boolean {
  const [{ keyid, sig }] = signed.signatures
  if (keyid !== keyIdOf(by)) return false
  return ed25519Verifies(by, preAuthentication(signed.payloadType, fromBase64(signed.payload)), fromBase64(sig))
}

/** The envelope over `payload`, given what signs its pre-authentication encoding. */
export function seal(
  payloadType: PayloadType,
  payload: Uint8Array,
  publicKey: Uint8Array,
  sign: (message: Uint8Array) => Uint8Array,
): Uint8Array {
  const sig = toBase64(sign(preAuthentication(payloadType, payload)))
  const signatures: Envelope["signatures"] = [{ keyid: keyIdOf(publicKey), sig }]
  return writeExact(envelope, { payloadType, payload: toBase64(payload), signatures })
}
