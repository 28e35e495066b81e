/** Do the logs that came with evidence belong to it, and does ours reproduce the quoted PCR? What they say: `appraise/`. */
import { hash } from "node:crypto"
import { Malformed } from "../wire/codec.ts"
import { sameBytes, toHex } from "../wire/text.ts"
import type { Quote } from "../tcg/attest.ts"
import { readCel, replayCel } from "../tcg/cel.ts"
import { type LogEvent, readEvent } from "../protocol/event.ts"
import type { Payload } from "../protocol/evidence.ts"
import { type Finding, finding } from "./finding.ts"

/** Log name → its bytes from its beginning. Bytes beyond the length that the evidence names are discarded. */
export type Logs = ReadonlyMap<string, Uint8Array>

/** Our log as it was read before: of the same bytes nothing is read again. */
export type RememberedLog = {
  readonly length: number
  readonly digest: string
  readonly bytes: Uint8Array
  readonly events: readonly LogEvent[]
  /** of one PCR and one bank */
  readonly replayed: string
  readonly key: string
}

type Checked = {
  readonly events: readonly LogEvent[]
  readonly log: Uint8Array
  readonly found: readonly Finding[]
  readonly own: RememberedLog | "nothing"
}

const nothing = new Uint8Array(0)

/** @param before what an earlier verification of the same attester read */
export function checkLogs(
  payload: Payload,
  quote: Quote | undefined,
  untrusted: Logs,
  before: RememberedLog | "nothing",
): Checked {
  const named = payload.body.logs
  const found = named
    .filter(log => log.name !== "assay")
    .map(log => finding("log.unknown", log.name, log.name, "assay"))
  const [own, ...others] = named.filter(log => log.name === "assay")
  const same =
    before !== "nothing" && own?.digest === before.digest && own.length === before.length ? before : undefined
  const whole = untrusted.get("assay") ?? same?.bytes
  if (!own || others.length > 0 || !whole || whole.length < own.length) {
    const seen = whole ? `${whole.length} bytes` : "no log"
    return {
      events: [],
      log: nothing,
      own: "nothing",
      found: [...found, finding("log.missing", "log", seen, `${own?.length ?? 0} bytes of one log`)],
    }
  }
  if (same && same.key === keyOf(payload))
    return { events: same.events, log: same.bytes, own: same, found: [...found, ...judge(payload, quote, same)] }
  const bytes = whole.subarray(0, own.length)
  const digest = hash("sha256", bytes)
  if (digest !== own.digest) found.push(finding("log.digest", "log", digest, own.digest))
  const read = readOwn(payload, bytes, digest)
  if (read instanceof Malformed)
    return {
      events: [],
      log: bytes,
      own: "nothing",
      found: [...found, finding("log.malformed", "log", read.message, "the format")],
    }
  return { events: read.events, log: bytes, own: read, found: [...found, ...judge(payload, quote, read)] }
}

const keyOf = ({ body }: Payload): string => `${body.selection.bank} ${body.logPcr}`

function readOwn(payload: Payload, bytes: Uint8Array, digest: string): RememberedLog | Malformed {
  try {
    const records = readCel(bytes)
    const events = records.map(record => readEvent(record.content))
    const replayed = toHex(replayCel(records, payload.body.logPcr, payload.body.selection.bank))
    return { length: bytes.length, digest, bytes, events, replayed, key: keyOf(payload) }
  } catch (error) {
    if (error instanceof Malformed) return error
    throw error
  }
}

function judge(payload: Payload, quote: Quote | undefined, { events, replayed }: RememberedLog): Finding[] {
  const pcr = payload.body.logPcr
  const wanted = payload.quote.pcrs.find(([index]) => index === pcr)?.[1] ?? "no value"
  const found = replayed === wanted ? [] : [finding("log.replay", `PCR ${pcr}`, replayed, wanted)]
  return [...found, ...checkEpoch(events, quote)]
}

/**
 * An epoch comes from quoted counters only: exactly one record opens the one that the quote shows. It is the first, or the second
 * where a suspend came between the write of a record and its extend: that record stands before it (M13).
 */
function checkEpoch(events: readonly LogEvent[], quote: Quote | undefined): Finding[] {
  const openings = events.flatMap((event, i) => (event.type === "assay.epoch.v1" ? [{ event, i }] : []))
  const [opening, ...more] = openings
  if (!opening || more.length > 0 || opening.i > 1) {
    const seen = `epoch records at ${openings.map(({ i }) => i).join(", ") || "no place"}`
    return [finding("log.epoch", "log", seen, "one epoch record, the first or second")]
  }
  if (!quote) return []
  const seen = `${opening.event.resetCount}.${opening.event.restartCount}`
  const wanted = `${quote.clock.resetCount}.${quote.clock.restartCount}`
  return seen === wanted ? [] : [finding("log.epoch", "log", seen, wanted)]
}

/** Whether `later` begins with `earlier`: prefix continuity within one log epoch. */
export const continues = (earlier: Uint8Array, later: Uint8Array): boolean =>
  later.length >= earlier.length && sameBytes(later.subarray(0, earlier.length), earlier)
