/** Which algorithm does a number name? The TCG Algorithm Registry's identifiers, as far as attestation meets them. */
import { named, u16, type Value } from "../wire/codec.ts"

/** TPM_ALG_ID of hash algorithms: the banks of PCRs and the hashes of Names and signatures. */
export const hashIdentifiers = { sha1: 0x0004, sha256: 0x000b, sha384: 0x000c, sha512: 0x000d } as const
export const hashAlgorithm = named(u16, hashIdentifiers)
export type HashAlgorithm = Value<typeof hashAlgorithm>

/** All of them, from the shortest digest to the longest. */
export const hashAlgorithms: readonly HashAlgorithm[] = ["sha1", "sha256", "sha384", "sha512"]

/** Bytes in a digest of each hash algorithm. */
export const digestSize: Readonly<Record<HashAlgorithm, number>> = { sha1: 20, sha256: 32, sha384: 48, sha512: 64 }

/** TPM_ECC_CURVE of the curves that keys here may use. */
export const curveIdentifiers = { p256: 0x0003, p384: 0x0004, p521: 0x0005 } as const
export const curve = named(u16, curveIdentifiers)
export type Curve = Value<typeof curve>

/** A curve's name in JSON Web Keys, and the bytes in one coordinate. */
export const curveFacts: Readonly<Record<Curve, { readonly jwk: string; readonly size: number }>> = {
  p256: { jwk: "P-256", size: 32 },
  p384: { jwk: "P-384", size: 48 },
  p521: { jwk: "P-521", size: 66 },
}

/** TPM_ALG_NULL. */
export const algNull = 0x0010
