/**
 * Which events does a quote prove, and what of each? An event is proven where the PCR that it extends was replayed to its
 * quoted value; its data, where its digest is over it.
 */
import { Malformed } from "../../wire/codec.ts"
import type { MeasuredEvent } from "./content.ts"
import { type EventType, eventTypes } from "./event-type.ts"

export type ProvenEvent = MeasuredEvent & {
  /** whether it stands before or after the separator of its PCR; where there is none, all is before */
  readonly phase: "firmware" | "after"
}

/** The events of `proven` PCRs, in the log's order. */
export function provenEvents(events: readonly MeasuredEvent[], proven: ReadonlySet<number>): ProvenEvent[] {
  const ended = new Set<number>()
  return events
    .filter(each => proven.has(each.pcr))
    .map(event => {
      const phase = ended.has(event.pcr) ? "after" : "firmware"
      if (event.claimedType === eventTypes.SEPARATOR) ended.add(event.pcr)
      return { ...event, phase }
    })
}

/** Those of one type in one PCR, or in any. */
export function ofType(events: readonly ProvenEvent[], pcr: number | "any", ...types: readonly EventType[]) {
  const wanted: readonly number[] = types.map(type => eventTypes[type])
  return events.filter(each => (pcr === "any" || each.pcr === pcr) && wanted.includes(each.claimedType))
}

/** What `reading` gives, or undefined where the bytes are not what they should be: a fact that cannot be told is left out. */
export function readable<T>(reading: () => T): T | undefined {
  try {
    return reading()
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}
