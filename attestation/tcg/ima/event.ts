/** What does an entry of an IMA log say was measured? A file's digest and path, a buffer, or that a file could not be measured. */
import { Malformed } from "../../wire/codec.ts"
import { plainLine, toHex } from "../../wire/text.ts"
import type { ImaEntry } from "./entry.ts"
import { type Field, fieldsOf, kernelDigestSize, kindOf } from "./template.ts"

export type ImaDigest = {
  /** by the kernel's name */
  readonly algorithm: string
  /** in hex */
  readonly value: string
  /** of a file's contents, or of its fs-verity descriptor, which the kernel enforces at every read */
  readonly of: "contents" | "fs-verity"
}

/** A measurement, whose every part is in what the TPM was extended with; or a violation, of which nothing is. */
export type ImaEvent =
  | {
      readonly kind: "measurement"
      readonly digest: ImaDigest
      /** as the kernel saw it at that moment; spaces in it stand as underscores */
      readonly path: string
      /** file signature (EVM portable or IMA), or empty */
      readonly signature: Uint8Array
      /** what was measured instead of a file: a key, a command line, a policy; or empty */
      readonly buffer: Uint8Array
    }
  | { readonly kind: "violation"; readonly claimedPath: string }
  /** of a template that this project does not know, or with fields that are not what they should be: replayed, and silent */
  | { readonly kind: "unknown"; readonly template: string; readonly why: string }

/** What `entry` says. Never throws: an entry that makes no sense was measured all the same. */
export function readImaEvent(entry: ImaEntry): ImaEvent {
  const fields = fieldsOf(entry.template)
  if (fields === "unknown") return unknown(entry, "no known template")
  try {
    return readFields(entry, fields)
  } catch (error) {
    if (error instanceof Malformed) return unknown(entry, error.message)
    throw error
  }
}

const unknown = ({ template }: ImaEntry, why: string): ImaEvent => ({
  kind: "unknown",
  template: plainLine(template, 255),
  why: plainLine(why, 255),
})

function readFields(entry: ImaEntry, fields: readonly Field[]): ImaEvent {
  const values = entry.template === "ima" ? oldestFields(entry.data) : splitFields(entry.data, fields)
  const value = (...wanted: readonly Field[]): Uint8Array | undefined =>
    values[fields.findIndex(field => wanted.includes(field))]
  const name = value("n", "n-ng")
  const path = name ? pathOf(name) : ""
  if (entry.violation) return { kind: "violation", claimedPath: path }
  const digest = digestOf(fields, values)
  if (!digest) return unknown(entry, "no digest")
  const nothing = new Uint8Array(0)
  return { kind: "measurement", digest, path, signature: value("sig") ?? nothing, buffer: value("buf") ?? nothing }
}

/** How a digest is written as one text, which lists can be made of: `sha256:…` or `verity:sha256:…`. */
export const spokenDigest = ({ algorithm, value, of }: ImaDigest): string =>
  of === "fs-verity" ? `verity:${algorithm}:${value}` : `${algorithm}:${value}`

const oldestFields = (data: Uint8Array): Uint8Array[] => [data.subarray(0, 20), data.subarray(20)]

function splitFields(data: Uint8Array, fields: readonly Field[]): Uint8Array[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const values: Uint8Array[] = []
  let at = 0
  for (const field of fields) {
    const length = at + 4 <= bytes.length ? bytes.readUInt32LE(at) : Infinity
    if (length > bytes.length - at - 4) throw new Malformed(`the field ${field} is cut short`)
    values.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  if (at !== bytes.length) throw new Malformed(`${bytes.length - at} bytes after the last field`)
  return values
}

function digestOf(fields: readonly Field[], values: readonly Uint8Array[]): ImaDigest | undefined {
  const at = fields.findIndex(field => field === "d" || field === "d-ng" || field === "d-ngv2")
  const [field, value] = [fields[at], values[at]]
  if (!field || !value) return undefined
  if (kindOf(field) === "digest") return { algorithm: "sha1", value: sized("sha1", value), of: "contents" }
  return readDigest(value, kindOf(field) === "typed digest")
}

/** `sha256:\0…`; typed: `ima:sha256:\0…` for contents, `verity:sha256:\0…` for fs-verity. */
function readDigest(field: Uint8Array, typed: boolean): ImaDigest {
  const end = field.indexOf(0)
  const words = Buffer.from(field.subarray(0, end < 0 ? 0 : end))
    .toString("latin1")
    .split(":")
  const [type, algorithm] = typed ? words : ["ima", words[0]]
  if (words.length !== (typed ? 3 : 2) || words.at(-1) !== "" || (type !== "ima" && type !== "verity"))
    throw new Malformed(`no digest: ${words.join(":").slice(0, 64)}`)
  const value = sized(algorithm ?? "", field.subarray(end + 1))
  return { algorithm: algorithm ?? "", value, of: type === "verity" ? "fs-verity" : "contents" }
}

function sized(algorithm: string, digest: Uint8Array): string {
  if (kernelDigestSize.get(algorithm) !== digest.length)
    throw new Malformed(`a digest ${algorithm.slice(0, 32)} of ${digest.length} bytes`)
  return toHex(digest)
}

const pathOf = (name: Uint8Array): string => {
  const end = name.indexOf(0)
  return plainLine(Buffer.from(end < 0 ? name : name.subarray(0, end)).toString("utf8"), 4096)
}
