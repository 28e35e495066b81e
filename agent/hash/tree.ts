/**
 * Which files is a model? A file is itself; a folder is every file below it. Links to files count as what they lead to, as
 * long as that belongs to the model, and are told; whatever cannot be hashed for certain is a refusal, never left out. What
 * Ollama keeps as a model is no folder: ollama.ts.
 */
import { readdir, readlink, realpath, stat } from "node:fs/promises"
import { posix } from "node:path"
import { asBinary, type Binary, fromBinary, shown } from "./binary.ts"
import { byName } from "./manifest.ts"
import { candidatesFor, ollamaFiles, ollamaPlace } from "./ollama.ts"
import { CannotHash, codeOf, oddity, refusal, refuse } from "./refusal.ts"

export { CannotHash } from "./refusal.ts"

/**
 * A file of a model: its path in the manifest, where its bytes are (every link followed), what the link says (empty if it is none),
 * and the SHA-256 in hex that a store promises by the name under which it keeps the bytes; empty if it promises nothing.
 */
export type ModelFile = {
  readonly name: Binary
  readonly path: Binary
  readonly link: Binary
  readonly promised: string
}

/** own: a link may lead to files of the same model, or of the same repository in a cache; anywhere: to any file. */
export type Links = "own" | "anywhere"

/** The most files of a model, and the most folders within one another. */
export const treeLimits = { files: 100_000, depth: 64 } as const

/** The files at `path`, in the order of the manifest. Throws {@link CannotHash}. */
export async function filesOf(path: string, links: Links): Promise<readonly ModelFile[]> {
  const root = await rootOf(path)
  const status = await stat(fromBinary(root)).catch(error => refuse(root, error))
  if (status.isFile()) return fileOf(path, root)
  if (!status.isDirectory()) throw oddity(root)
  const files: ModelFile[] = []
  await gather(root, "", 0, { files, homes: links === "own" ? homesOf(root) : "any" })
  if (files.length === 0)
    throw new CannotHash("unreadable", `${shown(root)} holds no file`, "name the folder with the weights")
  return files.toSorted(byName)
}

/** Where the model at `path` lies, every link followed. Throws {@link CannotHash}. */
export async function rootOf(path: string): Promise<Binary> {
  for (const each of candidatesFor(path)) {
    const found = await realpath(each, { encoding: "buffer" }).catch(error => {
      if (codeOf(error) === "ENOENT" || codeOf(error) === "ENOTDIR") return "absent" as const
      return refuse(asBinary(each), error)
    })
    if (found !== "absent") return asBinary(found)
  }
  throw refusal(asBinary(path), "ENOENT")
}

async function fileOf(path: string, root: Binary): Promise<readonly ModelFile[]> {
  const place = await ollamaPlace(root)
  if (place !== "no store") return ollamaFiles(place)
  return [{ name: asBinary(posix.basename(path)), path: root, link: "", promised: promiseOf(root) }]
}

/** What is gathered, and the folders (with a slash at the end) into which links may lead. */
type Gathering = { readonly files: ModelFile[]; readonly homes: readonly Binary[] | "any" }

/** A cache of Hugging Face keeps the files of all revisions in one folder of the repository, and links to them. */
export function homesOf(root: Binary): Binary[] {
  const [, repository] = /^(.*\/(?:models|datasets|spaces)--[^/]+)\/snapshots\//s.exec(root) ?? []
  return [`${root}/`, ...(repository === undefined ? [] : [`${repository}/blobs/`])]
}

/** The name of a blob is its SHA-256 where Hugging Face keeps large files (smaller ones have Git's name), and with Ollama. */
function promiseOf(path: Binary): string {
  const [, digest] = /\/blobs\/(?:sha256-)?([0-9a-f]{64})$/s.exec(path) ?? []
  return digest ?? ""
}

async function gather(folder: Binary, within: string, depth: number, into: Gathering): Promise<void> {
  const { files, homes } = into
  if (depth > treeLimits.depth) throw unreadable(`${shown(folder)} lies more than ${treeLimits.depth} folders deep`)
  for (const entry of await entriesOf(folder)) {
    const path = `${folder}/${entry.name}`
    const name = `${within}${entry.name}`
    if (entry.kind === "folder") await gather(path, `${name}/`, depth + 1, into)
    else if (entry.kind === "file") files.push({ name, path, link: "", promised: promiseOf(path) })
    else if (entry.kind === "link") files.push({ name, ...(await followed(path, homes)) })
    else throw oddity(path)
    if (files.length > treeLimits.files) throw unreadable(`more than ${treeLimits.files} files`)
  }
}

const unreadable = (message: string): CannotHash =>
  new CannotHash("unreadable", message, "name the folder of one model's weights")

type Entry = { readonly name: Binary; readonly kind: "file" | "folder" | "link" | "other" }

/** A name need not be UTF-8. */
async function entriesOf(folder: Binary): Promise<Entry[]> {
  const options = { encoding: "latin1", withFileTypes: true } as const
  const entries = await readdir(fromBinary(folder), options).catch(error => refuse(folder, error))
  return entries.map(entry => {
    const kind = entry.isFile() ? "file" : entry.isDirectory() ? "folder" : entry.isSymbolicLink() ? "link" : "other"
    return { name: entry.name, kind }
  })
}

/** Where the link at `path` leads, once it is certain that this is a file that the model may have. */
async function followed(path: Binary, homes: Gathering["homes"]): Promise<Omit<ModelFile, "name">> {
  const bytes = fromBinary(path)
  const link = await readlink(bytes, { encoding: "latin1" }).catch(error => refuse(path, error))
  const target = await realpath(bytes, { encoding: "latin1" }).catch(error => {
    if (codeOf(error) !== "ENOENT") return refuse(path, error)
    throw new CannotHash("unreadable", `${shown(path)} is a link to nothing`, "restore or remove it")
  })
  const status = await stat(fromBinary(target)).catch(error => refuse(path, error))
  if (status.isDirectory())
    throw new CannotHash("unreadable", `${shown(path)} is a link to a folder`, "put the folder itself in its place")
  if (!status.isFile()) throw oddity(path)
  if (homes !== "any" && !homes.some(home => target.startsWith(home))) throw stray(path, target)
  return { path: target, link, promised: promiseOf(target) }
}

const stray = (path: Binary, target: Binary): CannotHash =>
  new CannotHash(
    "unreadable",
    `${shown(path)} leads out of the model, to ${shown(target)}`,
    'put the file itself in its place, or allow it: links = "anywhere" in the configuration, --links anywhere by hand',
  )
