/**
 * What does a line of an ASCII IMA log stand for? The bytes that the kernel hashed, put together again from the text: PCR,
 * template digest, template, fields. A field that text does not carry whole cannot be replayed from here; the binary log can.
 */
import { Malformed } from "../../wire/codec.ts"
import { digestSize } from "../algorithm.ts"
import { type ImaEntry, imaLimits, type ImaLog, oldestData } from "./entry.ts"
import { type Field, fieldsOf, kernelDigestSize, kindOf } from "./template.ts"

const longestLine = 3 * imaLimits.data

/** The entry in the line that begins at `at`, or "cut" where it has no end. Throws Malformed. */
export function readLine({ bytes, shows }: ImaLog, at: number): ImaEntry | "cut" {
  const end = bytes.indexOf(0x0a, at)
  if ((end < 0 ? bytes.length : end) - at > longestLine)
    throw new Malformed(`line at byte ${at} is longer than ${longestLine}`)
  if (end < 0) return "cut"
  const line = bytes.toString("latin1", at, end)
  const [, pcr = "", digest = "", template = "", fields = ""] = /^ ?(\d{1,2}) ([0-9a-f]+) (\S+) (.*)$/.exec(line) ?? []
  if (digest.length !== 2 * digestSize[shows] || template.length > imaLimits.template)
    throw new Malformed(`line at byte ${at} is no PCR, ${shows} digest, template and fields`)
  const data = dataOf(template, fields, at)
  return { pcr: Number(pcr), violation: /^0+$/.test(digest), template, data, end: end + 1 }
}

/** The digest that the line at `at` shows; it is one that {@link readLine} read. */
export function digestOfLine({ bytes, shows }: ImaLog, at: number): Uint8Array {
  const from = bytes.indexOf(" ", at + 1) + 1
  return Buffer.from(bytes.toString("latin1", from, from + 2 * digestSize[shows]), "hex")
}

function dataOf(template: string, text: string, at: number): Uint8Array {
  const fields = fieldsOf(template)
  if (fields === "unknown" || fields.some(each => kindOf(each) === "other"))
    throw new Malformed(`line at byte ${at} has the template ${template}, which only a binary log carries whole`)
  try {
    const values = split(text, fields)
    if (template === "ima") return oldestData(hexBytes(values[0] ?? ""), latin(values[1] ?? ""))
    return Buffer.concat(fields.flatMap((field, i) => counted(fieldBytes(field, values[i] ?? ""))))
  } catch (error) {
    if (error instanceof Malformed) throw new Malformed(`line at byte ${at}: ${error.message}`)
    throw error
  }
}

/** One text a field: a name takes what the fields before and after it leave, since the oldest kernels let it hold spaces. */
function split(text: string, fields: readonly Field[]): string[] {
  const words = text.split(" ")
  const name = fields.findIndex(each => kindOf(each) === "name")
  const spare = words.length - fields.length
  if (spare < 0) throw new Malformed(`${words.length} fields of ${fields.length}`)
  if (spare === 0) return words
  if (name < 0) throw new Malformed(`${words.length} fields of ${fields.length}`)
  return [...words.slice(0, name), words.slice(name, name + spare + 1).join(" "), ...words.slice(name + spare + 1)]
}

function counted(bytes: Uint8Array): Uint8Array[] {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(bytes.length)
  return [length, bytes]
}

const latin = (text: string): Buffer => Buffer.from(text, "latin1")

function fieldBytes(field: Field, text: string): Uint8Array {
  const kind = kindOf(field)
  if (kind === "digest" || kind === "bytes") return hexBytes(text)
  return kind === "name" ? Buffer.concat([latin(text), Buffer.alloc(1)]) : digestBytes(text)
}

/** `sha256:…`, `verity:sha256:…`: the name with a NUL behind its last colon, and the digest. */
function digestBytes(text: string): Uint8Array {
  const colon = text.lastIndexOf(":") + 1
  const digest = hexBytes(text.slice(colon))
  const algorithm =
    text
      .slice(0, colon - 1)
      .split(":")
      .at(-1) ?? ""
  if (kernelDigestSize.get(algorithm) !== digest.length) throw new Malformed(`no digest: ${text.slice(0, 64)}`)
  return Buffer.concat([latin(text.slice(0, colon)), Buffer.alloc(1), digest])
}

function hexBytes(text: string): Buffer {
  if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new Malformed(`not hex: ${text.slice(0, 64)}`)
  return Buffer.from(text, "hex")
}
