/**
 * Did this store come out of a backup? It says so itself when it holds less than was in it when this folder's mark was written; or a
 * person says so. What follows is a finding, until each machine has booted anew (M11).
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs"
import { z } from "zod"
import { count } from "../attestation/wire/text.ts"
import { readJson, writeJson } from "../attestation/wire/json.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import type { Store } from "./store.ts"

/** How many pieces of evidence the store was seen to hold. */
const mark = z.strictObject({ evidence: count(Number.MAX_SAFE_INTEGER) })

/** Notes a restoration if the store holds less than the mark at `path` says; whether it did. */
export async function noticeRestoration(store: Store, path: string, now: number): Promise<boolean> {
  const marked = readMark(path)
  const held = await store.size()
  if (marked <= held) return false
  const reason = `the store holds ${held} pieces of evidence, and held ${marked} before`
  await store.restored({ at: now, by: "the collector", reason })
  return true
}

/** Writes the mark anew. It is replaced as a whole, and need not survive a power failure: an old one notices less. */
export async function writeMark(store: Store, path: string): Promise<void> {
  writeFileSync(`${path}.new`, writeJson({ evidence: await store.size() }), { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

function readMark(path: string): number {
  try {
    return readJson(mark, new Uint8Array(readFileSync(path)), 1024).evidence
  } catch (error) {
    if (error instanceof Malformed || (error instanceof Error && "code" in error && error.code === "ENOENT")) return 0
    throw error
  }
}
