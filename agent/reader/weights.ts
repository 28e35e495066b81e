/**
 * Which files belong to the models of the configuration? Those below a model's place, every link followed, or in the store or
 * repository that it lies in. The configuration is the reader's own: a caller names no model.
 */
import { readlink } from "node:fs/promises"
import type { FileHandle } from "node:fs/promises"
import type { Weights } from "../config.ts"
import { ollamaPlace } from "../hash/ollama.ts"
import { CannotHash, homesOf, rootOf } from "../hash/tree.ts"

/** Whether the file that was opened is one of a configured model, by where the kernel says that it lies. */
export async function isOfModels(weights: readonly Weights[], file: FileHandle): Promise<boolean> {
  const lies = await readlink(`/proc/self/fd/${file.fd}`, { encoding: "latin1" })
  for (const { path } of weights)
    if ((await placesOf(path)).some(each => lies === each || inside(lies, each))) return true
  return false
}

const inside = (path: string, folder: string): boolean => folder.endsWith("/") && path.startsWith(folder)

/** A model's file, or the folders, with a slash at their end, that may hold it. */
async function placesOf(path: string): Promise<readonly string[]> {
  try {
    const root = await rootOf(path)
    const place = await ollamaPlace(root)
    return [root, ...(place === "no store" ? homesOf(root) : [`${place.store}/blobs/`])]
  } catch (error) {
    if (!(error instanceof CannotHash)) throw error
    return []
  }
}
