/** Which models does this machine have, as they were measured last? Kept by the weights source; watched and read again from here. */
import { type Hasher } from "./hasher.ts"
import type { HashedModel } from "./model.ts"
import { CannotHash } from "./refusal.ts"
import { filesOf, type Links } from "./tree.ts"

/** A model where it lies on this machine, and what was found there. */
export type MeasuredModel = { readonly path: string; readonly links: Links; readonly model: HashedModel }

/** By the name of the configuration. Whoever listens is told when one is measured anew. */
export class MeasuredModels {
  readonly #models = new Map<string, MeasuredModel>()
  readonly #listeners = new Set<() => void>()

  keep(name: string, measured: MeasuredModel): void {
    const same = this.#models.get(name)?.model.digest === measured.model.digest
    this.#models.set(name, measured)
    if (!same || measured.model.how.known < measured.model.files.length) for (const tell of this.#listeners) tell()
  }

  all(): ReadonlyMap<string, MeasuredModel> {
    return this.#models
  }

  /** Gives the function that ends the listening. */
  listen(tell: () => void): () => void {
    this.#listeners.add(tell)
    return () => this.#listeners.delete(tell)
  }
}

/** Whether a model has the same files in the same states as when it was measured; no byte of them is read. */
export async function isStill(
  hasher: Hasher,
  { path, links, model }: MeasuredModel,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const files = await filesOf(path, links)
    if (files.length !== model.files.length) return false
    if (files.some(({ name }, i) => name !== model.files[i]?.name)) return false
    const paths = files.map(each => each.path)
    const looks = await hasher.look(paths, signal)
    return looks.every(({ state }, i) => state === model.files[i]?.state)
  } catch (error) {
    if (error instanceof CannotHash) return false
    throw error
  }
}
