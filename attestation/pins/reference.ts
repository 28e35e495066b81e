/**
 * What was this machine seen to run when somebody vouched for looking at it? A reference is a *proposal*: it names who
 * recorded it and from which evidence, and approves nothing. A match with it reads "as recorded".
 */
import { createHash } from "node:crypto"
import { z } from "zod"
import { readExact, writeExact } from "../wire/json.ts"
import { hex, instant, line } from "../wire/text.ts"
import { type LogEvent, type Measurement, readEvent, writeEvent } from "../protocol/event.ts"
import { tpmName } from "../protocol/evidence.ts"

const reference = z.strictObject({
  type: z.literal("assay.reference.v1"),
  attester: tpmName,
  /** who looked at the machine and recorded it */
  by: line(128).min(1),
  recorded: instant,
  /** digest of the evidence that it was taken from */
  evidence: hex(32),
  /** measurement events, each in its one spelling */
  measurements: z
    .array(z.string().max(1 << 20))
    .min(1, "a reference of nothing compares nothing")
    .max(4096),
})
export type Reference = z.infer<typeof reference>

const referenceLimit = 1 << 24

/** Throws Malformed, for the events inside too. */
export function readReference(bytes: Uint8Array): Reference {
  const value = readExact(reference, bytes, referenceLimit)
  for (const each of value.measurements) readEvent(each)
  return value
}

/** Throws Malformed if it would not be read back. */
export const writeReference = (value: Reference): Uint8Array => writeExact(reference, value)

export const referenceDigest = (value: Reference): string =>
  createHash("sha256").update(writeReference(value)).digest("hex")

/** The newest measurement of each source and subject: what a log says that the machine is now. */
export function newestMeasurements(events: readonly LogEvent[]): Measurement[] {
  const newest = new Map<string, Measurement>()
  for (const event of events) if (event.type === "assay.measurement.v1") newest.set(keyOfMeasurement(event), event)
  return [...newest.values()]
}

/** A proposal from what `events` say, as `by` looked at it at `recorded`. */
export function propose(
  attester: string,
  evidence: string,
  events: readonly LogEvent[],
  by: string,
  recorded: string,
): Reference {
  const measurements = newestMeasurements(events).map(writeEvent)
  return { type: "assay.reference.v1", attester, by, recorded, evidence, measurements }
}

/** The measurements of a reference, read. */
export const measurementsOf = (value: Reference): Measurement[] => newestMeasurements(value.measurements.map(readEvent))

/** What a measurement is of: its source, its subject, and its part where a subject needs several events. */
export function keyOfMeasurement({ source, subject, facts }: Measurement): string {
  const part = facts.find(([name]) => name === "part")?.[1]
  return [source, subject, ...(part === undefined ? [] : [`part ${part}`])].filter(each => each !== "").join(" ")
}
