/** What may a TPM's key do, and what is it called? TPMT_PUBLIC and Names, TPM 2.0 Library, Part 2, 12.2, and Part 1, 16. */
import { createPublicKey, type KeyObject } from "node:crypto"
import { type Codec, constant, counted, decode, Malformed, named, struct, u16, u32, type Value } from "../wire/codec.ts"
import { digestOf } from "../wire/digest.ts"
import { Memo } from "../wire/memo.ts"
import { toHex } from "../wire/text.ts"
import { algNull, curve, curveFacts, hashAlgorithm, hashIdentifiers } from "./algorithm.ts"
import { leftPadded, type Signature, signedBy } from "./signature.ts"

/** TPMA_OBJECT, Part 2, 8.3. */
export const objectAttributes = {
  fixedTPM: 1 << 1,
  stClear: 1 << 2,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  userWithAuth: 1 << 6,
  adminWithPolicy: 1 << 7,
  noDA: 1 << 10,
  encryptedDuplication: 1 << 11,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const

/** TPMI_AES_KEY_BITS, and CFB: the one mode of a parent (Part 2, 11.1.6). */
const aes = struct({ bits: u16, mode: constant(u16, 0x0043) })
/** TPMT_SYM_DEF_OBJECT: AES, or none for a key that is no parent. */
const symmetric: Codec<Value<typeof aes> | undefined> = {
  read: from => {
    if (named(u16, { none: algNull, aes: 0x0006 }).read(from) === "none") return undefined
    const fields = aes.read(from)
    if (![128, 192, 256].includes(fields.bits)) throw new Malformed(`there is no AES of ${fields.bits} bits`)
    return fields
  },
  write: (to, value) => {
    u16.write(to, value ? 0x0006 : algNull)
    if (value) aes.write(to, value)
  },
}

/** TPMT_ASYM_SCHEME with its hash, or none. */
const schemes = { none: algNull, rsassa: 0x0014, rsapss: 0x0016, ecdsa: 0x0018 } as const
type Scheme = { readonly kind: keyof typeof schemes; readonly hash?: keyof typeof hashIdentifiers }
const scheme: Codec<Scheme> = {
  read: from => {
    const kind = named(u16, schemes).read(from)
    return kind === "none" ? { kind } : { kind, hash: hashAlgorithm.read(from) }
  },
  write: (to, value) => {
    named(u16, schemes).write(to, value.kind)
    if (value.hash !== undefined) hashAlgorithm.write(to, value.hash)
  },
}

const head = { nameAlg: hashAlgorithm, attributes: u32, authPolicy: counted(64) } as const
const rsaArea = struct({
  type: constant(u16, 0x0001),
  ...head,
  symmetric,
  scheme,
  bits: u16,
  exponent: u32,
  modulus: counted(512),
})
const eccArea = struct({
  type: constant(u16, 0x0023),
  ...head,
  symmetric,
  scheme,
  curve,
  kdf: constant(u16, algNull),
  x: counted(66),
  y: counted(66),
})

export type RsaPublic = { readonly kind: "rsa" } & Value<typeof rsaArea>
export type EccPublic = { readonly kind: "ecc" } & Value<typeof eccArea>
/** A public area as decoded, with the bytes it came as. */
export type PublicArea = (RsaPublic | EccPublic) & { readonly bytes: Uint8Array }

/** The public area in `bytes` (TPMT_PUBLIC, without the TPM2B's length). Throws Malformed. */
export function readPublic(bytes: Uint8Array): PublicArea {
  const type = bytes.length < 2 ? -1 : Buffer.from(bytes).readUInt16BE()
  if (type === 0x0001) return { kind: "rsa", ...checkModulus(decode(rsaArea, bytes)), bytes }
  if (type === 0x0023) return { kind: "ecc", ...decode(eccArea, bytes), bytes }
  throw new Malformed("the public area is neither of an RSA nor of an ECC key")
}

/** A modulus is as long as its area says: what is decided by `bits` is decided about the key. */
function checkModulus(area: Value<typeof rsaArea>): Value<typeof rsaArea> {
  if (area.modulus.length * 8 === area.bits && (area.modulus[0] ?? 0) >= 0x80) return area
  throw new Malformed(`the modulus is not of ${area.bits} bits`)
}

/** The Name of an object: its nameAlg, then the hash of its public area (Part 1, 16). */
export function nameOf(area: PublicArea): Uint8Array {
  const algorithm = Buffer.alloc(2)
  algorithm.writeUInt16BE(hashIdentifiers[area.nameAlg])
  return new Uint8Array(Buffer.concat([algorithm, digestOf(area.nameAlg, area.bytes)]))
}

/** The key of a public area for node:crypto. Throws Malformed if it is no key that OpenSSL accepts. */
export const keyOf = (area: PublicArea): KeyObject => keys.get(toHex(area.bytes), () => keyFrom(area))

/** Attestation keys are few and used again and again. */
const keys = new Memo<KeyObject>(4096)

function keyFrom(area: PublicArea): KeyObject {
  try {
    return createPublicKey({ format: "jwk", key: area.kind === "rsa" ? rsaJwk(area) : eccJwk(area) })
  } catch {
    throw new Malformed("the public area holds no valid key")
  }
}

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")

function rsaJwk(area: RsaPublic): { kty: "RSA"; n: string; e: string } {
  const exponent = Buffer.alloc(4)
  exponent.writeUInt32BE(area.exponent || 65537)
  return {
    kty: "RSA",
    n: base64url(area.modulus),
    e: base64url(exponent.subarray(exponent.findIndex(byte => byte > 0))),
  }
}

function eccJwk(area: EccPublic): { kty: "EC"; crv: string; x: string; y: string } {
  const { jwk, size } = curveFacts[area.curve]
  return { kty: "EC", crv: jwk, x: base64url(leftPadded(area.x, size)), y: base64url(leftPadded(area.y, size)) }
}

/** Zero stands for 65537; an even or small one signs nothing that others could not sign too. */
const weakExponent = (exponent: number): boolean => exponent !== 0 && (exponent < 65_537 || exponent % 2 === 0)

/** Whether `area`'s key made `signed` over `message`, in the very scheme and with the very hash that the area names. */
export const attestedBy = (area: PublicArea, message: Uint8Array, signed: Signature): boolean =>
  signed.kind === area.scheme.kind && signed.hash === area.scheme.hash && signedBy(keyOf(area), message, signed)

/** What keeps a key from being an attestation key: a key made and held by one TPM that signs what that TPM made. */
export function whyNoAttestationKey(area: PublicArea): string[] {
  const { restricted, sign, decrypt, fixedTPM, fixedParent, sensitiveDataOrigin } = objectAttributes
  const required = { restricted, sign, fixedTPM, fixedParent, sensitiveDataOrigin }
  const lacking = Object.entries(required).filter(([, bit]) => !(area.attributes & bit))
  const faults = lacking.map(([name]) => `lacks ${name}`)
  if (area.attributes & decrypt) faults.push("may decrypt")
  if (area.kind === "rsa" && area.bits < 2048) faults.push(`has only ${area.bits} bits`)
  if (area.kind === "rsa" && weakExponent(area.exponent)) faults.push(`has the exponent ${area.exponent}`)
  if (area.scheme.kind === "none") faults.push("has no signing scheme of its own")
  if (area.scheme.hash === "sha1" || area.nameAlg === "sha1") faults.push("uses SHA-1")
  return faults
}
