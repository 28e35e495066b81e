/**
 * What is this model's digest? Its files are listed, hashed, listed and looked at again: what joined, left or changed meanwhile
 * is a refusal. Used by the agent's weights source and by hand alike. What its files claim to be: claims.ts.
 */
import type { Engine } from "./engine.ts"
import { type Depth, type Found, Hasher, type HashProgress, type How } from "./hasher.ts"
import { asBinary, type Binary, shown } from "./binary.ts"
import type { EngineName } from "./job.ts"
import { digestOf, manifestOf } from "./manifest.ts"
import { unsettled } from "./refusal.ts"
import { filesOf, type Links, type ModelFile, rootOf } from "./tree.ts"

export type { Engine } from "./engine.ts"
export type { EngineName } from "./job.ts"

/** `verity` is what `fsverity digest` prints after `sha256:`; both digests in hex. */
export type HashedFile = ModelFile & {
  readonly sha256: string
  readonly verity: string
  readonly size: number
  readonly state: string
}

/** `digest` is SHA-256 of `manifest` in hex; `manifest` the bytes that `sha256sum` prints. */
export type HashedModel = {
  readonly root: Binary
  readonly digest: string
  readonly manifest: Uint8Array
  readonly files: readonly HashedFile[]
  readonly bytes: number
  /** which implementation made which digest when the files were new; `again`, which one saw known files again */
  readonly engines: { readonly sha256: EngineName; readonly verity: EngineName; readonly again: EngineName | "none" }
  /** how many files were found in which way */
  readonly how: Readonly<Record<How, number>>
  /** files that are not what the store promises by the name that it gave them */
  readonly broken: readonly HashedFile[]
}

/** Bytes over all files that are read, and the path within the model of one of those that are read now. */
export type Progress = { readonly done: number; readonly total: number; readonly file: string }

export type ModelOptions = {
  readonly signal: AbortSignal
  readonly progress: (progress: Progress) => void
  readonly links: Links
}
export type HashOptions = ModelOptions & { readonly engine: Engine }

/** The digest of the file or folder at `path`, every byte of it read. Throws {@link CannotHash}, and the signal's reason. */
export async function hashModel(path: string, options: HashOptions): Promise<HashedModel> {
  const hasher = new Hasher({ engine: options.engine })
  try {
    return await hashModelWith(hasher, "full", path, options)
  } finally {
    await hasher.close()
  }
}

/** The same by a hasher that may know files. */
export async function hashModelWith(
  hasher: Hasher,
  depth: Depth,
  path: string,
  options: ModelOptions,
): Promise<HashedModel> {
  const root = await rootOf(path)
  if (depth === "quick") await hasher.recall(root)
  const files = await filesOf(path, options.links)
  const paths = files.map(each => each.path)
  const found = await hasher.files(paths, depth, options.signal, named(files, options))
  await assertStill(hasher, path, { files, found }, options)
  await remember(hasher, root, found)
  return described(hasher, root, files, found)
}

/** Progress told by the name that a file has in the model. */
export function named(files: readonly ModelFile[], { progress }: ModelOptions): HashProgress {
  const names = new Map(files.map(({ path, name }) => [path, name]))
  return (done, total, path) => progress({ done, total, file: shown(names.get(path) ?? path) })
}

/** The same files under the same names in the same states: what was read one after another belongs together. */
export async function assertStill(
  hasher: Hasher,
  path: string,
  { files, found }: { readonly files: readonly ModelFile[]; readonly found: readonly { readonly state: string }[] },
  { links, signal }: ModelOptions,
): Promise<void> {
  const after = await filesOf(path, links)
  if (!sameNames(files, after)) throw unsettled(asBinary(path))
  const paths = files.map(each => each.path)
  for (const [i, { state }] of (await hasher.look(paths, signal)).entries())
    if (state !== found[i]?.state) throw unsettled(paths[i] ?? asBinary(path))
}

const sameNames = (before: readonly ModelFile[], after: readonly ModelFile[]): boolean =>
  before.length === after.length && before.every((file, i) => identity(file) === identity(after[i] ?? file))

const identity = ({ name, path, link }: ModelFile): string => [name, path, link].join("\0")

/** Digests that took a read and will be good tomorrow go to disk. */
async function remember(hasher: Hasher, root: Binary, found: readonly Found[]): Promise<void> {
  const lasting = found.filter(({ settled, by }) => settled && by === "wasm")
  if (hasher.cache === "none" || lasting.length === 0 || !found.some(({ how }) => how === "read")) return
  await hasher.cache.save(root, lasting)
}

async function described(
  hasher: Hasher,
  root: Binary,
  files: readonly ModelFile[],
  found: readonly Found[],
): Promise<HashedModel> {
  const hashed = files.flatMap((file, i): HashedFile[] => {
    const each = found[i]
    return each ? [{ ...file, sha256: each.sha256, verity: each.verity, size: each.size, state: each.state }] : []
  })
  const manifest = manifestOf(hashed)
  const how = { read: 0, again: 0, kernel: 0, known: 0 }
  for (const each of found) how[each.how] += 1
  const verity = found.some(({ by }) => by === "node:crypto") ? "node:crypto" : "wasm"
  const again = how.again > 0 ? (await hasher.plan()).again.by : "none"
  return {
    root,
    digest: digestOf(manifest),
    manifest,
    files: hashed,
    bytes: hashed.reduce((sum, { size }) => sum + size, 0),
    engines: { sha256: "node:crypto", verity, again },
    how,
    broken: hashed.filter(({ promised, sha256 }) => promised !== "" && promised !== sha256),
  }
}
