/**
 * Which events does a quote prove, and what of each? An event is proven where the PCR that it extends was replayed to its
 * quoted value; its data, where its digest is over it.
 */
import { Malformed } from "../../wire/codec.ts"
import { toHex } from "../../wire/text.ts"
import type { HashAlgorithm } from "../algorithm.ts"
import { measuredContent } from "./content.ts"
import { type EventType, eventTypes } from "./event-type.ts"
import type { FirmwareLog } from "./log.ts"
import { extendsPcr } from "./replay.ts"

export type ProvenEvent = {
  readonly index: number
  readonly pcr: number
  readonly claimedType: number
  /** in hex, of the quoted bank */
  readonly digest: string
  /** all that the event says, which nothing proves */
  readonly untrustedData: Uint8Array
  /** the part of it that the digest is over, or undefined */
  readonly content: Uint8Array | undefined
  /** whether it stands before or after the separator of its PCR; where there is none, all is before */
  readonly phase: "firmware" | "after"
}

/** The events of `proven` PCRs, in the log's order. */
export function provenEvents(log: FirmwareLog, bank: HashAlgorithm, proven: ReadonlySet<number>): ProvenEvent[] {
  const ended = new Set<number>()
  return log.events.flatMap((event): ProvenEvent[] => {
    const digest = event.digests.get(bank)
    if (!extendsPcr(event) || !digest || !proven.has(event.pcr)) return []
    const { index, pcr, claimedType, data: untrustedData } = event
    const phase = ended.has(pcr) ? "after" : "firmware"
    if (claimedType === eventTypes.SEPARATOR) ended.add(pcr)
    const content = measuredContent(event, bank)
    return [{ index, pcr, claimedType, digest: toHex(digest), untrustedData, content, phase }]
  })
}

/** Those of one type in one PCR, or in any. */
export const ofType = (events: readonly ProvenEvent[], pcr: number | "any", ...types: readonly EventType[]) =>
  events.filter(
    each => (pcr === "any" || each.pcr === pcr) && types.some(type => eventTypes[type] === each.claimedType),
  )

/** What `reading` gives, or undefined where the bytes are not what they should be: a fact that cannot be told is left out. */
export function readable<T>(reading: () => T): T | undefined {
  try {
    return reading()
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}
