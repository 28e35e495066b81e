/** What belongs into an audit? Read from the collector's store: the evidence that measured the model, and every decision. */
import { readResult } from "../../attestation/appraise/result.ts"
import { readEnvelope } from "../../attestation/protocol/dsse.ts"
import { type LogEvent, readEvent } from "../../attestation/protocol/event.ts"
import { bootLogNames } from "../../attestation/protocol/evidence.ts"
import type { Identity } from "../../attestation/protocol/message.ts"
import { readCel } from "../../attestation/tcg/cel.ts"
import { fromBase64 } from "../../attestation/wire/text.ts"
import type { Archived, Store } from "../../collector/store.ts"
import type { Kept } from "../../collector/vault/vault.ts"
import { readClaims } from "../bundle.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { measures, type Piece, type Question } from "./summary.ts"

/** A piece with its bytes as they lie in the folder. */
export type Collected = Piece & {
  readonly leaf: number
  readonly envelope: Uint8Array
  readonly resultBytes: Uint8Array
  readonly logs: ReadonlyMap<string, Uint8Array>
  readonly identity: Identity
}
export type Decision = Kept & { readonly bytes: Uint8Array }

/** The pieces of evidence that the question is about; of those whose bytes were pruned only the leaf is left, and they are counted. */
export async function collect(store: Store, question: Question): Promise<{ pieces: Collected[]; pruned: number }> {
  const pieces: Collected[] = []
  let pruned = 0
  for (const digest of await store.evidenceBetween(question.from, question.to)) {
    const found = await store.archived(digest)
    if (!found) continue
    if (found.envelope.length === 0 || found.result.length === 0) pruned += 1
    else pieces.push(...(await collectOne(store, question, found)))
  }
  return { pieces, pruned }
}

async function collectOne(store: Store, { model }: Question, found: Archived): Promise<Collected[]> {
  const log = await store.log(found.digest, 0, found.log)
  const events = eventsOf(log)
  const enrolment = await store.enrolmentNumber(found.attester, found.enrolment)
  const leaf = await store.leafOfEvidence(found.digest)
  if (!enrolment || leaf === undefined || !measures(events, model)) return []
  const { digest: evidence, attester, envelope, result: resultBytes } = found
  const logs = new Map([["assay", log], ...(await bootLogsOf(store, found))])
  return [
    {
      evidence,
      attester,
      events,
      leaf,
      envelope,
      resultBytes,
      logs,
      identity: enrolment.identity,
      result: resultIn(resultBytes),
    },
  ]
}

export const eventsOf = (log: Uint8Array): LogEvent[] => readCel(log).map(each => readEvent(each.content))
export const resultIn = (envelope: Uint8Array) => readResult(fromBase64(readEnvelope(envelope).payload))

/** The logs of firmware, systemd and IMA that the evidence names. */
async function bootLogsOf(store: Store, { attester, envelope }: Archived): Promise<[string, Uint8Array][]> {
  const claims = readClaims(envelope)
  if (claims instanceof Malformed) return []
  const logs: [string, Uint8Array][] = []
  for (const each of claims.quote.logs) {
    if (each.state !== "present" || !bootLogNames.includes(each.name)) continue
    const bytes = await store.bootLog(attester, each.digest, 0, each.length)
    if (bytes) logs.push([each.name, bytes])
  }
  return logs
}

/** Everything in the vault that is neither evidence nor a result. */
export async function decisions(store: Store, size: number): Promise<Decision[]> {
  const found: Decision[] = []
  for (let at = 0; at < size; ) {
    const page = await store.leaves(at, Math.min(1024, size - at))
    for (const each of page) {
      if (each.leaf.kind === "evidence" || each.leaf.kind === "result") continue
      const bytes = await store.content(each.position)
      if (bytes) found.push({ ...each, bytes })
    }
    if (page.length === 0) break
    at = (page.at(-1)?.position ?? at) + 1
  }
  return found
}
