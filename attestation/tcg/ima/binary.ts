/** Which entry stands in the bytes of a binary IMA log? security/integrity/ima/ima_fs.c, ima_measurements_show; least significant byte first. */
import { Malformed } from "../../wire/codec.ts"
import { digestSize } from "../algorithm.ts"
import { type ImaEntry, imaLimits, type ImaLog, isZero, oldestData } from "./entry.ts"
import { templateNames } from "./template.ts"

/** The entry that begins at `at`, or "cut" where the bytes end within it. Throws Malformed. */
export function readBinary({ bytes, shows }: ImaLog, at: number): ImaEntry | "cut" {
  const digestAt = at + 4
  const nameAt = digestAt + digestSize[shows] + 4
  if (nameAt > bytes.length) return "cut"
  const pcr = bytes.readUInt32LE(at)
  const nameLength = bytes.readUInt32LE(nameAt - 4)
  if (nameLength === 0 || nameLength > imaLimits.template)
    throw new Malformed(`entry at byte ${at}: a template's name of ${nameLength} bytes`)
  const dataAt = nameAt + nameLength
  const template = nameIn(bytes, nameAt, dataAt)
  const violation = isZero(bytes, digestAt, digestSize[shows])
  if (template === "ima") return readOldest(bytes, dataAt, pcr, violation)
  if (dataAt + 4 > bytes.length) return "cut"
  const length = bytes.readUInt32LE(dataAt)
  if (length > imaLimits.data) throw new Malformed(`entry before byte ${dataAt}: ${length} bytes of data`)
  const end = dataAt + 4 + length
  return end > bytes.length ? "cut" : { pcr, violation, template, data: bytes.subarray(dataAt + 4, end), end }
}

/** A template's name; one that a kernel has is not made anew for each of half a million entries. */
const nameIn = (bytes: Buffer, from: number, to: number): string =>
  templateNames.find(name => spells(bytes, from, to, name)) ?? bytes.toString("latin1", from, to)

function spells(bytes: Buffer, from: number, to: number, name: string): boolean {
  if (name.length !== to - from || to > bytes.length) return false
  for (let i = 0; i < name.length; i++) if (bytes[from + i] !== name.charCodeAt(i)) return false
  return true
}

/** The digest that the entry at `at` shows. */
export const digestOfEntry = ({ bytes, shows }: ImaLog, at: number): Uint8Array =>
  bytes.subarray(at + 4, at + 4 + digestSize[shows])

/** The template `ima`: a SHA-1 digest and a name, hashed as 20 and 256 bytes. */
function readOldest(bytes: Buffer, at: number, pcr: number, violation: boolean): ImaEntry | "cut" {
  if (at + 24 > bytes.length) return "cut"
  const length = bytes.readUInt32LE(at + 20)
  if (length > imaLimits.name) throw new Malformed(`entry before byte ${at}: a name of ${length} bytes`)
  const end = at + 24 + length
  if (end > bytes.length) return "cut"
  const data = oldestData(bytes.subarray(at, at + 20), bytes.subarray(at + 24, end))
  return { pcr, violation, template: "ima", data, end }
}
