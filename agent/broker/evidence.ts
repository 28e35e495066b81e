/**
 * How does evidence come about? Take the next number, write the body, quote over its digest, read the values that were
 * quoted, sign. What moved in between, the counters or a PCR, is found out from the quote itself, and it is made again.
 */
import type { Tpm } from "../../node-tpm2/index.ts"
import { payloadTypes, seal } from "../../attestation/protocol/dsse.ts"
import { type Body, evidenceDigest, writePayload } from "../../attestation/protocol/evidence.ts"
import { qualifyingData } from "../../attestation/protocol/qualifying-data.ts"
import { type Quote, quote as quoteCodec } from "../../attestation/tcg/attest.ts"
import { compositeDigest, type PcrValues } from "../../attestation/tcg/pcr.ts"
import { decode } from "../../attestation/wire/codec.ts"
import { fromBase64, sameBytes, toBase64, toHex } from "../../attestation/wire/text.ts"
import type { z } from "zod"
import type { Chains } from "./chain.ts"
import type { EvidenceKey } from "./evidence-key.ts"
import { Fault } from "./fault.ts"
import type { TpmIdentity } from "./identity.ts"
import { type MeasuredLog, sameEpoch } from "./measured-log.ts"
import type { verbs } from "./verbs.ts"

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
type Answer = z.infer<typeof verbs.attest.answer>
type Quoted = { readonly attest: Uint8Array; readonly signature: Uint8Array; readonly values: PcrValues }

/** How often a quote is made anew when something moved under it. */
const mostQuotes = 5

/** Opens a new log when the TPM's counters moved, and loads the AK that the restart took. True when it did. */
export async function followEpoch({ identity, log }: Parts): Promise<boolean> {
  const moved = await log.follow()
  if (moved) await identity.reload()
  return moved
}

/** Evidence for `request`. Throws Fault when the PCRs do not come to rest, or the credential is not for this TPM. */
export async function makeEvidence(parts: Parts, request: Request): Promise<Answer> {
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

async function quoteUntilAtRest(parts: Parts, request: Request, secret: Uint8Array, before: boolean): Promise<Answer> {
  let opened = before
  for (let attempt = 0; attempt < mostQuotes; attempt++) {
    const body = await nextBody(parts, request)
    const quoted = await quoteOver(parts, body, secret).catch(error => keyReplaced(parts, error))
    if (quoted === "counters moved") opened = true
    else if (typeof quoted !== "string") return finish(parts, body, quoted, opened)
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
  const values = await valuesOf(tpm, body, quote)
  if (!values) return "pcrs moved"
  log.compare(values.get(logPcr) ?? new Uint8Array(0))
  return { attest, signature, values }
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

async function finish({ key, log, chains }: Parts, body: Body, quoted: Quoted, opened: boolean): Promise<Answer> {
  const { attest, signature, values } = quoted
  const pcrs = [...values].toSorted(([a], [b]) => a - b).map(([pcr, value]): [number, string] => [pcr, toHex(value)])
  const payload = writePayload({ body, quote: { attest: toBase64(attest), signature: toBase64(signature), pcrs } })
  const evidence = evidenceDigest(payload)
  const envelope = seal(payloadTypes.evidence, payload, key.publicKey, message => key.sign(message))
  await chains.finish(body.audience, evidence)
  return { envelope: toBase64(envelope), evidence, log: log.state, opened }
}
