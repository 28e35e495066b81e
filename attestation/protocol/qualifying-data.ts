/**
 * What does a quote bind? The SHA-256 of one framed structure, each field counted by a u16, nothing concatenated bare:
 * a script needs printf and sha256sum only. The body's digest covers the rest of the evidence.
 */
import { counted, encode, struct } from "../wire/codec.ts"
import { digestOf } from "../wire/digest.ts"
import { fromBase64, fromHex } from "../wire/text.ts"
import { pcrSelections } from "../tcg/pcr.ts"
import { type Body, bodyDigest } from "./evidence.ts"

const label = new TextEncoder().encode("assay/qualifying-data/v1")
const field = counted(1024)

const binding = struct({
  label: field,
  /** empty for a report */
  nonce: field,
  channel: field,
  /** the secret that TPM2_ActivateCredential recovered, or empty */
  credential: field,
  attester: field,
  /** TPML_PCR_SELECTION as the quote carries it */
  selection: field,
  chain: field,
  /** u64 */
  sequence: field,
  /** empty for a chain's first */
  previous: field,
  /** digest of our event log */
  head: field,
  evidenceKey: field,
  body: field,
})

const empty = new Uint8Array(0)

/** The qualifying data for `body`; `credential` is the recovered secret, or empty where there is none. */
export const qualifyingData = (body: Body, credential: Uint8Array): Uint8Array =>
  qualifyingDataOver(body, credential, bodyDigest(body))

/** The same, where the body's digest is known. */
export function qualifyingDataOver(body: Body, credential: Uint8Array, digest: Uint8Array): Uint8Array {
  const bytes = encode(binding, {
    label,
    nonce: body.kind === "answer" ? fromBase64(body.nonce) : empty,
    channel: body.kind === "answer" ? fromBase64(body.channel) : empty,
    credential,
    attester: fromHex(body.attester),
    selection: encode(pcrSelections, [body.selection]),
    chain: fromHex(body.chain.id),
    sequence: u64(body.chain.sequence),
    previous: body.chain.previous === null ? empty : fromHex(body.chain.previous),
    head: fromHex(body.logs.find(log => log.name === "assay")?.digest ?? ""),
    evidenceKey: fromBase64(body.evidenceKey),
    body: digest,
  })
  return digestOf("sha256", bytes)
}

const auditLabel = new TextEncoder().encode("assay/command-audit/v1")
const auditBinding = struct({ label: field, nonce: field, quote: field })

/**
 * The qualifying data of a command audit: the nonce (empty in a report) and the SHA-256 of the TPMS_ATTEST of the quote that it
 * follows. While joining, the nonce is the secret that the credential held, and there is no quote.
 */
export function auditQualifyingData(nonce: Uint8Array, quote: Uint8Array): Uint8Array {
  const digest = quote.length === 0 ? empty : digestOf("sha256", quote)
  const bytes = encode(auditBinding, { label: auditLabel, nonce, quote: digest })
  return digestOf("sha256", bytes)
}

function u64(decimal: string): Uint8Array {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(decimal))
  return new Uint8Array(bytes)
}
