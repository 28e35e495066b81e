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

const common = {
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
} as const

/** Of what the agent measured alone, as first versions recorded it: of boot and files it says nothing. */
const ofAgent = z.strictObject({ type: z.literal("assay.reference.v1"), ...common })

/** The most files of a list. */
export const mostFiles = 60_000

const ofMachine = z.strictObject({
  type: z.literal("assay.reference.v2"),
  ...common,
  /** what the logs of firmware, boot loader and systemd proved: measurement events of the source `boot`, one a part */
  boot: z.array(z.string().max(1 << 20)).max(16),
  /** what the kernel may execute and load: path, and digest as `sha256:…` or `verity:sha256:…` */
  files: z.array(z.tuple([line(4096), line(160)])).max(mostFiles),
  /** what is not compared, as whoever recorded it decided: parts of the boot by name, files by the beginning of their path */
  ignored: z.array(line(1024).min(1)).max(256),
})

const reference = z.discriminatedUnion("type", [ofAgent, ofMachine])
export type Reference = z.infer<typeof reference>

/** What a machine showed besides its agent's own measurements. */
export type Proven = Pick<z.infer<typeof ofMachine>, "files" | "ignored"> & { readonly boot: readonly Measurement[] }

const referenceLimit = 1 << 24

/** A machine without logs of its boot. */
export const nothingProven: Proven = { boot: [], files: [], ignored: [] }

/** Throws Malformed, for the events inside too. */
export function readReference(bytes: Uint8Array): Reference {
  const value = readExact(reference, bytes, referenceLimit)
  for (const each of [...value.measurements, ...(value.type === "assay.reference.v2" ? value.boot : [])])
    readEvent(each)
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

/** A proposal from what `events` say and what is `proven` besides, as `by` looked at it at `recorded`. */
export function propose(
  attester: string,
  evidence: string,
  events: readonly LogEvent[],
  by: string,
  recorded: string,
  { boot, files, ignored }: Proven,
): Reference {
  const measurements = newestMeasurements(events).map(writeEvent)
  const common = { attester, by, recorded, evidence, measurements }
  return { type: "assay.reference.v2", ...common, boot: boot.map(writeEvent), files, ignored }
}

/** What of boot and files a reference speaks, read; "nothing recorded" where it was made without. */
export function provenOf(value: Reference): Proven | "nothing recorded" {
  if (value.type === "assay.reference.v1") return "nothing recorded"
  const { boot, files, ignored } = value
  return { boot: newestMeasurements(boot.map(readEvent)), files, ignored }
}

/** The measurements of a reference, read. */
export const measurementsOf = (value: Reference): Measurement[] => newestMeasurements(value.measurements.map(readEvent))

/** What a measurement is of: its source, its subject, and its part where a subject needs several events. */
export function keyOfMeasurement({ source, subject, facts }: Measurement): string {
  const part = facts.find(([name]) => name === "part")?.[1]
  return [source, subject, ...(part === undefined ? [] : [`part ${part}`])].filter(each => each !== "").join(" ")
}
