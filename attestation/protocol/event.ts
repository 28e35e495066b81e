/**
 * What does an attester write into its event log? The contents of log records, each one JSON string with its type inside.
 * Which facts there are is each measurement source's business; the verifier does not change when one is added.
 */
import { z } from "zod"
import { Malformed } from "../wire/codec.ts"
import { readExactText, writeExact } from "../wire/json.ts"
import { base64Exactly, count, hex, line } from "../wire/text.ts"

/** A log epoch began: the PCR holds nothing older. One in every log: the first record, or the second (M13). */
const epoch = z.strictObject({
  type: z.literal("assay.epoch.v1"),
  /** why: the first log of this TPM, a boot, a resume from suspend, or a log that was lost within its epoch */
  reason: z.enum(["join", "boot", "resume", "lost"]),
  resetCount: count(0xffffffff),
  restartCount: count(0xffffffff),
  /** the kernel's boot id: a label, which root can forge */
  boot: line(64),
  /** the log before this one, as it stood: its length in bytes and SHA-256, or null when there is none */
  previous: z.strictObject({ length: count(1 << 30), digest: hex(32) }).nullable(),
})

/** What one source found about one subject (a file, a model, a device; "" where there is but one). */
const measurement = z.strictObject({
  type: z.literal("assay.measurement.v1"),
  source: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  subject: line(1024),
  /** absent: looked for and not there; unreadable: there, and the attester may not or cannot read it */
  state: z.enum(["present", "absent", "unreadable"]),
  /** name and value in the source's own order; a name may repeat */
  facts: z.array(z.tuple([line(256), line(4096)])).max(1024),
})

/** Every weight file is read again because a verifier asked: from before the first byte until after the last. */
const hashBegun = z.strictObject({ type: z.literal("assay.hash-begun.v1"), nonce: base64Exactly(32) })
const hashDone = z.strictObject({ type: z.literal("assay.hash-done.v1"), nonce: base64Exactly(32) })

const content = z.discriminatedUnion("type", [epoch, measurement, hashBegun, hashDone])
export type EpochEvent = z.infer<typeof epoch>
export type Measurement = z.infer<typeof measurement>
export type LogEvent = z.infer<typeof content>
export type Fact = readonly [name: string, value: string]

/** The event in a record's content. Throws Malformed. */
export function readEvent(text: string): LogEvent {
  try {
    return readExactText(content, text, 1 << 20)
  } catch (error) {
    if (error instanceof Malformed) throw new Malformed(`the event is malformed: ${error.message}`)
    throw error
  }
}

/** The one spelling of an event, as it is measured. Throws Malformed if it would not be read back. */
export function writeEvent(event: LogEvent): string {
  const text = Buffer.from(writeExact(content, event)).toString("utf8")
  readEvent(text)
  return text
}
