/** From where was something loaded, as text? UEFI device paths (UEFI, 10), in the specification's text form as far as boots show it. */
import { Malformed, Reader, u8 } from "../../wire/codec.ts"
import { plainLine, toHex } from "../../wire/text.ts"
import { le16, le32, le64 } from "../little-endian.ts"
import { readGuid, ucs2 } from "./variable.ts"

const mostNodes = 64
const hex = (n: number | bigint): string => `0x${n.toString(16).toUpperCase()}`

type Node = (from: Reader) => string

const pciRoots: ReadonlySet<number> = new Set([0x0a0341d0, 0x0a0841d0])

const acpi: Node = from => {
  const hid = le32.read(from)
  const uid = le32.read(from)
  return pciRoots.has(hid) ? `PciRoot(${hex(uid)})` : `Acpi(${hex(hid)},${hex(uid)})`
}

const hardDrive: Node = from => {
  const partition = le32.read(from)
  const start = le64.read(from)
  const size = le64.read(from)
  const signature = from.take(16)
  const format = u8.read(from)
  const guid = u8.read(from) === 2
  const name = guid ? readGuid(new Reader(signature)) : hex(Buffer.from(signature).readUInt32LE())
  return `HD(${partition},${format === 2 ? "GPT" : "MBR"},${name},${hex(start)},${hex(size)})`
}

const pci: Node = from => {
  const [fn, device] = from.take(2)
  return `Pci(${hex(device ?? 0)},${hex(fn ?? 0)})`
}

/** Node of a type and subtype → its text. What is not here stands as Path(type,subtype,bytes). */
const nodes: ReadonlyMap<string, Node> = new Map<string, Node>([
  ["1.1", pci],
  ["1.3", from => `MemoryMapped(${le32.read(from)},${hex(le64.read(from))},${hex(le64.read(from))})`],
  ["1.4", from => `VenHw(${readGuid(from)})`],
  ["2.1", acpi],
  ["3.2", from => `Scsi(${hex(le16.read(from))},${hex(le16.read(from))})`],
  ["3.5", from => `USB(${hex(u8.read(from))},${hex(u8.read(from))})`],
  ["3.10", from => `VenMsg(${readGuid(from)})`],
  ["3.11", from => `MAC(${toHex(from.take(6))})`],
  ["3.12", () => "IPv4()"],
  ["3.13", () => "IPv6()"],
  ["3.18", from => `Sata(${hex(le16.read(from))},${hex(le16.read(from))},${hex(le16.read(from))})`],
  ["3.23", from => `NVMe(${hex(le32.read(from))},${[...from.take(8)].toReversed().map(dashed).join("-")})`],
  ["3.24", from => `Uri(${Buffer.from(from.take(from.left)).toString("latin1")})`],
  ["3.29", from => `SD(${hex(u8.read(from))})`],
  ["3.31", () => "Dns()"],
  ["4.1", hardDrive],
  ["4.2", from => `CDROM(${hex(le32.read(from))})`],
  ["4.3", from => `VenMedia(${readGuid(from)})`],
  ["4.4", from => ucs2(from.take(from.left))],
  ["4.6", from => `FvFile(${readGuid(from)})`],
  ["4.7", from => `Fv(${readGuid(from)})`],
  ["4.8", from => (le32.read(from), `Offset(${hex(le64.read(from))},${hex(le64.read(from))})`)],
])

const dashed = (byte: number): string => byte.toString(16).padStart(2, "0").toUpperCase()

/** A device path as text, of at most 64 nodes. Throws Malformed. */
export function devicePathText(bytes: Uint8Array): string {
  const from = new Reader(bytes)
  const parts: string[] = []
  while (from.left > 0) {
    const type = u8.read(from)
    const subtype = u8.read(from)
    const size = le16.read(from)
    if (size < 4) throw new Malformed(`a device path's node of ${size} bytes`)
    const body = new Reader(from.take(size - 4))
    if (type === 0x7f) {
      if (subtype === 0xff) break
      parts.push(",")
      continue
    }
    if (parts.length === mostNodes) throw new Malformed(`a device path of more than ${mostNodes} nodes`)
    parts.push(nodeText(type, subtype, body))
  }
  return plainLine(parts.join("/").replaceAll("/,/", ","), 4096)
}

function nodeText(type: number, subtype: number, body: Reader): string {
  const known = nodes.get(`${type}.${subtype}`)
  return known ? known(body) : `Path(${type},${subtype},${toHex(body.take(Math.min(body.left, 64)))})`
}

/** What EFI_LOAD_OPTION (UEFI, 3.1.3) says: a boot entry's description and where it boots from. Throws Malformed. */
export function readLoadOption(data: Uint8Array): {
  readonly active: boolean
  readonly description: string
  readonly path: string
} {
  const from = new Reader(data)
  const attributes = le32.read(from)
  const length = le16.read(from)
  const rest = from.take(from.left)
  const end = endOfText(rest)
  const path = new Reader(rest.subarray(end)).take(length)
  return {
    active: (attributes & 1) === 1,
    description: ucs2(rest.subarray(0, end)),
    path: devicePathText(path),
  }
}

function endOfText(bytes: Uint8Array): number {
  for (let at = 0; at + 1 < bytes.length; at += 2) if (bytes[at] === 0 && bytes[at + 1] === 0) return at + 2
  throw new Malformed("a boot entry's description without end")
}

/** Where an image was loaded from (UEFI_IMAGE_LOAD_EVENT, Platform Firmware Profile, 10.2.3), or empty. Throws Malformed. */
export function imagePath(data: Uint8Array): string {
  const from = new Reader(data)
  from.take(24)
  const length = le64.read(from)
  if (length > BigInt(from.left)) throw new Malformed(`a device path of ${length} bytes in ${from.left}`)
  return devicePathText(from.take(Number(length)))
}
