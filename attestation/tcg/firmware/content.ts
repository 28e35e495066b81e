/**
 * Which part of an event's data is its digest over? Only that part is proven when the digest is; the rest is a claim. Most
 * types have one rule (Platform Firmware Profile, 10.4.1), boot loaders have habits, and old versions had others.
 */
import { hash } from "node:crypto"
import { Malformed } from "../../wire/codec.ts"
import { latin1 } from "../../wire/text.ts"
import type { HashAlgorithm } from "../algorithm.ts"
import { eventTypes } from "./event-type.ts"
import type { FirmwareEvent, FirmwareLog } from "./log.ts"
import { extendsPcr } from "./replay.ts"
import { readVariable } from "./variable.ts"

/** An event that extends its PCR in one bank. */
export type MeasuredEvent = Pick<FirmwareEvent, "index" | "pcr" | "claimedType"> & {
  /** of that bank, in hex */
  readonly digest: string
  /** all that the event says, which nothing proves */
  readonly untrustedData: Uint8Array
  /** the bytes of it that the digest is over, or undefined where it is over something else */
  readonly content: Uint8Array | undefined
}

/** The events of `log` that extend a PCR and have a digest of `bank`. */
export const measuredEvents = (log: FirmwareLog, bank: HashAlgorithm): MeasuredEvent[] =>
  log.events.flatMap((event): MeasuredEvent[] => {
    const digest = event.digests.get(bank)
    if (!digest || !extendsPcr(event)) return []
    const { index, pcr, claimedType, data: untrustedData } = event
    const hex = Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString("hex")
    return [{ index, pcr, claimedType, digest: hex, untrustedData, content: contentOf(event, bank, hex) }]
  })

function contentOf(event: FirmwareEvent, bank: HashAlgorithm, digest: string): Uint8Array | undefined {
  for (const each of candidates(event)) if (hash(bank, each) === digest) return each
  return undefined
}

/** Images, firmware and handed-over tables are measured themselves; the data says where they were. */
const never: ReadonlySet<number> = new Set([
  eventTypes.EFI_BOOT_SERVICES_APPLICATION,
  eventTypes.EFI_BOOT_SERVICES_DRIVER,
  eventTypes.EFI_RUNTIME_SERVICES_DRIVER,
  eventTypes.EFI_PLATFORM_FIRMWARE_BLOB,
  eventTypes.EFI_PLATFORM_FIRMWARE_BLOB2,
  eventTypes.EFI_HANDOFF_TABLES,
  eventTypes.EFI_HANDOFF_TABLES2,
])

/** What the digest may be over, the likeliest first; the next is made only where it was none of those before. */
function* candidates({ pcr, claimedType, data }: FirmwareEvent): Generator<Uint8Array> {
  if (pcr !== 7 && never.has(claimedType)) return
  const isVariable = claimedType === eventTypes.EFI_VARIABLE_BOOT || claimedType === eventTypes.EFI_VARIABLE_BOOT2
  if (isVariable) yield* variableData(data)
  // PCRs 9 and 14 hold files and keys under their names.
  if (claimedType === eventTypes.IPL && pcr !== 9 && pcr !== 14) yield* texts(data)
  else yield data
  // shim before 15.3 hashed one byte less than it logged.
  if (claimedType === eventTypes.EFI_VARIABLE_AUTHORITY) yield data.subarray(0, -1)
  if (claimedType === eventTypes.EVENT_TAG) yield data.subarray(8)
}

function variableData(data: Uint8Array): Uint8Array[] {
  try {
    return [readVariable(data).data]
  } catch (error) {
    if (error instanceof Malformed) return []
    throw error
  }
}

/** What GRUB puts before the text that it measures. */
const grubPrefixes = [
  "grub_cmd: ",
  "kernel_cmdline: ",
  "module_cmdline: ",
  "grub_cmd ",
  "grub_kernel_cmdline ",
] as const
const longestPrefix = Math.max(...grubPrefixes.map(each => each.length))

/**
 * A text with or without its NUL (of one byte or two), with or without what GRUB says that it is; or a section's name, which
 * systemd-stub logs in UCS-2 and measures in ASCII with a NUL.
 */
function* texts(data: Uint8Array): Generator<Uint8Array> {
  const head = latin1(data.subarray(0, longestPrefix))
  const prefix = grubPrefixes.find(each => head.startsWith(each))
  if (prefix) yield* endings(data.subarray(prefix.length))
  yield* endings(data)
  const isWide = !prefix && data.length >= 2 && data[1] === 0
  if (isWide) yield* endings(data.filter((_, at) => at % 2 === 0))
}

function* endings(text: Uint8Array): Generator<Uint8Array> {
  yield text.subarray(0, -1)
  yield text
  yield text.subarray(0, -2)
  yield Buffer.concat([text, Buffer.alloc(1)])
}
