/**
 * What does command audit say of TPM2_PCR_Reset? That none happened since the digest was read last, if the counter is the one seen
 * before and the digest is empty (M1 to M4). Whether the counter is that one, `continuity.ts` compares.
 */
import { createHash } from "node:crypto"
import { decode, Malformed } from "../wire/codec.ts"
import { fromBase64, sameBytes, toHex } from "../wire/text.ts"
import { type AuditAttest, auditAttest, type ClockInfo, type Quote } from "../tcg/attest.ts"
import { attestedBy, readPublic } from "../tcg/public.ts"
import { signature } from "../tcg/signature.ts"
import type { Audit, Payload } from "../protocol/evidence.ts"
import { auditQualifyingData } from "../protocol/qualifying-data.ts"
import { type Finding, finding } from "./finding.ts"

/** TPM_CC_PCR_Reset and TPM_CC_SetCommandCodeAuditStatus (Part 2, 6.5.2): the latter is always audited. */
export const auditedCommands = { pcrReset: 0x13d, setCommandCodeAuditStatus: 0x140 } as const

/** An audit that was checked: `counter` rises with the first audited command after the digest was read. */
export type Audited = { readonly counter: bigint; readonly clock: ClockInfo }

/** "unavailable" is said where the evidence is appraised (M1). */
type Checked = { readonly audit: Audited | "unavailable"; readonly found: readonly Finding[] }

/** The audit that came with `quote`, which it must follow. */
export function checkAudit({ body, quote: { attest, audit } }: Payload, quote: Quote, ak: Uint8Array): Checked {
  if (audit === null) return unavailable
  const nonce = body.kind === "answer" ? fromBase64(body.nonce) : new Uint8Array(0)
  const read = readAudit(audit, ak, auditQualifyingData(nonce, fromBase64(attest)))
  if ("faults" in read) return { audit: "unavailable", found: read.faults }
  const order = unordered(quote.clock, read.clock)
  if (order) return { audit: "unavailable", found: [order] }
  return judged(read, audit)
}

const unavailable: Checked = { audit: "unavailable", found: [] }

/** What the TPM signed, or what is wrong with it: the signature, what it is bound to, or the list of commands. */
export function readAudit(
  { commands, attest, signature: signed }: Audit,
  ak: Uint8Array,
  qualifyingData: Uint8Array,
): AuditAttest | { readonly faults: readonly Finding[] } {
  try {
    const bytes = fromBase64(attest)
    const read = decode(auditAttest, bytes)
    const faults: Finding[] = []
    if (!attestedBy(readPublic(ak), bytes, decode(signature, fromBase64(signed))))
      faults.push(finding("audit.signature", "audit", "a signature that does not fit", "a signature by the AK"))
    if (!sameBytes(read.qualifyingData, qualifyingData))
      faults.push(finding("audit.unbound", "audit", toHex(read.qualifyingData), toHex(qualifyingData)))
    const listed = commandDigest(read, commands)
    if (listed !== toHex(read.commandDigest))
      faults.push(finding("audit.unbound", "audit", `commands of digest ${toHex(read.commandDigest)}`, listed))
    return faults.length > 0 ? { faults } : read
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return { faults: [finding("audit.signature", "audit", error.message, "what TPM2_GetCommandAuditDigest states")] }
  }
}

/** TPMS_COMMAND_AUDIT_INFO's commandDigest (Part 3, 18.7): over the codes, each a big-endian u32. */
function commandDigest({ digestAlg }: AuditAttest, commands: readonly number[]): string {
  const codes = Buffer.alloc(4 * commands.length)
  commands.forEach((code, i) => codes.writeUInt32BE(code, 4 * i))
  return createHash(digestAlg).update(codes).digest("hex")
}

/** Quote and audit are of one epoch (M3), and the audit is the later one: a reset between them shows. */
function unordered(quote: ClockInfo, audit: ClockInfo): Finding | undefined {
  const spoken = ({ resetCount, restartCount, milliseconds }: ClockInfo): string =>
    `reset ${resetCount}, restart ${restartCount}, clock ${milliseconds} ms`
  const oneEpoch = quote.resetCount === audit.resetCount && quote.restartCount === audit.restartCount
  if (oneEpoch && audit.milliseconds >= quote.milliseconds) return undefined
  return finding("audit.unbound", "audit", spoken(audit), `the quote's epoch, and no earlier than ${spoken(quote)}`)
}

/** Only an audit of these two commands says that no PCR was reset: others fill the digest too, and another list leaves resets out. */
function judged({ auditCounter, auditDigest, clock }: AuditAttest, { commands }: Audit): Checked {
  const { pcrReset, setCommandCodeAuditStatus } = auditedCommands
  if (commands.join() !== [pcrReset, setCommandCodeAuditStatus].join()) return unavailable
  const audit = { counter: auditCounter, clock }
  if (auditDigest.length === 0) return { audit, found: [] }
  const seen = `audit digest ${toHex(auditDigest)}`
  return { audit, found: [finding("pcr.reset-possible", "audit", seen, "an empty audit digest")] }
}

/** The audit with which an attester joins: it must be by the AK and of this very activation. Throws nothing; `faults` refuse. */
export function auditAtJoin(
  audit: Audit | null,
  ak: Uint8Array,
  secret: Uint8Array,
): Audited | "unavailable" | { readonly faults: readonly Finding[] } {
  if (audit === null) return "unavailable"
  const read = readAudit(audit, ak, auditQualifyingData(secret, new Uint8Array(0)))
  return "faults" in read ? read : judged(read, audit).audit
}
