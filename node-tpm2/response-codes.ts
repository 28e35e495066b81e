/**
 * What does a 32-bit TSS2_RC say: who reported it, its symbolic name, which argument it is about, and what to do?
 *
 * Names and numbers: TPM 2.0 Library Part 2, 6.6 (response codes), and the TSS 2.0 Overview specification (layers and
 * base codes). How it becomes an exception is left to error.ts.
 */

/** Format zero (Part 2, table 16, RC_VER1 = 0x100 and RC_WARN = 0x900): the code stands by itself. */
const FORMAT_ZERO: Readonly<Record<number, string>> = {
  0x100: "INITIALIZE",
  0x101: "FAILURE",
  0x103: "SEQUENCE",
  0x10b: "PRIVATE",
  0x119: "HMAC",
  0x120: "DISABLED",
  0x121: "EXCLUSIVE",
  0x124: "AUTH_TYPE",
  0x125: "AUTH_MISSING",
  0x126: "POLICY",
  0x127: "PCR",
  0x128: "PCR_CHANGED",
  0x12d: "UPGRADE",
  0x12e: "TOO_MANY_CONTEXTS",
  0x12f: "AUTH_UNAVAILABLE",
  0x130: "REBOOT",
  0x131: "UNBALANCED",
  0x142: "COMMAND_SIZE",
  0x143: "COMMAND_CODE",
  0x144: "AUTHSIZE",
  0x145: "AUTH_CONTEXT",
  0x146: "NV_RANGE",
  0x147: "NV_SIZE",
  0x148: "NV_LOCKED",
  0x149: "NV_AUTHORIZATION",
  0x14a: "NV_UNINITIALIZED",
  0x14b: "NV_SPACE",
  0x14c: "NV_DEFINED",
  0x150: "BAD_CONTEXT",
  0x151: "CPHASH",
  0x152: "PARENT",
  0x153: "NEEDS_TEST",
  0x154: "NO_RESULT",
  0x155: "SENSITIVE",
  0x901: "CONTEXT_GAP",
  0x902: "OBJECT_MEMORY",
  0x903: "SESSION_MEMORY",
  0x904: "MEMORY",
  0x905: "SESSION_HANDLES",
  0x906: "OBJECT_HANDLES",
  0x907: "LOCALITY",
  0x908: "YIELDED",
  0x909: "CANCELED",
  0x90a: "TESTING",
  0x910: "REFERENCE_H0",
  0x911: "REFERENCE_H1",
  0x912: "REFERENCE_H2",
  0x913: "REFERENCE_H3",
  0x914: "REFERENCE_H4",
  0x915: "REFERENCE_H5",
  0x916: "REFERENCE_H6",
  0x918: "REFERENCE_S0",
  0x919: "REFERENCE_S1",
  0x91a: "REFERENCE_S2",
  0x91b: "REFERENCE_S3",
  0x91c: "REFERENCE_S4",
  0x91d: "REFERENCE_S5",
  0x91e: "REFERENCE_S6",
  0x920: "NV_RATE",
  0x921: "LOCKOUT",
  0x922: "RETRY",
  0x923: "NV_UNAVAILABLE",
}

/** Format one (RC_FMT1 = 0x080): six bits of code, the rest says which parameter, session or handle. */
const FORMAT_ONE: Readonly<Record<number, string>> = {
  0x81: "ASYMMETRIC",
  0x82: "ATTRIBUTES",
  0x83: "HASH",
  0x84: "VALUE",
  0x85: "HIERARCHY",
  0x87: "KEY_SIZE",
  0x88: "MGF",
  0x89: "MODE",
  0x8a: "TYPE",
  0x8b: "HANDLE",
  0x8c: "KDF",
  0x8d: "RANGE",
  0x8e: "AUTH_FAIL",
  0x8f: "NONCE",
  0x90: "PP",
  0x92: "SCHEME",
  0x95: "SIZE",
  0x96: "SYMMETRIC",
  0x97: "TAG",
  0x98: "SELECTOR",
  0x9a: "INSUFFICIENT",
  0x9b: "SIGNATURE",
  0x9c: "KEY",
  0x9d: "POLICY_FAIL",
  0x9f: "INTEGRITY",
  0xa0: "TICKET",
  0xa1: "RESERVED_BITS",
  0xa2: "BAD_AUTH",
  0xa3: "EXPIRED",
  0xa4: "POLICY_CC",
  0xa5: "BINDING",
  0xa6: "CURVE",
  0xa7: "ECC_POINT",
}

/** TSS2_BASE_RC_*: what the software layers report, in their low 16 bits. */
const BASE: Readonly<Record<number, string>> = {
  1: "GENERAL_FAILURE",
  2: "NOT_IMPLEMENTED",
  3: "BAD_CONTEXT",
  4: "ABI_MISMATCH",
  5: "BAD_REFERENCE",
  6: "INSUFFICIENT_BUFFER",
  7: "BAD_SEQUENCE",
  8: "NO_CONNECTION",
  9: "TRY_AGAIN",
  10: "IO_ERROR",
  11: "BAD_VALUE",
  12: "NOT_PERMITTED",
  13: "INVALID_SESSIONS",
  14: "NO_DECRYPT_PARAM",
  15: "NO_ENCRYPT_PARAM",
  16: "BAD_SIZE",
  17: "MALFORMED_RESPONSE",
  18: "INSUFFICIENT_CONTEXT",
  19: "INSUFFICIENT_RESPONSE",
  20: "INCOMPATIBLE_TCTI",
  21: "NOT_SUPPORTED",
  22: "BAD_TCTI_STRUCTURE",
  23: "MEMORY",
  24: "BAD_TR",
  25: "MULTIPLE_DECRYPT_SESSIONS",
  26: "MULTIPLE_ENCRYPT_SESSIONS",
  27: "RSP_AUTH_FAILED",
}

/** Who reported: bits 16 to 23 of a TSS2_RC. The two resource managers pass codes of the TPM's own form. */
const LAYERS: Readonly<Record<number, Layer>> = {
  0: "tpm",
  7: "esys",
  8: "sys",
  9: "mu",
  10: "tcti",
  11: "resource-manager-tpm",
  12: "resource-manager",
}

/** The part that reported: the TPM, a resource manager before it, a tpm2-tss library, or this package. */
export type Layer =
  | "tpm"
  | "resource-manager-tpm"
  | "resource-manager"
  | "esys"
  | "sys"
  | "mu"
  | "tcti"
  | "unknown"
  | "node-tpm2"

/** A response code, taken apart. */
export interface DecodedCode {
  /** Symbolic name without parameter numbers, `TPM_RC_VALUE` or `TSS2_ESYS_RC_BAD_TR`. */
  readonly code: string
  readonly layer: Layer
  /** `parameter 2`, `session 1`, `handle 1`, or `command` where the code names no argument (numbers count from 1). */
  readonly subject: string
}

/** Takes a TSS2_RC apart (TSS 2.0 Overview, 3.2.2; TPM 2.0 Part 2, 6.6.2). Unknown codes keep their number as name. */
export function decodeResponseCode(rc: number): DecodedCode {
  const layer = LAYERS[(rc >>> 16) & 0xff] ?? "unknown"
  const low = rc & 0xffff
  if (isTpmForm(layer)) return { layer, code: `TPM_RC_${tpmName(low)}`, subject: subjectOf(low) }
  return { layer, code: `TSS2_${layer.toUpperCase()}_RC_${BASE[low] ?? hex(low)}`, subject: "command" }
}

/** Whether codes of this layer have the TPM's own format, so that the command was answered and the context is intact. */
export function isTpmForm(layer: Layer): boolean {
  return layer === "tpm" || layer === "resource-manager-tpm" || layer === "resource-manager"
}

function tpmName(low: number): string {
  return (low & 0x80 ? FORMAT_ONE[low & 0xbf] : FORMAT_ZERO[low]) ?? hex(low)
}

/** Format one: bit 6 set means parameter (four bits of number), else bit 11 tells a session from a handle (three bits). */
function subjectOf(low: number): string {
  if (!(low & 0x80)) return "command"
  const number = (low >>> 8) & 0xf
  if (low & 0x40) return numbered("parameter", number)
  return number & 8 ? numbered("session", number & 7) : numbered("handle", number)
}

const numbered = (noun: string, number: number): string => (number === 0 ? "command" : `${noun} ${number}`)

const hex = (value: number): string => `0x${value.toString(16)}`
