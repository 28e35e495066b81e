/**
 * Where in which log does a finding come from? An event's, an entry's or a record's number, so that a person can look there with other
 * tools. Of logs that were verified; it decides nothing.
 */
import { keyOfMeasurement } from "../pins/reference.ts"
import { readEvent } from "../protocol/event.ts"
import { readCel } from "../tcg/cel.ts"
import { type FirmwareEvent, type FirmwareLog, readFirmwareLog } from "../tcg/firmware/log.ts"
import { readImaEvent, spokenDigest } from "../tcg/ima/event.ts"
import { openImaLog, readEntry } from "../tcg/ima/log.ts"
import type { Finding } from "../verify/finding.ts"
import type { Logs } from "../verify/log.ts"
import { Malformed } from "../wire/codec.ts"
import { toHex } from "../wire/text.ts"

/** The place of `found` in words, or undefined where it has none. Never throws for what the logs hold. */
export function placeOf(found: Finding, logs: Logs): string | undefined {
  try {
    if (found.id.startsWith("boot.")) return inFirmware(found, logs.get("firmware"))
    if (found.id.startsWith("files.") || found.id === "ima.violation") return inIma(found, logs.get("ima"))
    return found.id.startsWith("reference.") ? inOwn(found, logs.get("assay")) : undefined
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

function inFirmware({ seen }: Finding, bytes: Uint8Array | undefined): string | undefined {
  if (!bytes || seen === "nothing") return undefined
  const log = readFirmwareLog(bytes)
  const [, digest] = /([0-9a-f]{64})$/.exec(seen) ?? []
  const event = log.events.find(each => (digest === undefined ? holds(each, seen) : hasDigest(each, digest)))
  return event && `event ${numberIn(log, event)} of the firmware log, PCR ${event.pcr}`
}

const numberIn = (log: FirmwareLog, event: FirmwareEvent): number => log.events.indexOf(event) + 1

const hasDigest = ({ digests }: FirmwareEvent, digest: string): boolean =>
  [...digests.values()].some(each => toHex(each) === digest)

/** Whether the event's data holds the text, in ASCII or in the two bytes a character that firmware writes. */
function holds({ data }: FirmwareEvent, text: string): boolean {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  return text.length > 1 && (bytes.includes(text, 0, "latin1") || bytes.includes(Buffer.from(text, "utf16le")))
}

function inIma({ id, component, seen }: Finding, bytes: Uint8Array | undefined): string | undefined {
  if (!bytes) return undefined
  const log = openImaLog(bytes)
  const numbers: number[] = []
  for (let at = 0, number = 1; at < bytes.length && numbers.length < most; number++) {
    const entry = readEntry(log, at)
    if (entry === "cut") break
    const event = readImaEvent(entry)
    const isOfFile =
      event.kind === "measurement" && event.path === component && seen.includes(spokenDigest(event.digest))
    if (id === "ima.violation" ? event.kind === "violation" : isOfFile) numbers.push(number)
    at = entry.end
  }
  if (numbers.length === 0) return undefined
  return `${numbers.length > 1 ? "entries" : "entry"} ${numbers.join(", ")} of the IMA log, PCR 10`
}

const most = 16

function inOwn({ component }: Finding, bytes: Uint8Array | undefined): string | undefined {
  if (!bytes) return undefined
  const record = readCel(bytes).findLast(({ content }) => {
    const event = readEvent(content)
    if (event.type !== "assay.measurement.v1") return false
    const key = keyOfMeasurement(event)
    return component === key || component.startsWith(`${key}: `)
  })
  return record && `record ${record.recnum} of the agent's log, PCR ${record.pcr}`
}
