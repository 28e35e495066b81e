/** Which build is this code? The GNU build id in its ELF notes, which the linker makes from what it links. */
import type { Found } from "../../found.ts"

/** The build id in hex (elf(5), Nhdr): type 3 of the name "GNU". */
export function buildId(found: Found<Uint8Array>): Found<string> {
  if (found.state !== "present") return found
  const notes = Buffer.from(found.value)
  for (let at = 0; at + 12 <= notes.length; ) {
    const from = at + 12 + aligned(notes.readUInt32LE(at))
    const end = from + notes.readUInt32LE(at + 4)
    if (end > notes.length) return { state: "unreadable", problem: "not ELF notes" }
    if (notes.readUInt32LE(at + 8) === 3 && notes.toString("latin1", at + 12, from) === "GNU\0")
      return { state: "present", value: notes.toString("hex", from, end) }
    at = aligned(end)
  }
  return { state: "absent" }
}

const aligned = (size: number): number => Math.ceil(size / 4) * 4
