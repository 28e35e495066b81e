/**
 * What does a shared library call itself? The soname in its dynamic section (System V gABI, chapters 4 and 5), from the parts of
 * the file that hold it. Only what machines with accelerators run: ELF of 64 bits, little-endian.
 */
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"

const header = 64
const limits = Object.freeze({ segments: 64, segmentBytes: 1 << 16, nameBytes: 256 })
const dynamicSegment = 2
const loadSegment = 1
const tags = Object.freeze({ end: 0, strings: 5, name: 14 })

type Segment = { readonly type: number; readonly offset: number; readonly address: number; readonly size: number }

/** The soname of the file at `path`; absent where it is no such library or has none. */
export async function sonameOf(host: Host, path: string): Promise<Found<string>> {
  const read = (offset: number, length: number) => host.readPart(path, offset, length)
  const start = await read(0, header)
  if (start.state !== "present") return start
  const head = Buffer.from(start.value)
  if (head.length < header || head.readUInt32BE(0) !== 0x7f454c46 || head[4] !== 2 || head[5] !== 1) return absent
  const [size, count] = [head.readUInt16LE(54), Math.min(head.readUInt16LE(56), limits.segments)]
  if (size !== 56) return absent
  const table = await read(numberAt(head, 32), size * count)
  if (table.state !== "present") return table
  const segments = segmentsIn(Buffer.from(table.value))
  const dynamic = segments.find(each => each.type === dynamicSegment)
  if (!dynamic) return absent
  const entries = await read(dynamic.offset, Math.min(dynamic.size, limits.segmentBytes))
  if (entries.state !== "present") return entries
  const at = nameOffset(Buffer.from(entries.value), segments)
  return at === "none" ? absent : nameIn(await read(at, limits.nameBytes))
}

const absent = { state: "absent" } as const

/** What is too large to be an offset in a file of ours leads to no bytes. */
const numberAt = (bytes: Buffer, offset: number): number => {
  const value = bytes.readBigUInt64LE(offset)
  return value > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(value)
}

function segmentsIn(table: Buffer): Segment[] {
  const found: Segment[] = []
  for (let at = 0; at + 56 <= table.length; at += 56)
    found.push({
      type: table.readUInt32LE(at),
      offset: numberAt(table, at + 8),
      address: numberAt(table, at + 16),
      size: numberAt(table, at + 32),
    })
  return found
}

/** Where in the file the name is: the string table's address, found in the segment that is loaded there, and the name's offset. */
function nameOffset(entries: Buffer, segments: readonly Segment[]): number | "none" {
  let [strings, name] = [-1, -1]
  for (let at = 0; at + 16 <= entries.length; at += 16) {
    const [tag, value] = [numberAt(entries, at), numberAt(entries, at + 8)]
    if (tag === tags.end) break
    if (tag === tags.strings) strings = value
    if (tag === tags.name) name = value
  }
  if (strings < 0 || name < 0) return "none"
  const home = segments.find(
    each => each.type === loadSegment && strings >= each.address && strings < each.address + each.size,
  )
  return home ? home.offset + (strings - home.address) + name : "none"
}

function nameIn(found: Found<Uint8Array>): Found<string> {
  if (found.state !== "present") return found
  const end = found.value.indexOf(0)
  return end > 0 ? { state: "present", value: Buffer.from(found.value.subarray(0, end)).toString("latin1") } : absent
}
