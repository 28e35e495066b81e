/**
 * How does a firmware log come to be? Written here as the Platform Firmware Profile says, for cases that no machine wrote:
 * tpm2_eventlog is asked whether it reads the same. What a machine wrote stands among the foreign cases.
 */
import { createHash } from "node:crypto"
import { type HashAlgorithm, hashIdentifiers, digestSize } from "../attestation/tcg/algorithm.ts"
import { type EventType, eventTypes } from "../attestation/tcg/firmware/event-type.ts"

/** An event, its digests over `measured`, which is the data where nothing else is said. */
export type MadeEvent = {
  readonly pcr: number
  readonly type: EventType | number
  readonly data: Uint8Array
  readonly measured?: Uint8Array
}

export const le = (size: 1 | 2 | 4, value: number): Buffer => {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntLE(value, 0, size)
  return bytes
}

const le64 = (value: number): Buffer => Buffer.concat([le(4, value), le(4, 0)])
export const ascii = (text: string): Buffer => Buffer.from(text, "latin1")
export const wide = (text: string): Buffer => Buffer.from(text, "utf16le")
const typeOf = (type: MadeEvent["type"]): number => (typeof type === "number" ? type : eventTypes[type])

/** TCG_EfiSpecIDEvent in a TCG_PCClientPCREvent. */
export function specId(banks: readonly HashAlgorithm[]): Buffer {
  const algorithms = banks.map(bank => Buffer.concat([le(2, hashIdentifiers[bank]), le(2, digestSize[bank])]))
  const body = Buffer.concat([
    ascii("Spec ID Event03\0"),
    le(4, 0),
    Buffer.from([0, 2, 105, 2]),
    le(4, banks.length),
    ...algorithms,
    Buffer.alloc(1),
  ])
  return Buffer.concat([le(4, 0), le(4, 3), Buffer.alloc(20), le(4, body.length), body])
}

/** One event of a crypto agile log. */
export function agile(banks: readonly HashAlgorithm[], event: MadeEvent): Buffer {
  const digests = banks.map(bank => Buffer.concat([le(2, hashIdentifiers[bank]), digestFor(bank, event)]))
  return Buffer.concat([le(4, event.pcr), le(4, typeOf(event.type)), le(4, banks.length), ...digests, body(event)])
}

const body = ({ data }: MadeEvent): Buffer => Buffer.concat([le(4, data.length), data])

/** What is not measured has digests of zeroes. */
const digestFor = (bank: HashAlgorithm, { type, data, measured }: MadeEvent): Buffer =>
  typeOf(type) === eventTypes.NO_ACTION
    ? Buffer.alloc(digestSize[bank])
    : createHash(bank)
        .update(measured ?? data)
        .digest()

export const agileLog = (banks: readonly HashAlgorithm[], events: readonly MadeEvent[]): Buffer =>
  Buffer.concat([specId(banks), ...events.map(event => agile(banks, event))])

export const sha1Log = (events: readonly MadeEvent[]): Buffer =>
  Buffer.concat(
    events.flatMap(event => [le(4, event.pcr), le(4, typeOf(event.type)), digestFor("sha1", event), body(event)]),
  )

const guids = {
  global: "61dfe48bca93d211aa0d00e098032b8c",
  imageSecurity: "cbb219d73a3d9645a3bcdad00e67656f",
} as const

/** UEFI_VARIABLE_DATA. */
export const variable = (vendor: keyof typeof guids, name: string, data: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(guids[vendor], "hex"), le64(name.length), le64(data.length), wide(name), data])

export const separator = (pcr: number): MadeEvent => ({ pcr, type: "SEPARATOR", data: Buffer.alloc(4) })

export const policy = (name: string, data: Uint8Array): MadeEvent => ({
  pcr: 7,
  type: "EFI_VARIABLE_DRIVER_CONFIG",
  data: variable(name === "db" || name === "dbx" ? "imageSecurity" : "global", name, data),
})

export const action = (pcr: number, text: string): MadeEvent => ({ pcr, type: "EFI_ACTION", data: ascii(text) })

/** UEFI_IMAGE_LOAD_EVENT of an image with this file path. */
export function image(path: string, code: Uint8Array): MadeEvent {
  const text = wide(`${path}\0`)
  const node = Buffer.concat([Buffer.from([4, 4]), le(2, 4 + text.length), text, Buffer.from("7fff0400", "hex")])
  const data = Buffer.concat([Buffer.alloc(24), le64(node.length), node])
  return { pcr: 4, type: "EFI_BOOT_SERVICES_APPLICATION", data, measured: code }
}

/** A boot as firmware would log it, with Secure Boot on, through a unified kernel image. */
export const boot: readonly MadeEvent[] = [
  { pcr: 0, type: "S_CRTM_VERSION", data: wide("made here\0") },
  { pcr: 0, type: "EFI_PLATFORM_FIRMWARE_BLOB", data: Buffer.alloc(16, 1), measured: ascii("code") },
  policy("SecureBoot", Buffer.from([1])),
  policy("PK", Buffer.alloc(0)),
  policy("KEK", Buffer.alloc(0)),
  policy("db", Buffer.alloc(0)),
  policy("dbx", Buffer.alloc(0)),
  separator(7),
  action(4, "Calling EFI Application from Boot Option"),
  ...[0, 1, 2, 3, 4, 5, 6].map(separator),
  image("\\EFI\\BOOT\\BOOTX64.EFI", ascii("a unified kernel image")),
  { pcr: 11, type: "IPL", data: wide(".linux\0"), measured: ascii(".linux\0") },
  { pcr: 11, type: "IPL", data: wide(".linux\0"), measured: ascii("a kernel") },
  { pcr: 11, type: "IPL", data: wide(".cmdline\0"), measured: ascii(".cmdline\0") },
  { pcr: 11, type: "IPL", data: wide(".cmdline\0"), measured: ascii("quiet") },
  { pcr: 12, type: "IPL", data: wide("quiet debug\0"), measured: wide("quiet debug") },
  action(5, "Exit Boot Services Invocation"),
  action(5, "Exit Boot Services Returned with Success"),
]
