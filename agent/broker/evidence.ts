/**
 * How does evidence come about? Take the next number, write the body, quote over its digest, read the values that were
 * quoted; then name the boot logs, which are read after the quote, and sign. What moved in between, the counters or a PCR,
 * is found out from the quote itself, and it is made again.
 */
import type { Tpm } from "../../node-tpm2/index.ts"
import { payloadTypes, seal } from "../../attestation/protocol/dsse.ts"
import {
  type Audit,
  type Body,
  type BootLog,
  evidenceDigest,
  writePayload,
} from "../../attestation/protocol/evidence.ts"
import { qualifyingData } from "../../attestation/protocol/qualifying-data.ts"
import { type Quote, quote as quoteCodec } from "../../attestation/tcg/attest.ts"
import { compositeDigest, type PcrValues } from "../../attestation/tcg/pcr.ts"
import { decode } from "../../attestation/wire/codec.ts"
import { fromBase64, sameBytes, toBase64, toHex } from "../../attestation/wire/text.ts"
import type { z } from "zod"
import { readAudit } from "./audit.ts"
import type { Chains } from "./chain.ts"
import type { EvidenceKey } from "./evidence-key.ts"
import { Fault } from "./fault.ts"
import type { TpmIdentity } from "./identity.ts"
import { type MeasuredLog, sameEpoch } from "./measured-log.ts"
import type { LogState, verbs } from "./verbs.ts"

/** What evidence is made with. */
export type Parts = {
  readonly tpm: Tpm
  readonly identity: TpmIdentity
  readonly key: EvidenceKey
  readonly log: MeasuredLog
  readonly chains: Chains
  /** the PCR that holds our log */
  readonly logPcr: number
  readonly boot: string
}

type Request = z.infer<typeof verbs.attest.request>
type Quoted = {
  readonly attest: Uint8Array
  readonly signature: Uint8Array
  readonly values: PcrValues
  readonly audit: Audit | null
}

const nothing = new Uint8Array(0)

/** A body with the quote over it, which is evidence once it is signed. `opened`: an epoch began meanwhile. */
export type Unsigned = {
  readonly body: Body
  readonly quoted: Quoted
  readonly log: LogState
  readonly opened: boolean
}

/** How often a quote is made anew when something moved under it. */
const mostQuotes = 5

/** Opens a new log when the TPM's counters moved, and loads the AK that the restart took. True when it did. */
export async function followEpoch({ identity, log }: Parts): Promise<boolean> {
  const moved = await log.follow()
  if (moved) await identity.reload()
  return moved
}

/** A quote for `request`. Throws Fault when the PCRs do not come to rest, or the credential is not for this TPM. */
export async function quoteFor(parts: Parts, request: Request): Promise<Unsigned> {
  const opened = await followEpoch(parts)
  const secret = await recoveredSecret(parts, request)
  try {
    return await quoteUntilAtRest(parts, request, secret, opened)
  } finally {
    secret.fill(0)
  }
}

async function recoveredSecret({ identity }: Parts, { asked }: Request): Promise<Uint8Array> {
  if (asked.kind === "report" || asked.credential === null) return new Uint8Array(0)
  const { idObject, encryptedSecret } = asked.credential
  return identity.activate(fromBase64(idObject), fromBase64(encryptedSecret))
}

async function quoteUntilAtRest(
  parts: Parts,
  request: Request,
  secret: Uint8Array,
  before: boolean,
): Promise<Unsigned> {
  let opened = before
  for (let attempt = 0; attempt < mostQuotes; attempt++) {
    const body = await nextBody(parts, request)
    const quoted = await quoteOver(parts, body, secret).catch(error => keyReplaced(parts, error))
    if (quoted === "counters moved") opened = true
    else if (typeof quoted !== "string") return { body, quoted, log: parts.log.state, opened }
  }
  throw new Fault(
    `PCRs, counters or the AK changed under each of ${mostQuotes} quotes`,
    "ask again later; if it repeats, find out what else uses the TPM, or select fewer PCRs",
  )
}

async function nextBody(parts: Parts, request: Request): Promise<Body> {
  const { identity, key, log, logPcr, boot, chains } = parts
  const { audience, made, asked } = request
  const pcrs = [...new Set([...request.pcrs, logPcr])].toSorted((a, b) => a - b)
  const common = {
    attester: identity.wire.attester,
    ak: identity.akName,
    evidenceKey: toBase64(key.publicKey),
    audience,
    chain: await chains.begin(audience),
    made,
    boot,
    selection: { bank: "sha256" as const, pcrs },
    logPcr,
    logs: [{ name: "assay", length: log.state.length, digest: log.state.digest }],
  }
  if (asked.kind === "report") return { kind: "report", ...common, after: asked.after }
  const { nonce, channel } = asked
  return { kind: "answer", ...common, nonce, channel, credential: asked.credential === null ? "none" : "recovered" }
}

async function quoteOver(
  parts: Parts,
  body: Body,
  secret: Uint8Array,
): Promise<Quoted | "counters moved" | "pcrs moved"> {
  const { tpm, identity, log, logPcr } = parts
  const { attest, signature } = await tpm.quote(identity.ak, qualifyingData(body, secret), [body.selection])
  const quote = decode(quoteCodec, attest)
  if (!sameEpoch(quote.clock, log.epoch) && (await followEpoch(parts))) return "counters moved"
  const audit = await readAudit(tpm, identity.ak, body.kind === "answer" ? fromBase64(body.nonce) : nothing, attest)
  if (await followEpoch(parts)) return "counters moved"
  const values = await valuesOf(tpm, body, quote)
  if (!values) return "pcrs moved"
  log.compare(values.get(logPcr) ?? new Uint8Array(0))
  return { attest, signature, values, audit }
}

/** What a TPM says when the AK is loaded no more, or another key stands at its handle. */
const keyGone: ReadonlySet<unknown> = new Set([
  "TPM_RC_REFERENCE_H0",
  "TPM_RC_HANDLE",
  "TPM_RC_BAD_AUTH",
  "TPM_RC_AUTH_FAIL",
])

/** The TPM was restarted between the look at its counters and the quote, or somebody flushed the AK: it is loaded anew. */
async function keyReplaced(parts: Parts, error: unknown): Promise<"counters moved" | "key replaced"> {
  if (!parts.tpm.usable || !(error instanceof Error && "code" in error && keyGone.has(error.code))) throw error
  if (await followEpoch(parts)) return "counters moved"
  await parts.identity.reload()
  return "key replaced"
}

/** The values that were quoted. What moved before the quote only is seen by reading once more. */
async function valuesOf(tpm: Tpm, { selection }: Body, quote: Quote): Promise<PcrValues | undefined> {
  for (let attempt = 0; attempt < 2; attempt++) {
    const values = (await tpm.pcrRead([selection])).banks.get("sha256") ?? new Map<number, Uint8Array>()
    if (sameBytes(compositeDigest("sha256", selection.pcrs, values), quote.pcrDigest)) return values
  }
  return undefined
}

/** PCR index and value, ascending. */
export const pcrsOf = ({ quoted: { values } }: Unsigned): [number, string][] =>
  [...values].toSorted(([a], [b]) => a - b).map(([pcr, value]) => [pcr, toHex(value)])

/** Evidence of what was quoted and of the `logs` that were read after it. */
export async function sign(
  { key, chains }: Parts,
  unsigned: Unsigned,
  logs: readonly BootLog[],
): Promise<z.infer<typeof verbs.seal.answer>> {
  const { body, quoted } = unsigned
  const [attest, signature] = [toBase64(quoted.attest), toBase64(quoted.signature)]
  const payload = writePayload({
    body,
    quote: { attest, signature, pcrs: pcrsOf(unsigned), logs: [...logs], audit: quoted.audit },
  })
  const evidence = evidenceDigest(payload)
  const envelope = seal(payloadTypes.evidence, payload, key.publicKey, message => key.sign(message))
  await chains.finish(body.audience, evidence)
  return { envelope: toBase64(envelope), evidence }
}
