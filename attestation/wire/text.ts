/**
 * How do bytes and 64-bit numbers stand in JSON? In one spelling each, so that equal values are equal text: lower-case
 * hexadecimal, base64 that re-encodes to itself (RFC 4648 §4, padded), and decimal strings without a leading zero.
 */
import { z } from "zod"

/** Lower-case hexadecimal of exactly `size` bytes. */
export const hex = (size: number) => z.string().regex(new RegExp(`^[0-9a-f]{${2 * size}}$`), `not ${size} bytes in hex`)

/** Base64 of at most `max` bytes, of which there is one spelling only. */
export const base64 = (max: number) =>
  z
    .string()
    .max(Math.ceil(max / 3) * 4)
    .refine(text => {
      const bytes = Buffer.from(text, "base64")
      return bytes.length <= max && bytes.toString("base64") === text
    }, `not base64 of at most ${max} bytes`)

/** Base64 of exactly `size` bytes. */
export const base64Exactly = (size: number) =>
  base64(size).refine(text => Buffer.from(text, "base64").length === size, `not ${size} bytes in base64`)

/** An unsigned 64-bit number as a decimal string. One check, since the next would run on what the first refused. */
export const decimal64 = z
  .string()
  .refine(text => /^(0|[1-9][0-9]{0,19})$/.test(text) && BigInt(text) < 1n << 64n, "not a decimal number of 64 bits")

/** A count that JSON carries exactly. */
export const count = (max: number) => z.int().min(0).max(max)

/** A line of text as people see it: bounded, without control characters. */
// oxlint-disable-next-line no-control-regex -- control characters are what it refuses
export const line = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$/, "holds a control character")

/** An RFC 3339 instant in UTC with milliseconds, as `Date.prototype.toISOString` writes it. */
export const instant = z
  .string()
  .regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/, "not an instant in UTC")
  .refine(text => Number.isFinite(Date.parse(text)) && new Date(text).toISOString() === text, "no such instant")

/** The same bytes as a Buffer, which spells them: no copy. */
const viewOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

export const toHex = (bytes: Uint8Array): string => viewOf(bytes).toString("hex")
export const fromHex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "hex"))
export const toBase64 = (bytes: Uint8Array): string => viewOf(bytes).toString("base64")
export const fromBase64 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "base64"))

/** Each byte as the character of its number (ISO 8859-1). */
export const latin1 = (bytes: Uint8Array): string => viewOf(bytes).toString("latin1")

/** Whether two byte strings are equal. Public values only; secrets go through `timingSafeEqual`. */
export const sameBytes = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** `text` as a line of at most `max` characters: what is no plain character is shown escaped, what is too long is cut with an ellipsis. */
export function plainLine(text: string, max: number): string {
  if (text.length <= max && /^[\x20-\x7e]*$/.test(text)) return text
  // oxlint-disable-next-line no-control-regex -- control characters are what it escapes
  const plain = text.replace(
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]/gu,
    escaped,
  )
  return plain.length <= max ? plain : `${plain.slice(0, max - 1).replace(/[\ud800-\udbff]$/, "")}…`
}

const escaped = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`
