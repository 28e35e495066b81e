/** Did this key sign these bytes? TPMT_SIGNATURE, TPM 2.0 Library, Part 2, 11.3.4, checked by node:crypto. */
import { constants, type KeyObject, verify } from "node:crypto"
import { counted, struct, u16, union, type Value } from "../wire/codec.ts"
import { type HashAlgorithm, hashAlgorithm } from "./algorithm.ts"
import { tags } from "./der.ts"

const rsa = struct({ hash: hashAlgorithm, value: counted(512) })

/** Exactly one scheme, and only its own fields. */
export const signature = union(u16, {
  rsassa: [0x0014, rsa],
  rsapss: [0x0016, rsa],
  ecdsa: [0x0018, struct({ hash: hashAlgorithm, r: counted(66), s: counted(66) })],
})
export type Signature = Value<typeof signature>

const weak: ReadonlySet<HashAlgorithm> = new Set(["sha1"])

/** Whether `key` made `signed` over `message`. A hash that is too weak, or a scheme that is not the key's, is a no. */
export function signedBy(key: KeyObject, message: Uint8Array, signed: Signature): boolean {
  if (weak.has(signed.hash)) return false
  if (signed.kind === "ecdsa") return key.asymmetricKeyType === "ec" && ecdsa(key, message, signed)
  if (key.asymmetricKeyType !== "rsa") return false
  const padding = signed.kind === "rsapss" ? constants.RSA_PKCS1_PSS_PADDING : constants.RSA_PKCS1_PADDING
  return verify(signed.hash, message, { key, padding, saltLength: constants.RSA_PSS_SALTLEN_AUTO }, signed.value)
}

const coordinateSize: Readonly<Record<string, number>> = { prime256v1: 32, secp384r1: 48, secp521r1: 66 }

/** Asking a key for its curve costs more than hashing what it signed. */
const sizes = new WeakMap<KeyObject, number>()

function sizeOf(key: KeyObject): number | undefined {
  const known = sizes.get(key)
  if (known !== undefined) return known
  const size = coordinateSize[key.asymmetricKeyDetails?.namedCurve ?? ""]
  if (size !== undefined) sizes.set(key, size)
  return size
}

function ecdsa(key: KeyObject, message: Uint8Array, signed: Signature & { kind: "ecdsa" }): boolean {
  const size = sizeOf(key)
  if (size === undefined || signed.r.length > size || signed.s.length > size) return false
  return verify(signed.hash, message, key, ecdsaValue(signed.r, signed.s))
}

/** ECDSA-Sig-Value (RFC 3279, 2.2.3): node:crypto takes it as it is, and a key that stands alone. Of 66 bytes each at most. */
function ecdsaValue(r: Uint8Array, s: Uint8Array): Uint8Array {
  const numbers = Buffer.concat([integer(r), integer(s)])
  const length = numbers.length < 0x80 ? [numbers.length] : [0x81, numbers.length]
  return Buffer.concat([Buffer.from([tags.sequence, ...length]), numbers])
}

/** A number as DER writes it: without zeroes in front, but one where the highest bit is a one, or where there is nothing else. */
function integer(magnitude: Uint8Array): Buffer {
  const from = magnitude.findIndex(byte => byte !== 0)
  const digits = from < 0 ? new Uint8Array(1) : magnitude.subarray(from)
  const sign = (digits[0] ?? 0) < 0x80 ? [] : [0]
  return Buffer.concat([Buffer.from([tags.integer, sign.length + digits.length, ...sign]), digits])
}

/** `bytes` with zeroes in front up to `size`: TPMs may leave leading zeroes out. */
export function leftPadded(bytes: Uint8Array, size: number): Uint8Array {
  return new Uint8Array(Buffer.concat([Buffer.alloc(Math.max(0, size - bytes.length)), bytes]))
}
