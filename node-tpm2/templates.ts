/**
 * What shall a new object be? Templates (TPMT_PUBLIC) for the few kinds an attester needs; others are bytes as well.
 *
 * EK templates: TCG EK Credential Profile for TPM 2.0, 2.5, annex B.3 and B.4. Structure: TPM 2.0 Part 2, 12.2.4.
 */
import { EMPTY, HASH_ALGORITHMS, type HashAlgorithm, join, sized, u16, u32 } from "./wire.ts"

/** TPM_ALG_ID. */
const ALG = { rsa: 0x0001, aes: 0x0006, keyedHash: 0x0008, null: 0x0010, ecdsa: 0x0018, ecc: 0x0023, cfb: 0x0043 }
/** TPM_ECC_CURVE. */
const CURVE = { p256: 0x0003, p384: 0x0004 }
/** TPMA_OBJECT (Part 2, 8.3). */
const FIXED = 0x00000002 | 0x00000010 // fixedTPM, fixedParent
const MADE_BY_TPM = 0x00000020 // sensitiveDataOrigin
const USER_WITH_AUTH = 0x00000040
const ADMIN_WITH_POLICY = 0x00000080
const NO_DA = 0x00000400
const RESTRICTED = 0x00010000
const DECRYPT = 0x00020000
const SIGN = 0x00040000

/** PolicyA for SHA-256: PolicySecret(TPM_RH_ENDORSEMENT). */
const POLICY_A_SHA256 = bytes("837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa")
/** PolicyB for SHA-384: PolicyA, or what an NV index authorises. */
const POLICY_B_SHA384 = bytes(
  "b26e7d28d11a50bc53d882bcf5fd3a1a074148bb35d3b4e4cb1c0ad9bde419cacb47ba09699646150f9fc000f3f80e12",
)

const EK_LOW = FIXED | MADE_BY_TPM | ADMIN_WITH_POLICY | RESTRICTED | DECRYPT
const NULL = u16(ALG.null)

/** EK, RSA 2048, template L-1. Its certificate stands at NV 0x01c00002. */
export const EK_RSA_2048: Uint8Array = join(
  ...head(ALG.rsa, "sha256", EK_LOW, POLICY_A_SHA256),
  aesCfb(128),
  NULL,
  u16(2048),
  u32(0),
  sized(new Uint8Array(256)),
)

/** EK, ECC NIST P-256, template L-2. Its certificate stands at NV 0x01c0000a. */
export const EK_ECC_P256: Uint8Array = join(
  ...head(ALG.ecc, "sha256", EK_LOW, POLICY_A_SHA256),
  aesCfb(128),
  NULL,
  u16(CURVE.p256),
  NULL,
  sized(new Uint8Array(32)),
  sized(new Uint8Array(32)),
)

/** EK, ECC NIST P-384, template H-3. Its certificate stands at NV 0x01c00016. */
export const EK_ECC_P384: Uint8Array = join(
  ...head(ALG.ecc, "sha384", EK_LOW | USER_WITH_AUTH, POLICY_B_SHA384),
  aesCfb(256),
  NULL,
  u16(CURVE.p384),
  NULL,
  EMPTY,
  EMPTY,
)

/**
 * An attestation key: ECDSA P-256 with SHA-256, restricted to what the TPM itself states. noDA, since an unclean power-off
 * must not lock it. As a primary key, `unique` (up to 32 bytes) chooses which one: other bytes give another key.
 */
export function attestationKey(unique: Uint8Array): Uint8Array {
  const attributes = FIXED | MADE_BY_TPM | USER_WITH_AUTH | NO_DA | RESTRICTED | SIGN
  const scheme = join(u16(ALG.ecdsa), u16(HASH_ALGORITHMS.sha256))
  return join(
    ...head(ALG.ecc, "sha256", attributes, new Uint8Array()),
    NULL,
    scheme,
    u16(CURVE.p256),
    NULL,
    sized(unique),
    EMPTY,
  )
}

/** A storage parent: ECC P-256, noDA (TCG TPM v2.0 Provisioning Guidance, 7.5.1, with an ECC key). */
export const STORAGE_PARENT: Uint8Array = join(
  ...head(ALG.ecc, "sha256", FIXED | MADE_BY_TPM | USER_WITH_AUTH | NO_DA | RESTRICTED | DECRYPT, new Uint8Array()),
  aesCfb(128),
  NULL,
  u16(CURVE.p256),
  NULL,
  sized(new Uint8Array(32)),
  sized(new Uint8Array(32)),
)

/** Sealed data, noDA, opened by its (empty) authorisation value: whoever may use the TPM and has the blob may unseal. */
export const SEALED_DATA: Uint8Array = join(
  ...head(ALG.keyedHash, "sha256", FIXED | USER_WITH_AUTH | NO_DA, new Uint8Array()),
  NULL,
  EMPTY,
)

/** The common fields: type, nameAlg, attributes, policy. */
function head(type: number, nameAlg: HashAlgorithm, attributes: number, policy: Uint8Array): Uint8Array[] {
  return [u16(type), u16(HASH_ALGORITHMS[nameAlg]), u32(attributes), sized(policy)]
}

/** TPMT_SYM_DEF_OBJECT of a restricted decryption key. */
function aesCfb(bits: number): Uint8Array {
  return join(u16(ALG.aes), u16(bits), u16(ALG.cfb))
}

function bytes(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"))
}
