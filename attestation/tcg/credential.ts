/**
 * How is a secret wrapped so that only the TPM with this EK can open it, and only for this AK? TPM2_MakeCredential in
 * software: TPM 2.0 Library, Part 1, 24 (credential protection), 11.4.10 (KDFa, KDFe), annexes B.10.3 and C.6.1.
 * All chance is an argument.
 */
import {
  constants,
  createCipheriv,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  publicEncrypt,
} from "node:crypto"
import { Malformed } from "../wire/codec.ts"
import { curveFacts, digestSize, type HashAlgorithm } from "./algorithm.ts"
import { type EccPublic, keyOf, type PublicArea, type RsaPublic } from "./public.ts"
import { leftPadded } from "./signature.ts"

/** TPM2B_ID_OBJECT and TPM2B_ENCRYPTED_SECRET, as TPM2_ActivateCredential takes them. */
export type Credential = { readonly idObject: Uint8Array; readonly encryptedSecret: Uint8Array }

/** Chance for one credential: for an RSA EK 64 bytes each of seed and mask, for an ECC EK a fresh key of its curve (PKCS#8 DER). */
export type Chance =
  | { readonly kind: "rsa"; readonly seed: Uint8Array; readonly mask: Uint8Array }
  | { readonly kind: "ecc"; readonly ephemeral: Uint8Array }

/** Wraps `secret` (at most a digest of the EK's nameAlg) for the TPM with `ek`, to be opened for the key named `akName`. */
export function makeCredential(ek: PublicArea, akName: Uint8Array, secret: Uint8Array, chance: Chance): Credential {
  const size = digestSize[ek.nameAlg]
  if (secret.length > size) throw new RangeError(`a credential holds at most ${size} bytes`)
  if (!ek.symmetric) throw new Malformed("the EK is no storage key: it names no symmetric algorithm")
  const { seed, encryptedSecret } = wrapSeed(ek, chance)
  const bits = ek.symmetric.bits
  const key = kdfa(ek.nameAlg, seed, "STORAGE", akName, bits)
  const cipher = createCipheriv(`aes-${bits}-cfb`, key, Buffer.alloc(16))
  const identity = Buffer.concat([cipher.update(tpm2b(secret)), cipher.final()])
  const integrityKey = kdfa(ek.nameAlg, seed, "INTEGRITY", Buffer.alloc(0), size * 8)
  const integrity = createHmac(ek.nameAlg, integrityKey).update(identity).update(akName).digest()
  return { idObject: tpm2b(Buffer.concat([tpm2b(integrity), identity])), encryptedSecret: tpm2b(encryptedSecret) }
}

function wrapSeed(ek: PublicArea, chance: Chance): Wrapped {
  if (ek.kind === "rsa" && chance.kind === "rsa") return forRsa(ek, chance)
  if (ek.kind === "ecc" && chance.kind === "ecc") return forEcc(ek, chance)
  throw new RangeError(`an ${ek.kind} EK needs chance of its own kind`)
}

type Wrapped = { readonly seed: Uint8Array; readonly encryptedSecret: Uint8Array }

/** RSAES-OAEP (RFC 8017, 7.1.1) with the EK's nameAlg and the label "IDENTITY" with its final zero. */
function forRsa(ek: RsaPublic & PublicArea, chance: Chance & { kind: "rsa" }): Wrapped {
  const hash = ek.nameAlg
  const size = digestSize[hash]
  const seed = chance.seed.subarray(0, size)
  const mask = Buffer.from(chance.mask.subarray(0, size))
  const k = ek.modulus.length
  if (k < 3 * size + 2) throw new Malformed(`an RSA EK of ${ek.bits} bits cannot wrap a seed of ${size} bytes`)
  const block = Buffer.concat([
    createHash(hash).update("IDENTITY\0").digest(),
    Buffer.alloc(k - 2 * size - 2 - seed.length),
    Buffer.from([1]),
    seed,
  ])
  const maskedBlock = xor(block, mgf1(hash, mask, block.length))
  const maskedSeed = xor(mask, mgf1(hash, maskedBlock, size))
  const message = Buffer.concat([Buffer.from([0]), maskedSeed, maskedBlock])
  return { seed, encryptedSecret: rawRsa(ek, message) }
}

/** `message` to the power of the exponent. Throws Malformed for a modulus with which OpenSSL cannot compute: an even one. */
function rawRsa(ek: RsaPublic & PublicArea, message: Uint8Array): Uint8Array {
  const key = keyOf(ek)
  try {
    return publicEncrypt({ key, padding: constants.RSA_NO_PADDING }, message)
  } catch {
    throw new Malformed("the RSA EK holds no modulus that a secret can be encrypted with")
  }
}

/** One-pass ECDH with an ephemeral key (Part 1, C.6.1); x-coordinates at their full length. */
function forEcc(ek: EccPublic & PublicArea, chance: Chance & { kind: "ecc" }): Wrapped {
  const { size } = curveFacts[ek.curve]
  const privateKey = createPrivateKey({ key: Buffer.from(chance.ephemeral), format: "der", type: "pkcs8" })
  const jwk = createPublicKey(privateKey).export({ format: "jwk" })
  const x = leftPadded(Buffer.from(jwk.x ?? "", "base64url"), size)
  const y = leftPadded(Buffer.from(jwk.y ?? "", "base64url"), size)
  const z = leftPadded(diffieHellman({ privateKey, publicKey: keyOf(ek) }), size)
  const seed = kdfe(ek.nameAlg, z, "IDENTITY", x, leftPadded(ek.x, size))
  return { seed, encryptedSecret: Buffer.concat([tpm2b(x), tpm2b(y)]) }
}

const tpm2b = (bytes: Uint8Array): Uint8Array => new Uint8Array(Buffer.concat([u16(bytes.length), bytes]))
const u16 = (n: number): Buffer => Buffer.from([n >> 8, n & 0xff])
const u32 = (n: number): Buffer => Buffer.from([n >>> 24, (n >> 16) & 0xff, (n >> 8) & 0xff, n & 0xff])
const xor = (a: Uint8Array, b: Uint8Array): Buffer => Buffer.from(a.map((byte, i) => byte ^ b[i]!))

/** RFC 8017, B.2.1. */
function mgf1(hash: HashAlgorithm, seed: Uint8Array, length: number): Buffer {
  const blocks = Math.ceil(length / digestSize[hash])
  const parts = Array.from({ length: blocks }, (_, i) => createHash(hash).update(seed).update(u32(i)).digest())
  return Buffer.concat(parts).subarray(0, length)
}

/** KDFa (Part 1, 11.4.10.2): HMAC in counter mode. */
function kdfa(hash: HashAlgorithm, key: Uint8Array, label: string, context: Uint8Array, bits: number): Buffer {
  const blocks = Math.ceil(bits / 8 / digestSize[hash])
  const parts = Array.from({ length: blocks }, (_, i) =>
    createHmac(hash, key)
      .update(u32(i + 1))
      .update(`${label}\0`)
      .update(context)
      .update(u32(bits))
      .digest(),
  )
  return Buffer.concat(parts).subarray(0, bits / 8)
}

/** KDFe (Part 1, 11.4.10.3) for one digest's worth of bits. */
function kdfe(hash: HashAlgorithm, z: Uint8Array, label: string, partyU: Uint8Array, partyV: Uint8Array): Buffer {
  return createHash(hash).update(u32(1)).update(z).update(`${label}\0`).update(partyU).update(partyV).digest()
}
