/**
 * In which order are all weights read once more, and how far is that? In pieces of 64 MiB shuffled by a seed, so that a stop in
 * between leaves no part of a model that is never seen; seed and place are kept on disk. How a piece is checked: recheck.ts.
 */
import { createHash } from "node:crypto"
import { open, rename, writeFile } from "node:fs/promises"
import { z } from "zod"
import type { Binary } from "./binary.ts"
import type { MeasuredModel } from "./measured.ts"
import type { HashedFile } from "./model.ts"
import { cuts } from "./pieces.ts"
import { codeOf } from "./refusal.ts"

/** A part of a file of a model that is read at once; a whole file where it is no larger. */
export type Portion = {
  readonly name: string
  readonly root: Binary
  readonly file: HashedFile
  readonly start: number
  readonly end: number
}

const portionBytes = 64 << 20

/** Every portion of all models, each file once, in one order for the same files in the same states. */
export function portionsOf(models: ReadonlyMap<string, MeasuredModel>): readonly Portion[] {
  const seen = new Set<string>()
  const portions: Portion[] = []
  for (const [name, { model }] of [...models].toSorted(([a], [b]) => (a < b ? -1 : 1)))
    for (const file of model.files) {
      if (seen.has(file.state)) continue
      seen.add(file.state)
      for (const cut of cuts(file.size, portionBytes)) portions.push({ name, root: model.root, file, ...cut })
    }
  return portions
}

/** What a walk is kept as. Times in milliseconds since 1970. */
const kept = z.strictObject({
  format: z.literal("assay-walk-v1"),
  /** SHA-256 in hex of the portions in their order */
  portions: z.string(),
  seed: z.int().min(0),
  done: z.int().min(0),
  begun: z.int().min(0),
  reads: z.enum(["buffered", "direct"]),
})
export type Kept = z.infer<typeof kept>

/** What names a list of portions: it is another one as soon as any file is. */
export function fingerprintOf(portions: readonly Portion[]): string {
  const hash = createHash("sha256")
  for (const { file, start } of portions) hash.update(`${file.state} ${file.sha256} ${start}\n`)
  return hash.digest("hex")
}

const limit = 4096

/** The walk that was under way, if the file is there and says one. */
export async function readWalk(path: string): Promise<Kept | "none"> {
  const file = await open(path, "r").catch(() => undefined)
  if (!file) return "none"
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(limit), 0, limit, 0)
    return parsed(buffer.toString("utf8", 0, bytesRead))
  } catch (error) {
    if (codeOf(error) === undefined) throw error
    return "none"
  } finally {
    await file.close()
  }
}

function parsed(text: string): Kept | "none" {
  try {
    return kept.parse(JSON.parse(text))
  } catch {
    return "none"
  }
}

/** Keeps how far a walk is; where that cannot be, it begins anew after a restart. */
export async function writeWalk(path: string, walk: Kept): Promise<void> {
  try {
    await writeFile(`${path}.new`, `${JSON.stringify(walk)}\n`, { mode: 0o600 })
    await rename(`${path}.new`, path)
  } catch (error) {
    if (codeOf(error) === undefined) throw error
  }
}

/** The numbers below `count` in an order that the seed decides (Fisher and Yates; mulberry32, which need not be unguessable). */
export function shuffled(count: number, seed: number): Uint32Array {
  const order = Uint32Array.from({ length: count }, (_, i) => i)
  let state = seed >>> 0
  for (let i = count - 1; i > 0; i--) {
    state = (state + 0x6d_2b_79_f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    const j = (mixed ^ (mixed >>> 14)) >>> 0
    const other = j % (i + 1)
    const moved = order[i] ?? 0
    order[i] = order[other] ?? 0
    order[other] = moved
  }
  return order
}
