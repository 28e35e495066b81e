/** What was loaded, from where, and in which order might it have been? PCRs 1, 2, 4 and 5. */
import { Malformed, Reader } from "../../wire/codec.ts"
import { plainLine } from "../../wire/text.ts"
import { le32, le64 } from "../little-endian.ts"
import { imagePath, readLoadOption } from "./device-path.ts"
import { eventTypes } from "./event-type.ts"
import { ofType, type ProvenEvent, readable } from "./proven.ts"
import { readGuid, readVariable, ucs2, vendors } from "./variable.ts"

/** A program that firmware or a boot loader loaded. Its digest is of the image as Authenticode hashes it. */
export type Image = {
  readonly pcr: number
  readonly digest: string
  readonly phase: ProvenEvent["phase"]
  readonly claimedKind: "application" | "boot services driver" | "runtime services driver"
  /** a device path as text; empty where the loader gave none */
  readonly claimedPath: string
}

const kinds: ReadonlyMap<number, Image["claimedKind"]> = new Map([
  [eventTypes.EFI_BOOT_SERVICES_APPLICATION, "application"],
  [eventTypes.EFI_BOOT_SERVICES_DRIVER, "boot services driver"],
  [eventTypes.EFI_RUNTIME_SERVICES_DRIVER, "runtime services driver"],
])

/** Images in the order of the log. */
export const imagesOf = (events: readonly ProvenEvent[]): Image[] =>
  events.flatMap(event => {
    const claimedKind = kinds.get(event.claimedType)
    if (!claimedKind) return []
    const { pcr, digest, phase, untrustedData } = event
    return [{ pcr, digest, phase, claimedKind, claimedPath: readable(() => imagePath(untrustedData)) ?? "" }]
  })

/** A piece of firmware. Its digest is of the code; where it lay is a claim. */
export type FirmwareBlob = { readonly pcr: number; readonly digest: string; readonly claimedName: string }

const blobTypes = [
  "EFI_PLATFORM_FIRMWARE_BLOB",
  "EFI_PLATFORM_FIRMWARE_BLOB2",
  "POST_CODE",
  "POST_CODE2",
  "S_CRTM_CONTENTS",
  "EFI_HCRTM_EVENT",
  "NONHOST_CODE",
  "NONHOST_INFO",
] as const

/** What PCR 0 was extended with besides its version. */
export const firmwareBlobsOf = (events: readonly ProvenEvent[]): FirmwareBlob[] =>
  ofType(events, 0, ...blobTypes).map(({ pcr, digest, untrustedData }) => ({
    pcr,
    digest,
    claimedName: blobName(untrustedData),
  }))

/** A text where there is one, the place in memory where there are two numbers of 64 bits, bytes in hex elsewhere. */
function blobName(data: Uint8Array): string {
  const bytes = Buffer.from(data)
  if (bytes.length === 16 && bytes.readBigUInt64LE(8) < 1n << 40n)
    return `0x${bytes.readBigUInt64LE(0).toString(16)}+0x${bytes.readBigUInt64LE(8).toString(16)}`
  const text = bytes.toString("latin1").split("\0")[0] ?? ""
  return /^[\x20-\x7e]{4,}$/.test(text) ? plainLine(text, 256) : bytes.subarray(0, 64).toString("hex")
}

/** The firmware's version (EV_S_CRTM_VERSION) where its digest proves it: text in UCS-2 or ASCII, otherwise hex. */
export function crtmVersionOf(events: readonly ProvenEvent[]): string | undefined {
  const [version] = ofType(events, 0, "S_CRTM_VERSION")
  if (!version?.content) return undefined
  const wide = ucs2(version.content)
  if (/^[\x20-\x7e]+$/.test(wide) && version.content.length >= 2 * wide.length) return wide
  const plain = Buffer.from(version.content).toString("latin1").replace(/\0+$/, "")
  return /^[\x20-\x7e]+$/.test(plain)
    ? plainLine(plain, 256)
    : Buffer.from(version.content.subarray(0, 64)).toString("hex")
}

/** A boot entry (Boot0000…) as it was measured. */
export type BootEntry = {
  readonly name: string
  readonly description: string
  readonly path: string
  readonly active: boolean
}
export type BootOrder = { readonly order: readonly string[]; readonly entries: readonly BootEntry[] }

/**
 * The order of boot entries, and those that can be read. Firmware measures either the whole variable or its value only:
 * then the name is a claim, and so is which of several values is the order.
 */
export function bootOrderOf(events: readonly ProvenEvent[]): BootOrder {
  const variables = ofType(events, "any", "EFI_VARIABLE_BOOT", "EFI_VARIABLE_BOOT2").flatMap(
    event => (event.content && readable(() => readVariable(event.untrustedData))) ?? [],
  )
  const [order] = variables.filter(each => each.vendor === vendors.global && each.name === "BootOrder")
  const numbers = order
    ? Buffer.from(order.data.subarray(0, order.data.length & ~1))
        .swap16()
        .toString("hex")
    : ""
  return {
    order: (numbers.match(/.{4}/g) ?? []).slice(0, 1024).map(number => `Boot${number.toUpperCase()}`),
    entries: variables
      .filter(each => /^Boot[0-9A-F]{4}$/.test(each.name))
      .flatMap(({ name, data }) => readable(() => ({ name, ...readLoadOption(data) })) ?? []),
  }
}

export type Partition = { readonly type: string; readonly id: string; readonly name: string }
export type PartitionTable = { readonly disk: string; readonly partitions: readonly Partition[] }

const mostPartitions = 256

/** The partition table of the disk that was booted from (UEFI_GPT_DATA, Platform Firmware Profile, 10.4.8). */
export function partitionTableOf(events: readonly ProvenEvent[]): PartitionTable | undefined {
  const [table] = ofType(events, 5, "EFI_GPT_EVENT")
  const content = table?.content
  return content && readable(() => readPartitionTable(new Reader(content)))
}

function readPartitionTable(from: Reader): PartitionTable {
  const header = from.take(92)
  const disk = readGuid(new Reader(header.subarray(56)))
  const size = le32.read(new Reader(header.subarray(84)))
  const number = le64.read(from)
  if (size < 128 || size > 4096 || number > mostPartitions) throw new Malformed(`${number} partitions of ${size} bytes`)
  const partitions = Array.from({ length: Number(number) }, () => readPartition(new Reader(from.take(size))))
  return { disk, partitions }
}

function readPartition(from: Reader): Partition {
  const type = readGuid(from)
  const id = readGuid(from)
  from.take(24)
  return { type, id, name: ucs2(from.take(72)) }
}

/** Whether the firmware said that it handed over to the operating system: invoked, and with success. */
export const exitedBootServices = (events: readonly ProvenEvent[]): boolean =>
  ofType(events, 5, "EFI_ACTION").some(
    ({ content }) =>
      content !== undefined && Buffer.from(content).toString("latin1").startsWith("Exit Boot Services R"),
  )
