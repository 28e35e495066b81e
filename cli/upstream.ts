/**
 * Which place did a store download this model from, and which revision does each tag of it lead to now? Hugging Face's cache keeps tags under `refs`,
 * Ollama's store as names of manifests. What a tag that moved means: `attestation/pins/layers/upstream.ts`.
 */
import { readdir } from "node:fs/promises"
import { fromBinary } from "../agent/hash/binary.ts"
import type { HashedModel } from "../agent/hash/model.ts"
import { ollamaPlace } from "../agent/hash/ollama.ts"
import type { Tagged } from "../attestation/pins/layers/upstream.ts"
import { readBounded } from "./bundle.ts"

/** Undefined where the model lies in no such store. What cannot be read of tags is left out: they decide nothing. */
export async function upstreamIn({ root, files }: HashedModel): Promise<Tagged | undefined> {
  const path = fromBinary(root).toString("utf8")
  const [, repository, name, revision] = /^(.*\/models--([^/]+))\/snapshots\/([0-9a-f]{40})(?:\/|$)/su.exec(path) ?? []
  if (repository !== undefined && name !== undefined && revision !== undefined)
    return { place: `huggingface.co/${name.replace("--", "/")}`, revision, tags: await tagsIn(`${repository}/refs`) }
  const stored = await ollamaPlace(root)
  if (stored === "no store") return undefined
  const [, host, tag] = /^manifests\/(.*)\/([^/]+)$/su.exec(fromBinary(stored.manifest).toString("utf8")) ?? []
  const manifest = files.find(each => each.name === stored.manifest)
  if (host === undefined || tag === undefined || manifest === undefined) return undefined
  return { place: host, revision: manifest.sha256, tags: new Map([[tag, manifest.sha256]]) }
}

/** The most files and folders of a cache that are looked at for tags. */
const limit = 1000

/** A tag is a file that holds a commit; its name has slashes where it lies in folders (`refs/refs/pr/1` is refs/pr/1). */
async function tagsIn(refs: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const folders = [""]
  let seen = 0
  for (const within of folders)
    for (const entry of await readdir(`${refs}/${within}`, { withFileTypes: true }).catch(() => [])) {
      const tag = `${within}${entry.name}`
      if (++seen > limit) return found
      if (entry.isDirectory()) folders.push(`${tag}/`)
      const commit = entry.isFile() ? await commitIn(`${refs}/${tag}`) : undefined
      if (commit !== undefined) found.set(tag, commit)
    }
  return found
}

async function commitIn(path: string): Promise<string | undefined> {
  const bytes = await readBounded(path, 64).catch(() => new Uint8Array(0))
  return /^([0-9a-f]{40})\s*$/.exec(Buffer.from(bytes).toString("latin1"))?.[1]
}
