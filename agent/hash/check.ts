/**
 * Are a model's files those of a manifest? Only SHA-256 is asked for, so each file is read by the fastest way to that, and what
 * differs once more by the other implementation. Both digests of a model: model.ts.
 */
import { differences, type Stretch } from "../../wasm/records.ts"
import type { Binary } from "./binary.ts"
import { otherThan } from "./engine.ts"
import type { Depth, FlatFound, Hasher } from "./hasher.ts"
import type { EngineName } from "./job.ts"
import { digestOf, manifestOf } from "./manifest.ts"
import { assertStill, type ModelOptions, named } from "./model.ts"
import { disagreement } from "./round.ts"
import { filesOf, type ModelFile, rootOf } from "./tree.ts"

export type FlatFile = ModelFile & FlatFound

/** A model by the SHA-256 of its files alone. */
export type FlatModel = {
  readonly root: Binary
  readonly digest: string
  readonly manifest: Uint8Array
  readonly files: readonly FlatFile[]
  readonly bytes: number
}

/** SHA-256 of each file of the model at `path`. Throws CannotHash, and the signal's reason. */
export async function flatModelWith(
  hasher: Hasher,
  depth: Depth,
  path: string,
  options: ModelOptions,
): Promise<FlatModel> {
  const root = await rootOf(path)
  if (depth === "quick") await hasher.recall(root)
  const files = await filesOf(path, options.links)
  const paths = files.map(each => each.path)
  const found = await hasher.flat(paths, depth, options.signal, named(files, options))
  await assertStill(hasher, path, { files, found }, options)
  const hashed = files.flatMap((file, i): FlatFile[] => {
    const each = found[i]
    return each ? [{ ...file, ...each }] : []
  })
  const manifest = manifestOf(hashed)
  const bytes = hashed.reduce((sum, { size }) => sum + size, 0)
  return { root, digest: digestOf(manifest), manifest, files: hashed, bytes }
}

/** Who confirms that a file has other contents than were wanted. Throws CannotHash if the two implementations do not agree. */
export async function confirmDifference(
  hasher: Hasher,
  { path, sha256, by }: Pick<FlatFile, "path" | "sha256" | "by">,
  signal: AbortSignal,
): Promise<EngineName> {
  const other = by === "known" ? "node:crypto" : otherThan(by)
  if ((await hasher.confirm(path, other, signal)) !== sha256) throw disagreement(path)
  return other
}

/**
 * The parts of a file that are not as they were when it had the digest that is wanted, to 512 KiB; "not known" where the records
 * of those contents are not kept here, or the file had another size. Reads the file once more. Throws CannotHash.
 */
export async function placesOf(
  hasher: Hasher,
  root: Binary,
  { path, size }: Pick<FlatFile, "path" | "size">,
  wanted: string,
  signal: AbortSignal,
): Promise<readonly Stretch[] | "not known"> {
  const { cache } = hasher
  if (cache === "none") return "not known"
  const before = (await cache.load(root)).find(each => each.sha256 === wanted && each.size === size)
  const earlier = before ? await cache.records(before) : "none"
  if (earlier === "none") return "not known"
  const [found] = await hasher.files([path], "full", signal, () => undefined)
  const now = found ? await cache.records(found) : "none"
  return now === "none" || now.length !== earlier.length ? "not known" : differences(size, earlier, now)
}
