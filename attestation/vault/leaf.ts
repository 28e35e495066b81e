/**
 * What is a leaf of the vault? One line of JSON that names what was kept: its kind, when it was kept, and the length and SHA-256 of its
 * bytes. So a leaf proves the bytes while they are there, and still proves that they were when they are gone.
 */
import { createHash } from "node:crypto"
import { z } from "zod"
import { readExact, writeExact } from "../wire/json.ts"
import { count, hex, instant } from "../wire/text.ts"

/** The kinds of leaves that have a meaning here. Others may come: a kind is a word. */
const leaf = z.strictObject({
  kind: z.string().regex(/^[a-z][a-z-]{0,31}$/, "not a kind of leaf"),
  /** when it was kept, by the collector's clock */
  at: instant,
  /** of the bytes that it stands for */
  length: count(2 ** 40),
  sha256: hex(32),
})
export type Leaf = z.infer<typeof leaf>

const leafLimit = 1024

/** The leaf in an entry of the tree. Throws Malformed. */
export const readLeaf = (entry: Uint8Array): Leaf => readExact(leaf, entry, leafLimit)

/** The entry of the tree: what is hashed. */
export const writeLeaf = (value: Leaf): Uint8Array => writeExact(leaf, value)

/** The leaf for `bytes`, kept at `at` (milliseconds since 1970). */
export const leafOf = (kind: string, bytes: Uint8Array, at: number): Leaf => ({
  kind,
  at: new Date(at).toISOString(),
  length: bytes.length,
  sha256: createHash("sha256").update(bytes).digest("hex"),
})
