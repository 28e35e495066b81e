/**
 * How does an IMA log come to be? Written here as the kernel documents it, for templates and accidents that no foreign case has.
 * A real TPM that is extended with the same data judges.
 */
import { createHash } from "node:crypto"
import type { HashAlgorithm } from "../attestation/tcg/algorithm.ts"
import { ascii, le } from "./firmware-maker.ts"

export type Made = {
  readonly template: string
  readonly fields: readonly Uint8Array[]
  /** logged as zeroes, extended as ones */
  readonly violation?: boolean
  readonly pcr?: number
}

export const name = (path: string): Buffer => ascii(`${path}\0`)
export const named = (algorithm: string, digest: Uint8Array): Buffer =>
  Buffer.concat([ascii(`${algorithm}:\0`), digest])
export const digestOf = (algorithm: HashAlgorithm, content: string): Buffer =>
  createHash(algorithm).update(content).digest()

/** Bytes that the kernel hashes. */
export function dataOf({ template, fields }: Made): Buffer {
  const [digest = Buffer.alloc(0), path = Buffer.alloc(0)] = fields
  if (template === "ima") return Buffer.concat([digest, path, Buffer.alloc(256 - path.length)])
  return Buffer.concat(fields.flatMap(field => [le(4, field.length), field]))
}

/** What a bank's PCR is extended with. */
export const extension = (bank: HashAlgorithm, made: Made): Buffer =>
  made.violation ? Buffer.alloc(createHash(bank).digest().length, 0xff) : createHash(bank).update(dataOf(made)).digest()

/** An entry of a binary log that shows digests of `shows`. */
export function binary(made: Made, shows: HashAlgorithm = "sha1"): Buffer {
  const digest = createHash(shows).update(dataOf(made)).digest()
  const head = [le(4, made.pcr ?? 10), made.violation ? Buffer.alloc(digest.length) : digest]
  const title = [le(4, made.template.length), ascii(made.template)]
  if (made.template === "ima") {
    const [file = Buffer.alloc(0), path = Buffer.alloc(0)] = made.fields
    return Buffer.concat([...head, ...title, file, le(4, path.length), path])
  }
  const data = dataOf(made)
  return Buffer.concat([...head, ...title, le(4, data.length), data])
}

export const binaryLog = (entries: readonly Made[], shows: HashAlgorithm = "sha1"): Buffer =>
  Buffer.concat(entries.map(each => binary(each, shows)))

export const aggregate = (digest: Uint8Array, template = "ima-ng"): Made => ({
  template,
  fields: [named("sha256", digest), name("boot_aggregate"), ...(template === "ima-sig" ? [Buffer.alloc(0)] : [])],
})

/** The entry of a file with this content. */
export const file = (path: string, content: string): Made => ({
  template: "ima-ng",
  fields: [named("sha256", digestOf("sha256", content)), name(path)],
})
