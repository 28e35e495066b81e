/**
 * What does the SMBIOS table say itself, below what the kernel made of it? DMTF DSP0134: structures of a type, a length, a
 * handle, fields, and strings that end with an empty one. It is the firmware's word: anyone who writes the firmware writes it.
 */
import { createHash } from "node:crypto"

export type Structure = {
  readonly type: number
  readonly fields: Uint8Array
  readonly strings: readonly Uint8Array[]
  readonly bytes: Uint8Array
}

/** The table is not one. */
export class BadTable extends Error {}

const structureLimit = 4096
/** The firmware's own event log, whose change token differs after every event, and the end of the table. */
const eventLog = 15
const end = 127

/** The structures of a table up to its end marker. Throws BadTable. */
export function structuresIn(table: Uint8Array): readonly Structure[] {
  const bytes = Buffer.from(table)
  const found: Structure[] = []
  for (let at = 0; at < bytes.length; ) {
    const structure = structureAt(bytes, at)
    if (structure.type === end) return found
    if (found.push(structure) > structureLimit) throw new BadTable(`more than ${structureLimit} structures`)
    at += structure.bytes.length
  }
  return found
}

function structureAt(table: Buffer, at: number): Structure {
  const length = table[at + 1] ?? 0
  if (length < 4 || at + length + 2 > table.length) throw new BadTable(`no structure at byte ${at}`)
  const strings: Uint8Array[] = []
  let next = at + length
  while (table[next] !== 0) {
    const stop = table.indexOf(0, next)
    if (stop < 0) throw new BadTable(`a string at byte ${next} does not end`)
    strings.push(table.subarray(next, stop))
    next = stop + 1
  }
  const close = strings.length === 0 ? next + 2 : next + 1
  if (close > table.length || table[close - 1] !== 0) throw new BadTable(`a structure at byte ${at} does not end`)
  return { type: table[at] ?? 0, fields: table.subarray(at, at + length), strings, bytes: table.subarray(at, close) }
}

/** SHA-256 over all structures that are the same while the machine is. */
export function steadyDigest(structures: readonly Structure[]): string {
  const hash = createHash("sha256")
  for (const { type, bytes } of structures) if (type !== eventLog) hash.update(bytes)
  return `sha256:${hash.digest("hex")}`
}

/** Where the table has what the kernel shows in files of /sys/class/dmi/id: structure type, and the offset of the string's number. */
const places = [
  ["bios_vendor", 0, 4],
  ["bios_version", 0, 5],
  ["bios_date", 0, 8],
  ["sys_vendor", 1, 4],
  ["product_name", 1, 5],
  ["board_vendor", 2, 4],
  ["board_name", 2, 5],
] as const

/** The table's own strings under the kernel's names, white space at their ends aside. */
export function stringsOf(structures: readonly Structure[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  for (const [name, type, offset] of places) {
    const structure = structures.find(each => each.type === type)
    const string = structure?.strings[(structure.fields[offset] ?? 0) - 1]
    if (string) found.set(name, Buffer.from(string).toString("latin1").trimEnd())
  }
  return found
}
