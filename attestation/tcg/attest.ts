/** What does a TPM say about itself? TPMS_ATTEST, TPM 2.0 Library, Part 2, 10.12: the quote's arm, the creation's and the command audit's. */
import { constant, counted, struct, u8, u16, u32, u64, type Value } from "../wire/codec.ts"
import { hashAlgorithm } from "./algorithm.ts"
import { pcrSelections } from "./pcr.ts"

/** TPM_GENERATED_VALUE: without it an AK could be led to sign a look-alike from outside. */
const magic = constant(u32, 0xff544347)

/** TPMS_CLOCK_INFO; `milliseconds` since the TPM was first powered, `safe` 1 if no higher value was ever reported. */
export const clockInfo = struct({ milliseconds: u64, resetCount: u32, restartCount: u32, safe: u8 })
export type ClockInfo = Value<typeof clockInfo>

const head = {
  qualifiedSigner: counted(66),
  /** extraData: what the caller of the command wanted signed along. */
  qualifyingData: counted(64),
  clock: clockInfo,
  firmwareVersion: u64,
} as const

/** TPMS_ATTEST of TPM2_Quote (TPM_ST_ATTEST_QUOTE). */
export const quote = struct({
  magic,
  type: constant(u16, 0x8018),
  ...head,
  selections: pcrSelections,
  pcrDigest: counted(64),
})
export type Quote = Value<typeof quote>

/** TPMS_ATTEST of TPM2_CertifyCreation (TPM_ST_ATTEST_CREATION). */
export const creationAttest = struct({
  magic,
  type: constant(u16, 0x801a),
  ...head,
  objectName: counted(66),
  creationHash: counted(64),
})
export type CreationAttest = Value<typeof creationAttest>

/** TPMS_ATTEST of TPM2_GetCommandAuditDigest (TPM_ST_ATTEST_COMMAND_AUDIT, TPMS_COMMAND_AUDIT_INFO). */
export const auditAttest = struct({
  magic,
  type: constant(u16, 0x8015),
  ...head,
  /** rises when a command is audited while the digest is empty, and never falls */
  auditCounter: u64,
  digestAlg: hashAlgorithm,
  /** over the audited commands since it was read last; empty when there were none */
  auditDigest: counted(64),
  /** over the codes of the commands that are audited, in ascending order */
  commandDigest: counted(64),
})
export type AuditAttest = Value<typeof auditAttest>
