/**
 * What does a caller learn when a TPM command fails? One error type for everything this package reports, with a code to
 * compare, and the fix where one is known. Response codes are taken apart in response-codes.ts.
 */
import { decodeResponseCode, type Layer } from "./response-codes.ts"

/** Codes of our own, beside `TPM_RC_…` and `TSS2_…`. */
export type OwnCode =
  /** A command is past its deadline; the context is lost and the process cannot exit in the ordinary way. */
  | "TPM_HUNG"
  /** An earlier failure left the context unusable. */
  | "TPM_CONTEXT_DEAD"
  | "TPM_CLOSED"
  /** A connection string that is not on the allow-list. */
  | "TPM_TCTI_REFUSED"
  | "TPM_LIBRARY_MISSING"
  /** A key is not the one whose Name the caller expects. */
  | "TPM_NAME_MISMATCH"
  /** An object that this Tpm does not hold (flushed, or of another Tpm). */
  | "TPM_OBJECT_NOT_HELD"
  /** An argument that never reached the TPM. */
  | "TPM_BAD_ARGUMENT"
  /** A response that does not keep to its own format. */
  | "TPM_BAD_RESPONSE"

/** A failed TPM operation. `message` names command, code, subject and (`hint`) the fix. */
export class TpmError extends Error {
  /** The 32-bit TSS2_RC, or 0 for our own codes. */
  readonly rc: number
  /** Symbolic: `TPM_RC_BAD_AUTH`, `TSS2_TCTI_RC_IO_ERROR`, or an {@link OwnCode}. Compare this one. */
  readonly code: string
  readonly layer: Layer
  /** Which argument: `parameter N`, `session N`, `handle N` (from 1), else `command`. */
  readonly subject: string
  /** The ESYS function without its prefix (`Quote`), or the operation of this package. */
  readonly command: string
  /** What to do about it; empty where nothing general can be said. */
  readonly hint: string

  constructor(parts: Pick<TpmError, "rc" | "code" | "layer" | "subject" | "command" | "hint">, text: string) {
    super(parts.hint === "" ? text : `${text}: ${parts.hint}`)
    this.name = "TpmError"
    this.rc = parts.rc
    this.code = parts.code
    this.layer = parts.layer
    this.subject = parts.subject
    this.command = parts.command
    this.hint = parts.hint
  }
}

/** The error for a code that a command returned. */
export function responseError(rc: number, command: string): TpmError {
  const decoded = decodeResponseCode(rc)
  const about = decoded.subject === "command" ? "" : ` (${decoded.subject})`
  const text = `${command}: ${decoded.code}${about} [0x${rc.toString(16).padStart(8, "0")}]`
  return new TpmError({ ...decoded, rc, command, hint: HINTS[decoded.code] ?? "" }, text)
}

/** An error that this package reports by itself. */
export function ownError(code: OwnCode, command: string, problem: string, hint = ""): TpmError {
  return new TpmError({ code, command, hint, rc: 0, layer: "node-tpm2", subject: "command" }, `${command}: ${problem}`)
}

const RELOAD = "the object is gone since the TPM was restarted or flushed it; create or load it again"
const OTHER_OBJECT =
  "the authorisation value is wrong, or the TPM was restarted and another object stands at this handle; load the key again"
const FREE_SLOTS = "flush what is no longer needed, or use /dev/tpmrm0, whose resource manager swaps"

/** What to do, by code. */
const HINTS: Readonly<Record<string, string>> = {
  TPM_RC_INITIALIZE: "the TPM had no TPM2_Startup; firmware does that at boot (swtpm: --flags startup-clear)",
  TPM_RC_FAILURE: "the TPM is in failure mode; power the machine off and on, and replace it if that does not help",
  TPM_RC_BAD_AUTH: OTHER_OBJECT,
  TPM_RC_AUTH_FAIL: OTHER_OBJECT,
  TPM_RC_REFERENCE_H0: RELOAD,
  TPM_RC_REFERENCE_H1: RELOAD,
  TPM_RC_REFERENCE_H2: RELOAD,
  TPM_RC_REFERENCE_S0: "the TPM was restarted during the command; try it again",
  TPM_RC_HANDLE: "nothing is defined at this handle or index",
  TPM_RC_OBJECT_MEMORY: FREE_SLOTS,
  TPM_RC_SESSION_MEMORY: FREE_SLOTS,
  TPM_RC_SESSION_HANDLES: FREE_SLOTS,
  TPM_RC_LOCKOUT:
    "too many failed authorisations; wait for the recovery time, or tpm2_dictionarylockout --clear-lockout",
  TPM_RC_NV_RATE: "the TPM limits NV writes to spare its memory; wait and try again",
  TPM_RC_RETRY: "the TPM is busy; try again",
  TPM_RC_TESTING: "the TPM tests itself; try again",
  TPM_RC_PCR_CHANGED: "a PCR was extended between policy and use; start the policy again",
  TPM_RC_POLICY_FAIL: "the policy of this object is not met",
  TPM_RC_INTEGRITY: "the blob was made for another TPM, another key or another Name, or it was altered",
  TPM_RC_LOCALITY: "this PCR cannot be changed from the operating system; use 16 or 23, or one below 16",
  TPM_RC_COMMAND_CODE: "this TPM does not implement the command",
  TPM_RC_NV_UNINITIALIZED: "the index was never written",
  TPM_RC_DISABLED: "the hierarchy or command is switched off in the firmware's settings",
  TPM_RC_HIERARCHY: "the hierarchy is switched off in the firmware's settings, or is not the object's",
  TSS2_TCTI_RC_IO_ERROR:
    "the TPM cannot be reached: does the device or socket exist, and may this user open it (group tss)",
  TSS2_TCTI_RC_NO_CONNECTION:
    "the TPM cannot be reached: does the device or socket exist, and may this user open it (group tss)",
  TSS2_TCTI_RC_BAD_VALUE: "the connection string is not understood, or its socket path is longer than 100 bytes",
  TSS2_ESYS_RC_RSP_AUTH_FAILED: "the answer was altered between TPM and library; someone may sit on the bus",
  TSS2_ESYS_RC_BAD_SEQUENCE: "an earlier failure left the context unusable; open it anew",
  TSS2_ESYS_RC_BAD_TR: "the handle was flushed or closed",
}
