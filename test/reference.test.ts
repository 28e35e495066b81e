/** Does a reference come back as it was recorded, hold the newest of each measurement, and refuse what compares nothing? */
import { describe, expect, test } from "vitest"
import {
  keyOfMeasurement,
  measurementsOf,
  newestMeasurements,
  nothingProven,
  propose,
  provenOf,
  readReference,
  type Reference,
  referenceDigest,
  writeReference,
} from "../attestation/pins/reference.ts"
import { type LogEvent, writeEvent } from "../attestation/protocol/event.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { made, measurement } from "./evidence-maker.ts"
import { sha256 } from "./foreign.ts"

const epoch: LogEvent = {
  ...{ type: "assay.epoch.v1", reason: "boot", resetCount: 1, restartCount: 0, boot: "b", previous: null },
}
const attester = `000b${"ab".repeat(32)}`
const digest = "cd".repeat(32)
const events = [epoch, measurement("a", [["sha256", "1"]]), measurement("größe"), measurement("a", [["sha256", "2"]])]
const reference = propose(attester, digest, events, "Ada L.", made, nothingProven)

test("comes back as it was written, and is called by the hash of its bytes", () => {
  const bytes = writeReference(reference)
  expect(readReference(bytes)).toEqual(reference)
  expect(referenceDigest(reference)).toBe(sha256(bytes))
})

test("holds the newest measurement of each subject, and no epoch", () => {
  expect(measurementsOf(reference)).toEqual([measurement("a", [["sha256", "2"]]), measurement("größe")])
  expect(newestMeasurements(events)).toEqual(measurementsOf(reference))
})

test("names who recorded it, when, and from which evidence", () =>
  expect(reference).toMatchObject({ by: "Ada L.", recorded: made, evidence: digest, attester }))

describe("is refused", () => {
  const cases: Record<string, Partial<Record<keyof Reference | "more", unknown>>> = {
    "C33 with no measurement": { measurements: [] },
    "by nobody": { by: "" },
    "of another type": { type: "assay.reference.v3" },
    "with another member": { more: 1 },
    "with an event that is none": { measurements: ["{}"] },
    "with an event in another spelling": { measurements: [` ${writeEvent(measurement("a"))}`] },
    "at no instant": { recorded: "2026-02-30T00:00:00.000Z" },
    "of no TPM": { attester: "host-1" },
  }
  test.each(Object.entries(cases))("%s", (_, change) => {
    const bytes = Buffer.from(JSON.stringify({ ...reference, ...change }))
    expect(() => readReference(bytes)).toThrow(Malformed)
  })

  test("in another order, or with white space", () => {
    const turned = Object.fromEntries(Object.entries(reference).toReversed())
    expect(() => readReference(Buffer.from(JSON.stringify(turned)))).toThrow(Malformed)
    expect(() => readReference(Buffer.from(JSON.stringify(reference, null, 1)))).toThrow(Malformed)
  })
})

test("an epoch record among the measurements is no measurement", () => {
  const { measurements } = reference
  const read = readReference(writeReference({ ...reference, measurements: [writeEvent(epoch), ...measurements] }))
  expect(measurementsOf(read)).toEqual(measurementsOf(reference))
})

test("a measurement is called by its source, its subject and its part", () => {
  expect(keyOfMeasurement(measurement("a"))).toBe("runtime a")
  expect(keyOfMeasurement(measurement(""))).toBe("runtime")
  expect(keyOfMeasurement(measurement("a", [["part", "2"]]))).toBe("runtime a part 2")
})

test("one of the first version is read, and says nothing of boot and files", () => {
  const { boot: _boot, files: _files, ignored: _ignored, ...rest } = { ...reference, boot: [], files: [], ignored: [] }
  const first = { ...rest, type: "assay.reference.v1" as const }
  const { type, ...members } = first
  const bytes = writeReference({ type, ...members })
  expect(readReference(bytes)).toEqual(first)
  expect(provenOf(readReference(bytes))).toBe("nothing recorded")
  expect(provenOf(reference)).toEqual(nothingProven)
})
