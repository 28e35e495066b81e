/**
 * Was a PCR reset since the last evidence? The TPM itself counts it once TPM2_PCR_Reset is under command audit: armed while joining,
 * where TPM and owner allow, and read after each quote. What it means is the verifier's: `attestation/verify/audit.ts`.
 */
import type { Tpm, TpmObject } from "../../node-tpm2/index.ts"
import type { Audit } from "../../attestation/protocol/evidence.ts"
import { auditQualifyingData } from "../../attestation/protocol/qualifying-data.ts"
import { auditedCommands } from "../../attestation/verify/audit.ts"
import { toBase64 } from "../../attestation/wire/text.ts"
import { say } from "./fault.ts"

const { pcrReset } = auditedCommands
const hint =
  "without it a reset of the log's PCR shows only against evidence that the collector has: see docs/the-evidence.md"

/** Puts TPM2_PCR_Reset under command audit, which lasts until the owner takes it out. Whether it is now. */
export async function armAudit(tpm: Tpm): Promise<boolean> {
  try {
    if ((await tpm.auditedCommands()).includes(pcrReset)) return true
    await tpm.setCommandAudit([pcrReset], [])
    return true
  } catch (error) {
    if (!tpm.usable) throw error
    say(`command audit of TPM2_PCR_Reset cannot be armed: ${String(error)}`, hint)
    return false
  }
}

/** A statement over `nonce` and the quote before it (TPMS_ATTEST, or none), or null where the audit is not armed or not readable. */
export async function readAudit(tpm: Tpm, ak: TpmObject, nonce: Uint8Array, quote: Uint8Array): Promise<Audit | null> {
  try {
    const commands = await tpm.auditedCommands()
    if (!commands.includes(pcrReset)) return null
    const { attest, signature } = await tpm.commandAuditDigest(ak, auditQualifyingData(nonce, quote))
    return { commands, attest: toBase64(attest), signature: toBase64(signature) }
  } catch (error) {
    if (!tpm.usable) throw error
    say(`the command audit cannot be read: ${String(error)}`, hint)
    return null
  }
}

/** For joining: armed, emptied of the arming itself, and stated over the secret that the credential held. */
export async function auditForJoining(tpm: Tpm, ak: TpmObject, secret: Uint8Array): Promise<Audit | null> {
  if (!(await armAudit(tpm))) return null
  const nothing = new Uint8Array(0)
  await readAudit(tpm, ak, nothing, nothing)
  return readAudit(tpm, ak, secret, nothing)
}
