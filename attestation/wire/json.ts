/**
 * How is JSON read so that two parties cannot read it differently? As exact bytes: UTF-8 without a fault, equal to what
 * re-serialising the parsed value gives (no white space, no duplicate member, no other spelling of a number or string),
 * then a strict schema. What is hashed or signed also has its members in the schema's order. What the members mean is the
 * schema's business.
 */
import type { ZodType } from "zod"
import { Malformed } from "./codec.ts"

/** The deepest nesting of any format here is far below this; what a stranger nests deeper is refused before it is visited. */
const depthLimit = 32

/** The value of `bytes` under `schema`, members in any order. Throws {@link Malformed}; never anything else. */
export function readJson<T>(schema: ZodType<T>, bytes: Uint8Array, limit: number): T {
  const text = textOf(bytes, limit)
  const parsed = checked(text)
  if (JSON.stringify(parsed) !== text) throw new Malformed(otherSpelling)
  return fit(schema, parsed)
}

/**
 * As {@link readJson}, and of one spelling only: members stand in the schema's order. For what is hashed or signed. The schema
 * bounds the depth: it names every member, and what it does not name is refused unvisited.
 */
export function readExact<T>(schema: ZodType<T>, bytes: Uint8Array, limit: number): T {
  return exactly(schema, textOf(bytes, limit))
}

/** As {@link readExact}, of a text that stood in other JSON: a whole string, which has a UTF-8. `limit` in UTF-16 units. */
export function readExactText<T>(schema: ZodType<T>, text: string, limit: number): T {
  if (text.length > limit) throw new Malformed(`${text.length} characters exceed the limit of ${limit}`)
  if (!text.isWellFormed()) throw new Malformed("holds half a surrogate pair")
  return exactly(schema, text)
}

function exactly<T>(schema: ZodType<T>, text: string): T {
  const parsed = parse(text)
  if (text.includes("\\u")) checkParts(parsed)
  const result = schema.safeParse(parsed)
  // what the schema gives has its members in order, so that one comparison says all; a second tells what is wrong
  if (result.success && JSON.stringify(result.data) === text) return result.data
  checkParts(parsed)
  if (JSON.stringify(parsed) !== text) throw new Malformed(otherSpelling)
  if (!result.success) throw new Malformed(explain(result.error.issues))
  throw new Malformed("its members are not in the order that this format allows")
}

/** Minimal JSON in UTF-8, members as they stand in `value`. */
export function writeJson(value: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(JSON.stringify(value), "utf8"))
}

/** The one spelling of `value` under `schema`, as {@link readExact} reads it. Throws {@link Malformed} if it does not fit. */
export const writeExact = <T>(schema: ZodType<T>, value: T): Uint8Array => writeJson(fit(schema, value))

const otherSpelling = "not in the one spelling that this format allows"

function textOf(bytes: Uint8Array, limit: number): string {
  if (bytes.length > limit) throw new Malformed(`${bytes.length} bytes exceed the limit of ${limit}`)
  return decodeUtf8(bytes)
}

function checked(text: string): unknown {
  const parsed = parse(text)
  if (mayBeOdd(text)) checkParts(parsed)
  return parsed
}

/** Whether `text` may nest too deep or hold half a surrogate pair: brackets within strings count too, which only costs time. */
function mayBeOdd(text: string): boolean {
  if (text.includes("\\u")) return true
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at)
    if (unit === 0x5b || unit === 0x7b) depth++
    else if (unit === 0x5d || unit === 0x7d) depth--
    if (depth > depthLimit) return true
  }
  return false
}

function fit<T>(schema: ZodType<T>, value: unknown): T {
  const result = schema.safeParse(value)
  if (!result.success) throw new Malformed(explain(result.error.issues))
  return result.data
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new Malformed("not UTF-8")
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Malformed("not JSON")
  }
}

/** Level by level, not by recursion: depth is bounded, and half a surrogate pair, which has no UTF-8, is refused. */
function checkParts(parsed: unknown): void {
  let level = [parsed]
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > depthLimit) throw new Malformed(`nested deeper than ${depthLimit}`)
    for (const part of level)
      if (typeof part === "string" && !part.isWellFormed()) throw new Malformed("holds half a surrogate pair")
    level = level.flatMap(partsOf)
  }
}

function partsOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value
  return typeof value === "object" && value !== null ? Object.entries(value).flat() : []
}

function explain(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): string {
  const [first] = issues
  if (!first) return "does not fit its schema"
  const place = first.path.map(String).join(".")
  return place === "" ? first.message : `${place}: ${first.message}`
}
