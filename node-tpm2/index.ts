/**
 * node-tpm2: TPM 2.0 for Node, over tpm2-tss. What a program may import stands here; what it can do stands in tpm.ts.
 */
export type { Attestation, Credential } from "./attest.ts"
export type { HandleKind, TpmIdentity, TpmTime } from "./capability.ts"
export { type OwnCode, TpmError } from "./error.ts"
export type { OpenOptions } from "./esys.ts"
export {
  type CreationProof,
  type Hierarchy,
  nameOf,
  type ObjectBlob,
  type Sensitive,
  type TpmObject,
} from "./object.ts"
export type { BankDigest, PcrValues } from "./pcr.ts"
export { type DecodedCode, decodeResponseCode, type Layer } from "./response-codes.ts"
export type { BankSelection, PcrSelection } from "./selection.ts"
export { attestationKey, EK_ECC_P256, EK_ECC_P384, EK_RSA_2048, SEALED_DATA, STORAGE_PARENT } from "./templates.ts"
export { openTpm, Tpm } from "./tpm.ts"
export { DIGEST_BYTES, HASH_ALGORITHMS, type HashAlgorithm } from "./wire.ts"
