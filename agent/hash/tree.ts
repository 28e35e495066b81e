/**
 * Which files is a model? A file is itself; a folder is every file below it. Links to files count as what they lead to and
 * are told; whatever cannot be hashed for certain is a refusal, never left out.
 */
import { constants } from "node:fs"
import { access, readdir, readlink, realpath, stat } from "node:fs/promises"
import { basename } from "node:path"
import { escaped } from "../escape.ts"
import { byName } from "./manifest.ts"

/** `absent`: there is nothing at the path; `unreadable`: it cannot be hashed as it is; `changed`: it did not hold still. */
export type Obstacle = "absent" | "unreadable" | "changed"

/** The model cannot be hashed, and the hint says what would help. */
export class CannotHash extends Error {
  readonly obstacle: Obstacle
  readonly hint: string
  constructor(obstacle: Obstacle, message: string, hint: string) {
    super(message)
    this.name = "CannotHash"
    this.obstacle = obstacle
    this.hint = hint
  }
}

/** A file of a model: its path in the manifest, where it is, and what the link says if it is one. */
export type ModelFile = { readonly name: Uint8Array; readonly path: Uint8Array; readonly link: Uint8Array | "none" }

/** The most files of a model, and the most folders within one another. */
export const treeLimits = { files: 20_000, depth: 64 } as const

const slash = Buffer.from("/")

/** The files at `path`, in the order of the manifest. Throws {@link CannotHash}. */
export async function filesOf(path: string): Promise<readonly ModelFile[]> {
  const root = Buffer.from(await realpath(path).catch(error => refuse(Buffer.from(path), error)))
  const status = await stat(root).catch(error => refuse(root, error))
  if (status.isFile()) return [{ name: Buffer.from(basename(path)), path: root, link: "none" }]
  if (!status.isDirectory()) throw oddity(root)
  const files: ModelFile[] = []
  await gather(root, Buffer.alloc(0), 0, files)
  if (files.length === 0)
    throw new CannotHash("unreadable", `${shown(root)} holds no file`, "name the folder with the weights")
  return files.toSorted(byName)
}

async function gather(folder: Buffer, within: Buffer, depth: number, files: ModelFile[]): Promise<void> {
  if (depth > treeLimits.depth)
    throw new CannotHash(
      "unreadable",
      `${shown(folder)} lies more than ${treeLimits.depth} folders deep`,
      "name a folder of weights",
    )
  for (const entry of await entriesOf(folder)) {
    const path = Buffer.concat([folder, slash, entry.name])
    const name = Buffer.concat([within, entry.name])
    if (entry.kind === "folder") await gather(path, Buffer.concat([name, slash]), depth + 1, files)
    else if (entry.kind === "file") files.push({ name, path, link: "none" })
    else if (entry.kind === "link") files.push({ name, path, link: await followed(path) })
    else throw oddity(path)
    if (files.length > treeLimits.files)
      throw new CannotHash("unreadable", `more than ${treeLimits.files} files`, "name the folder of one model")
  }
}

type Entry = { readonly name: Buffer; readonly kind: "file" | "folder" | "link" | "other" }

/** Names as bytes: a path need not be UTF-8. */
async function entriesOf(folder: Buffer): Promise<Entry[]> {
  const entries = await readdir(folder, { encoding: "buffer", withFileTypes: true }).catch(error =>
    refuse(folder, error),
  )
  return entries.map(entry => {
    const kind = entry.isFile() ? "file" : entry.isDirectory() ? "folder" : entry.isSymbolicLink() ? "link" : "other"
    return { name: entry.name, kind }
  })
}

/** What the link at `path` says, once it is certain that it leads to a file. */
async function followed(path: Buffer): Promise<Uint8Array> {
  const says = await readlink(path, { encoding: "buffer" }).catch(error => refuse(path, error))
  const status = await stat(path).catch(() => undefined)
  if (!status) {
    await access(path, constants.F_OK).catch(error => {
      const code = error instanceof Error && "code" in error ? error.code : ""
      if (code === "ENOENT")
        throw new CannotHash("unreadable", `${shown(path)} is a link to nothing`, "restore or remove it")
      refuse(path, error)
    })
  }
  if (status?.isDirectory())
    throw new CannotHash("unreadable", `${shown(path)} is a link to a folder`, "put the folder itself in its place")
  if (!status?.isFile()) throw oddity(path)
  return says
}

const shown = (path: Uint8Array): string => escaped(path, 512)

const oddity = (path: Uint8Array): CannotHash =>
  new CannotHash("unreadable", `${shown(path)} is neither a file nor a folder`, "remove it, or name another path")

/** Throws the refusal that an error of the file system is, and any other error as it is. */
export function refuse(path: Uint8Array, error: unknown): never {
  const code = error instanceof Error && "code" in error ? String(error.code) : undefined
  throw code === undefined ? error : refusal(path, code)
}

/** The refusal for a code such as EACCES. */
export function refusal(path: Uint8Array, code: string): CannotHash {
  if (code === "ENOENT" || code === "ENOTDIR")
    return new CannotHash("absent", `${shown(path)} is not there`, "look at the path")
  const hint =
    code === "EACCES" || code === "EPERM" ? "let the agent's user read it" : "look at the disk and its file system"
  return new CannotHash("unreadable", `${shown(path)} cannot be read (${code})`, hint)
}
