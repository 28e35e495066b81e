/** What is an entry of an IMA log, before anybody asks what it says? The same for both forms in which a kernel shows a log. */
import { Malformed } from "../../wire/codec.ts"
import type { HashAlgorithm } from "../algorithm.ts"

/** The most bytes of a log, of an entry's data, of a template's name and of the name in the oldest template. */
export const imaLimits = { log: 1 << 28, data: 1 << 20, template: 255, name: 255 } as const

export type ImaEntry = {
  readonly pcr: number
  /** whether the kernel noted that it could not measure what was used: the digest that the log shows is zero */
  readonly violation: boolean
  readonly template: string
  /** what the template's digest is over: each field with its length, but in the template `ima` */
  readonly data: Uint8Array
  /** where the next entry begins */
  readonly end: number
}

export type ImaLog = {
  readonly form: "binary" | "ascii"
  /** of the digests that the log shows: SHA-1, but in a kernel's files for one bank */
  readonly shows: HashAlgorithm
  readonly bytes: Buffer
}

/** What the digest of the template `ima` is over. */
export function oldestData(digest: Uint8Array, name: Uint8Array): Uint8Array {
  if (digest.length !== 20 || name.length > imaLimits.name)
    throw new Malformed(`template ima with ${digest.length} bytes of digest and ${name.length} of name`)
  const data = Buffer.alloc(20 + imaLimits.name + 1)
  data.set(digest)
  data.set(name, 20)
  return data
}

/** Whether a digest of `size` bytes at `at` is zero. */
export function isZero(bytes: Uint8Array, at: number, size: number): boolean {
  for (let i = at; i < at + size; i++) if (bytes[i] !== 0) return false
  return true
}
