/** What may stand in an event, and is it read back as it was written? */
import { describe, expect, test } from "vitest"
import { type LogEvent, readEvent, writeEvent } from "../attestation/protocol/event.ts"
import { Malformed } from "../attestation/wire/codec.ts"

const epoch: LogEvent = {
  type: "assay.epoch.v1",
  reason: "boot",
  resetCount: 0xffffffff,
  restartCount: 0,
  boot: "b",
  previous: { length: 1, digest: "00".repeat(32) },
}
const measurement: LogEvent = {
  type: "assay.measurement.v1",
  source: "runtime",
  subject: "größe",
  state: "present",
  facts: [
    ["file", "a"],
    ["file", "b"],
  ],
}

describe.each([epoch, { ...epoch, previous: null }, measurement, { ...measurement, facts: [] }])("$type", event => {
  test("is read back as it was written", () => expect(readEvent(writeEvent(event))).toEqual(event))

  test("has one spelling, whatever the order of its members was", () => {
    const turned = Object.fromEntries(Object.entries(event).toReversed()) as LogEvent
    expect(writeEvent(turned)).toBe(writeEvent(event))
    expect(() => readEvent(JSON.stringify(turned))).toThrow("not in the order")
  })
})

const altered: Record<string, unknown> = {
  "another type": { ...measurement, type: "assay.measurement.v2" },
  "another member": { ...measurement, more: 1 },
  "a source with a space": { ...measurement, source: "a b" },
  "no source": { ...measurement, source: "" },
  "an unknown state": { ...measurement, state: "gone" },
  "a control character": { ...measurement, subject: "a\u001b[2J" },
  "a line break": { ...measurement, facts: [["a", "b\nc"]] },
  "half a surrogate pair": { ...measurement, subject: "\ud834" },
  "a fact of three": { ...measurement, facts: [["a", "b", "c"]] },
  "too many facts": { ...measurement, facts: Array.from({ length: 1025 }, () => ["a", "b"]) },
  "too long a value": { ...measurement, facts: [["a", "b".repeat(4097)]] },
  "an unknown reason": { ...epoch, reason: "because" },
  "a counter of 33 bits": { ...epoch, resetCount: 2 ** 32 },
  "a negative counter": { ...epoch, restartCount: -1 },
  "a length without a digest": { ...epoch, previous: { length: 1 } },
}
test.each(Object.entries(altered))("C23 %s is neither written nor read", (_, event) => {
  expect(() => writeEvent(event as LogEvent)).toThrow(Malformed)
  expect(() => readEvent(JSON.stringify(event))).toThrow("the event is malformed")
})

test("an event as large as a limit that escaping exceeds is refused when it is written", () => {
  const facts = Array.from({ length: 1024 }, (): [string, string] => ["a", '"'.repeat(4000)])
  expect(() => writeEvent({ ...measurement, facts })).toThrow("exceed the limit")
})
