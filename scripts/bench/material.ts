/**
 * What is hashed? Files of random bytes in .cache/bench, made once and kept: one, as many bytes in eight, and many small ones.
 * And the bundle: what is timed is what is installed, not sources whose types are stripped.
 */
import { randomFillSync } from "node:crypto"
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { join } from "node:path"
import { setTimeout } from "node:timers/promises"
import { build } from "../build.ts"
import type { Files } from "./cases.ts"

const root = join(import.meta.dirname, "../..")
export const folder = join(root, ".cache/bench")

/** `bytes` is how many each of them has in all. `warm` is what is hashed to have code compiled, in two threads too. */
export type Material = {
  readonly bytes: number
  readonly warm: readonly string[]
  readonly weights: readonly string[]
  readonly shards: readonly string[]
}

const SHARDS = 8
const chunk = 1 << 22
/** Milliseconds. */
const settling = 3000

/** The files, read once so that they lie in the page cache. `bytes` is a multiple of 32 MiB. */
export async function makeMaterial(bytes: number): Promise<Material> {
  const place = (name: string): string => join(folder, `${bytes >> 20}-MiB`, name)
  const shards = Array.from({ length: SHARDS }, (_, i) => make(place(`shard-${i}`), bytes / SHARDS))
  const warm = [make(place("warm-0"), 1 << 24), make(place("warm-1"), 1 << 24)]
  const weights = [make(place("weights"), bytes)]
  for (const file of [...warm, ...weights, ...shards]) await touch(file)
  return { bytes, warm, weights, shards }
}

/** Reads a file; one that is younger than what file systems tell times by is waited for, as the hasher does not trust it. */
async function touch(path: string): Promise<void> {
  const file = openSync(path, "r")
  const buffer = Buffer.alloc(chunk)
  while (readSync(file, buffer) > 0);
  closeSync(file)
  const age = Date.now() - statSync(path).ctimeMs
  if (age < settling) await setTimeout(settling - age)
}

export const pathsOf = (material: Material, files: Files): readonly string[] => material[files]

/** A file that lies there whole or not at all. */
function make(path: string, bytes: number): string {
  if (existsSync(path) && statSync(path).size === bytes) return path
  mkdirSync(join(path, ".."), { recursive: true })
  const file = openSync(`${path}.part`, "w")
  const data = Buffer.alloc(chunk)
  for (let at = 0; at < bytes; at += chunk) writeSync(file, randomFillSync(data), 0, Math.min(chunk, bytes - at))
  closeSync(file)
  renameSync(`${path}.part`, path)
  return path
}

/** A folder with this many files of 1 to 2048 bytes, in folders of 1000. */
export function makeSmallFiles(count: number): string {
  const path = join(folder, `${count}-files`)
  if (existsSync(path)) return path
  rmSync(`${path}.part`, { recursive: true, force: true })
  const data = randomFillSync(Buffer.alloc(4096))
  for (let i = 0; i < count; i++) {
    const within = join(`${path}.part`, `${Math.floor(i / 1000)}`)
    if (i % 1000 === 0) mkdirSync(within, { recursive: true })
    writeFileSync(join(within, `${i}`), data.subarray(i % 2048, (i % 2048) + 1 + (i % 2047)))
  }
  renameSync(`${path}.part`, path)
  return path
}

/** Paths of the bundled command and of the bundled sampler. */
export type Bundle = { readonly command: string; readonly sampler: string }

/** Bundles the product, and the process that is measured with it, by the product's own rules, into `out`. */
export async function makeBundle(out: string): Promise<Bundle> {
  rmSync(out, { recursive: true, force: true })
  await build(out, { "scripts/bench/sampler": "scripts/bench/sampler.ts" })
  return { command: join(out, "cli/assay.js"), sampler: join(out, "scripts/bench/sampler.js") }
}
