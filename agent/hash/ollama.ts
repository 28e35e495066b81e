/**
 * Which files is a model that Ollama keeps? A manifest in the store names blobs by their SHA-256; the model is the manifest
 * and all of these, by their paths within the store, so that coreutils in that folder print the same lines. Whether the blobs
 * are what their names promise comes out when they are hashed: Ollama itself does not look again.
 */
import { lstat, readFile, readlink, realpath, stat } from "node:fs/promises"
import { z } from "zod"
import { asBinary, type Binary, fromBinary, shown } from "./binary.ts"
import { byName } from "./manifest.ts"
import { CannotHash, codeOf, refuse } from "./refusal.ts"
import type { ModelFile } from "./tree.ts"

/** Where a model lies in a store: the store's folder, and the manifest's path within it. */
export type OllamaPlace = { readonly store: Binary; readonly manifest: Binary }

/** What Ollama puts before a name that has no host or no user of its own. */
const registry = ["registry.ollama.ai", "library"] as const
/** The most bytes of a manifest; the largest seen had 2 KB. */
const manifestLimit = 1 << 20

const blobName = z.string().regex(/^sha256:[0-9a-f]{64}$/, "not sha256: and 64 hexadecimal digits")
const blob = z.object({ digest: blobName, mediaType: z.string().max(256), size: z.int().min(0) })
const manifestSchema = z.object({ schemaVersion: z.literal(2), config: blob, layers: z.array(blob).max(1024) })
export type OllamaManifest = z.infer<typeof manifestSchema>

/**
 * The manifests that `ollama:<store>/<name>:<tag>` may mean, in the order in which they are looked for: the name may have a
 * user, or a host and a user, in front. Any other path means itself.
 */
export function candidatesFor(path: string): readonly string[] {
  if (!path.startsWith("ollama:")) return [path]
  const [, place = "", tag = "latest"] = /^(.*?)(?::([^/:]+))?$/s.exec(path.slice("ollama:".length)) ?? []
  const parts = place.split("/")
  return [1, 2, 3].flatMap(count => {
    const store = parts.slice(0, -count)
    if (store.length === 0) return []
    return [[...store, "manifests", ...registry.slice(0, 3 - count), ...parts.slice(-count), tag].join("/")]
  })
}

/** The place of a file that lies as a manifest lies in a store, if there are blobs beside the manifests. */
export async function ollamaPlace(file: Binary): Promise<OllamaPlace | "no store"> {
  const [, store, manifest] = /^(.+)\/(manifests\/[^/]+\/[^/]+\/[^/]+\/[^/]+)$/s.exec(file) ?? []
  if (store === undefined || manifest === undefined) return "no store"
  const there = await stat(fromBinary(`${store}/blobs`)).catch(() => undefined)
  return there?.isDirectory() ? { store, manifest } : "no store"
}

/** The manifest of a place, and its files in the order of our own manifest. Throws {@link CannotHash}. */
export async function ollamaFiles(place: OllamaPlace): Promise<readonly ModelFile[]> {
  const { store, manifest } = place
  const { config, layers } = await readManifest(place)
  const digests = new Set([config, ...layers].map(each => each.digest.slice("sha256:".length)))
  const blobs = [...digests].map(digest => blobFile(store, digest))
  const itself = { name: manifest, path: pathIn(place), link: "", promised: "" }
  return [itself, ...(await Promise.all(blobs))].toSorted(byName)
}

const pathIn = ({ store, manifest }: OllamaPlace): Binary => `${store}/${manifest}`

/** What the manifest of a place says. Throws {@link CannotHash}. */
export async function readManifest(place: OllamaPlace): Promise<OllamaManifest> {
  const path = pathIn(place)
  const status = await stat(fromBinary(path)).catch(error => refuse(path, error))
  const text =
    status.size > manifestLimit ? "" : await readFile(fromBinary(path), "utf8").catch(error => refuse(path, error))
  const read = manifestSchema.safeParse(parsed(text))
  if (read.success) return read.data
  throw new CannotHash("unreadable", `${shown(path)} is no manifest of a model`, "ollama pull fetches it again")
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** A blob may be a link, wherever to: its name says what it must hold. */
async function blobFile(store: Binary, digest: string): Promise<ModelFile> {
  const name = `blobs/sha256-${digest}`
  const path = `${store}/${name}`
  const real = await realpath(fromBinary(path), { encoding: "buffer" }).catch(error => {
    if (codeOf(error) !== "ENOENT") return refuse(path, error)
    throw new CannotHash("unreadable", `the model lacks ${shown(path)}`, "ollama pull fetches what is missing")
  })
  const status = await lstat(fromBinary(path)).catch(error => refuse(path, error))
  const link = status.isSymbolicLink() ? await readlink(fromBinary(path), { encoding: "latin1" }) : ""
  return { name, path: asBinary(real), link, promised: digest }
}
