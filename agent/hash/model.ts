/**
 * What is this model's digest? Its files are listed, hashed, and listed again: what joined or left meanwhile is a refusal.
 * Used by the agent's weights source and by hand alike.
 */
import { type Depth, Hasher } from "./hasher.ts"
import { digestOf, manifestOf } from "./manifest.ts"
import { CannotHash, filesOf, type ModelFile } from "./tree.ts"
import { escaped } from "../escape.ts"
import { stat } from "node:fs/promises"

/** auto: what suits this machine and what is at stake; so far always both implementations. */
export type Engine = "auto"
export type EngineName = "node:crypto" | "wasm"

/** `verity` is what `fsverity digest` prints after `sha256:`; both digests in hex. `link` is what a symbolic link says. */
export type HashedFile = {
  readonly name: Uint8Array
  readonly sha256: string
  readonly verity: string
  readonly size: number
  readonly link: Uint8Array | "none"
}

/** `digest` is SHA-256 of `manifest` in hex; `manifest` the bytes that `sha256sum` prints. */
export type HashedModel = {
  readonly digest: string
  readonly manifest: Uint8Array
  readonly files: readonly HashedFile[]
  readonly bytes: number
  /** which implementation made which digest */
  readonly engines: { readonly sha256: EngineName; readonly verity: EngineName }
}

/** Bytes over all files, and the path within the model of the one that is read. */
export type Progress = { readonly done: number; readonly total: number; readonly file: string }

export type HashOptions = {
  readonly engine: Engine
  readonly signal: AbortSignal
  readonly progress: (progress: Progress) => void
}

/** The digest of the file or folder at `path`, every byte of it read. Throws {@link CannotHash}, and the signal's reason. */
export async function hashModel(path: string, options: HashOptions): Promise<HashedModel> {
  const hasher = new Hasher()
  try {
    return await hashModelWith(hasher, "full", path, options)
  } finally {
    await hasher.close()
  }
}

/** The same by a hasher that may remember files. */
export async function hashModelWith(
  hasher: Hasher,
  depth: Depth,
  path: string,
  options: HashOptions,
): Promise<HashedModel> {
  const files = await filesOf(path)
  const total = await sizeOf(files)
  const hashed: HashedFile[] = []
  let done = 0
  for (const file of files) {
    const tell = (bytes: number): void => options.progress({ done: done + bytes, total, file: escaped(file.name, 512) })
    tell(0)
    const digests = await hasher.file(file, depth, options.signal, tell)
    done += digests.size
    hashed.push({ name: file.name, link: file.link, ...digests })
    tell(0)
  }
  const after = await filesOf(path)
  if (!sameNames(files, after))
    throw new CannotHash(
      "changed",
      `${escaped(path, 512)} changed while it was read`,
      "wait until whatever writes it is done",
    )
  const manifest = manifestOf(hashed)
  return {
    digest: digestOf(manifest),
    manifest,
    files: hashed,
    bytes: done,
    engines: { sha256: "node:crypto", verity: "wasm" },
  }
}

/** For progress only: a file that cannot be asked is found out when it is read. */
async function sizeOf(files: readonly ModelFile[]): Promise<number> {
  let total = 0
  for (const { path } of files)
    total += await stat(Buffer.from(path)).then(
      status => status.size,
      () => 0,
    )
  return total
}

const sameNames = (before: readonly ModelFile[], after: readonly ModelFile[]): boolean =>
  before.length === after.length && before.every((file, i) => identity(file) === identity(after[i] ?? file))

const identity = ({ name, link }: ModelFile): string =>
  `${Buffer.from(name).toString("hex")} ${link === "none" ? link : Buffer.from(link).toString("hex")}`
