/** How is JSON read that others write, in whatever spelling? As UTF-8 without a fault, bounded, and then by a schema. */
import type { ZodType } from "zod"
import { Malformed } from "../../wire/codec.ts"

/** The most bytes of a publisher's document: a signature over a few hundred thousand files fits. */
export const documentLimit = 64 << 20

/** The value of `bytes` under `schema`. Throws {@link Malformed}, which names `what`. */
export function readForeign<T>(schema: ZodType<T>, bytes: Uint8Array, what: string): T {
  const read = schema.safeParse(parsed(textOf(bytes, what), what))
  if (read.success) return read.data
  const [issue] = read.error.issues
  throw new Malformed(`${what}: ${issue?.path.map(String).join(".") ?? ""} ${issue?.message ?? "does not fit"}`)
}

/** The text of `bytes`. Throws {@link Malformed}. */
export function textOf(bytes: Uint8Array, what: string): string {
  if (bytes.length > documentLimit) throw new Malformed(`${what} has more than ${documentLimit} bytes`)
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes)
  } catch {
    throw new Malformed(`${what} is not UTF-8`)
  }
}

function parsed(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Malformed(`${what} is not JSON`)
  }
}
