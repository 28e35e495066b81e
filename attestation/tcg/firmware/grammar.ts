/**
 * Is each event where it may be, and is it what it says? A type is not measured, so whoever serves a log may rename events
 * and append others. What cannot be renamed is what its digest is over: hence a list of types for each PCR, of which those
 * that are believed must prove their data, and one separator in each PCR that firmware ends with one.
 * Platform Firmware Profile, 3.3.4 (usage of PCRs) and 10.4.1 (event types).
 */
import { hash } from "node:crypto"
import { hashAlgorithms } from "../algorithm.ts"
import type { MeasuredEvent } from "./content.ts"
import { type EventType, eventTypes, nameOfType } from "./event-type.ts"
import { readVariable, vendors } from "./variable.ts"

/** A violation is a log that misleads; what is unrecognised, nothing is said about. */
export type Fault = {
  readonly kind: "violation" | "unrecognised"
  readonly pcr: number
  readonly seen: string
  readonly wanted: string
}

const everywhere = ["SEPARATOR", "EFI_ACTION", "ACTION", "EVENT_TAG"] as const
const spdm = ["EFI_SPDM_FIRMWARE_BLOB", "EFI_SPDM_FIRMWARE_CONFIG"] as const

/** PCR → what may extend it. PCRs from 8 on are the operating system's: there anything may. */
// biome-ignore format: one row a PCR
const usage: readonly ReadonlySet<number>[] = ([
  [...everywhere, "S_CRTM_CONTENTS", "S_CRTM_VERSION", "POST_CODE", "POST_CODE2", "NONHOST_CODE", "NONHOST_INFO", "NONHOST_CONFIG",
    "EFI_PLATFORM_FIRMWARE_BLOB", "EFI_PLATFORM_FIRMWARE_BLOB2", "EFI_HANDOFF_TABLES", "EFI_HANDOFF_TABLES2", "EFI_HCRTM_EVENT"],
  [...everywhere, ...spdm, "CPU_MICROCODE", "PLATFORM_CONFIG_FLAGS", "TABLE_OF_DEVICES", "NONHOST_CONFIG", "NONHOST_INFO", "POST_CODE",
    "EFI_VARIABLE_BOOT", "EFI_VARIABLE_BOOT2", "EFI_VARIABLE_DRIVER_CONFIG", "EFI_HANDOFF_TABLES", "EFI_HANDOFF_TABLES2"],
  [...everywhere, ...spdm, "EFI_BOOT_SERVICES_DRIVER", "EFI_RUNTIME_SERVICES_DRIVER", "EFI_BOOT_SERVICES_APPLICATION", "NONHOST_CODE",
    "EFI_PLATFORM_FIRMWARE_BLOB", "EFI_PLATFORM_FIRMWARE_BLOB2"],
  [...everywhere, ...spdm, "EFI_VARIABLE_DRIVER_CONFIG", "NONHOST_CONFIG", "PLATFORM_CONFIG_FLAGS", "EFI_HANDOFF_TABLES", "EFI_HANDOFF_TABLES2"],
  [...everywhere, "EFI_BOOT_SERVICES_APPLICATION", "EFI_BOOT_SERVICES_DRIVER", "IPL", "COMPACT_HASH", "OMIT_BOOT_DEVICE_EVENTS"],
  [...everywhere, "EFI_GPT_EVENT", "EFI_GPT_EVENT2", "EFI_VARIABLE_BOOT", "EFI_VARIABLE_BOOT2", "EFI_VARIABLE_DRIVER_CONFIG",
    "IPL_PARTITION_DATA", "IPL", "TABLE_OF_DEVICES"],
  [...everywhere, "COMPACT_HASH", "NONHOST_INFO", "EFI_VARIABLE_DRIVER_CONFIG"],
  [...everywhere, "EFI_VARIABLE_DRIVER_CONFIG", "EFI_VARIABLE_AUTHORITY", "EFI_SPDM_DEVICE_POLICY", "EFI_SPDM_DEVICE_AUTHORITY"],
] as const satisfies readonly (readonly EventType[])[]).map(names => new Set<number>(names.map(name => eventTypes[name])))

/** Types whose data is believed, so that it must be what the digest is over. In PCR 7 there is nothing else. */
const proving: ReadonlySet<number> = new Set([
  eventTypes.SEPARATOR,
  eventTypes.EFI_ACTION,
  eventTypes.EFI_VARIABLE_DRIVER_CONFIG,
  eventTypes.EFI_VARIABLE_AUTHORITY,
  eventTypes.EFI_GPT_EVENT,
])

const separators = [Buffer.alloc(4), Buffer.alloc(4, 0xff)]
const lastOfFirmware = 7

const separatorDigests: ReadonlySet<string> = new Set(
  hashAlgorithms.flatMap(bank => separators.map(each => hash(bank, each))),
)

/** Everything among the events of one bank that is not where or what it may be. */
export function grammarFaults(events: readonly MeasuredEvent[]): Fault[] {
  const pcrs = new Set(events.map(event => event.pcr).filter(pcr => pcr <= lastOfFirmware))
  return [
    ...events.flatMap(eventFaults),
    ...[...pcrs].flatMap(pcr => separatorFaults(events, pcr)),
    ...(pcrs.has(lastOfFirmware) ? policyFaults(events) : []),
  ]
}

const spoken = (event: MeasuredEvent): string => `event ${event.index}, ${nameOfType(event.claimedType)}`

function eventFaults(event: MeasuredEvent): Fault[] {
  const { pcr, claimedType, content, untrustedData } = event
  const isSeparator = claimedType === eventTypes.SEPARATOR
  const mustProve = pcr === 7 || pcr === 8 || proving.has(claimedType)
  if (mustProve && content === undefined) return [unproven(event)]
  if (pcr > lastOfFirmware) return []
  if (isSeparator && !separators.some(each => each.equals(untrustedData)))
    return [violation(event, `${spoken(event)} that reports an error`, "a separator of four bytes 0x00 or 0xff")]
  if (!isSeparator && separatorDigests.has(event.digest)) return [disguised(event)]
  const allowed = usage[pcr]?.has(claimedType)
  return allowed ? [] : [{ kind: "unrecognised", pcr, seen: spoken(event), wanted: `what PCR ${pcr} is for` }]
}

const violation = ({ pcr }: MeasuredEvent, seen: string, wanted: string): Fault => ({
  kind: "violation",
  pcr,
  seen,
  wanted,
})

/** In PCR 8 are boot loaders' texts: one that is not shown as it was measured hides something, yet claims nothing. */
const unproven = (event: MeasuredEvent): Fault => ({
  kind: event.pcr === 8 ? "unrecognised" : "violation",
  pcr: event.pcr,
  seen: `${spoken(event)}, whose digest is not of its data`,
  wanted: "data that its digest is over",
})

/** In PCR 0 there are firmwares whose S-CRTM is four such bytes, and nothing that is said of PCR 0 depends on its separator. */
const disguised = (event: MeasuredEvent): Fault => ({
  kind: event.pcr === 0 ? "unrecognised" : "violation",
  pcr: event.pcr,
  seen: `${spoken(event)} with a separator's digest`,
  wanted: "a separator named as one",
})

function separatorFaults(events: readonly MeasuredEvent[], pcr: number): Fault[] {
  const [first, second] = events.filter(event => event.pcr === pcr && event.claimedType === eventTypes.SEPARATOR)
  if (!first)
    return [{ kind: "unrecognised", pcr, seen: "no separator", wanted: "one, where the firmware's part ends" }]
  return second ? [violation(second, `${spoken(second)}, after that of event ${first.index}`, "one separator")] : []
}

/** What Secure Boot enforces is measured once, and before the separator; whoever comes later could say anything. */
function policyFaults(events: readonly MeasuredEvent[]): Fault[] {
  const end = events.find(event => event.pcr === 7 && event.claimedType === eventTypes.SEPARATOR)?.index ?? Infinity
  const policies = events.filter(isPolicy)
  const seen = new Map<string, MeasuredEvent>()
  return policies.flatMap(event => {
    const { name } = readVariable(event.untrustedData)
    if (event.index > end)
      return [violation(event, `event ${event.index}, ${name}, after the separator`, `${name} before it`)]
    const earlier = seen.get(name)
    seen.set(name, event)
    return earlier ? [violation(event, `event ${event.index}, ${name} again`, `${name} once`)] : []
  })
}

const policyNames: ReadonlySet<string> = new Set(["SecureBoot", "PK", "KEK", "db", "dbx"])

/** Whether this is one of the variables that decide what may boot. */
function isPolicy({ pcr, claimedType, untrustedData: data }: MeasuredEvent): boolean {
  if (pcr !== 7 || claimedType !== eventTypes.EFI_VARIABLE_DRIVER_CONFIG || data.length < 32) return false
  try {
    const { vendor, name } = readVariable(data)
    return policyNames.has(name) && (vendor === vendors.global || vendor === vendors.imageSecurity)
  } catch {
    return false
  }
}
