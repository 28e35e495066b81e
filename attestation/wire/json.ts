/**
 * How is JSON read so that two parties cannot read it differently? As exact bytes: UTF-8 without a fault, equal to what
 * re-serialising the parsed value gives (no white space, no duplicate member, no other spelling of a number or string),
 * then a strict schema. What the members mean is the schema's business.
 */
import type { ZodType } from "zod"
import { Malformed } from "./codec.ts"

/** The value of `bytes` under `schema`. Throws {@link Malformed}; never anything else. */
export function readJson<T>(schema: ZodType<T>, bytes: Uint8Array, limit: number): T {
  if (bytes.length > limit) throw new Malformed(`${bytes.length} bytes exceed the limit of ${limit}`)
  const text = decodeUtf8(bytes)
  const parsed = parse(text)
  if (JSON.stringify(parsed) !== text) throw new Malformed("not in the one spelling that this format allows")
  const result = schema.safeParse(parsed)
  if (!result.success) throw new Malformed(explain(result.error.issues))
  return result.data
}

/** The one spelling of `value`: minimal JSON in UTF-8. */
export function writeJson(value: unknown): Uint8Array {
  return new Uint8Array(Buffer.from(JSON.stringify(value), "utf8"))
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
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

function explain(issues: readonly { readonly path: readonly PropertyKey[]; readonly message: string }[]): string {
  const [first] = issues
  if (!first) return "does not fit its schema"
  const place = first.path.map(String).join(".")
  return place === "" ? first.message : `${place}: ${first.message}`
}
