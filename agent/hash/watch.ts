/**
 * Has anybody written to the weights? The folders of all their files are watched (inotify(7)); what happens there, and now and
 * then the clock, has the states of the files compared with those that were measured: a file system need not tell of every
 * write, but its change time does. What then happens is the listener's.
 */
import { type FSWatcher, watch } from "node:fs"
import { posix } from "node:path"
import { fromBinary, type Binary } from "./binary.ts"
import type { Hasher } from "./hasher.ts"
import { isStill } from "./measured.ts"
import { codeOf } from "./refusal.ts"

/** Milliseconds. */
export type WatchSettings = {
  /** nothing must happen for so long before a change counts as complete… */
  readonly quiet: number
  /** …but nothing waits longer than this */
  readonly patience: number
  /** between looks that nothing called for; longer where a look takes long */
  readonly every: number
}

/** A file's digest is kept once its times are two seconds old: sooner a change would be read twice. */
export const watchDefaults: WatchSettings = Object.freeze({ quiet: 2500, patience: 30_000, every: 60_000 })

/** The most folders that are watched; those of further ones are looked at by the clock. */
const mostFolders = 4096
/** A look may take this part of the time. */
const effort = 1 / 200

/** Watches the models that `hasher` has measured, from now until the end. {@link close} it. */
export class WeightsWatch {
  readonly #hasher: Hasher
  readonly #changed: (names: readonly string[]) => void
  readonly #settings: WatchSettings
  readonly #watchers = new Map<Binary, FSWatcher>()
  readonly #end = new AbortController()
  readonly #unlisten: () => void
  #timer: NodeJS.Timeout | undefined
  #clock: NodeJS.Timeout | undefined
  #since: number | undefined
  #looking: Promise<void> = Promise.resolve()

  constructor(hasher: Hasher, changed: (names: readonly string[]) => void, settings: WatchSettings) {
    this.#hasher = hasher
    this.#changed = changed
    this.#settings = settings
    this.#unlisten = hasher.models.listen(() => this.#renew())
    this.#renew()
    this.#tick(settings.every)
  }

  async close(): Promise<void> {
    this.#unlisten()
    this.#end.abort(new Error("the watch ends"))
    clearTimeout(this.#timer)
    clearTimeout(this.#clock)
    for (const each of this.#watchers.values()) each.close()
    this.#watchers.clear()
    await this.#looking
  }

  /** One watcher for each folder that holds a file of a model, and for the place of the model itself. */
  #renew(): void {
    const folders = new Set<Binary>()
    for (const { model } of this.#hasher.models.all().values()) {
      folders.add(posix.dirname(model.root)).add(model.root)
      for (const { path } of model.files) if (folders.size < mostFolders) folders.add(posix.dirname(path))
    }
    for (const [folder, watcher] of this.#watchers) {
      if (folders.has(folder)) continue
      watcher.close()
      this.#watchers.delete(folder)
    }
    for (const folder of folders) if (!this.#watchers.has(folder)) this.#watch(folder)
  }

  /** A folder that cannot be watched is looked at by the clock like all others. */
  #watch(folder: Binary): void {
    try {
      const watcher = watch(fromBinary(folder), { persistent: false }, () => this.#stir())
      watcher.on("error", () => {
        watcher.close()
        this.#watchers.delete(folder)
      })
      this.#watchers.set(folder, watcher)
    } catch (error) {
      if (codeOf(error) === undefined) throw error
    }
  }

  /** Something happened: looks when it is quiet again. */
  #stir(): void {
    const now = performance.now()
    this.#since ??= now
    const wait = Math.min(this.#settings.quiet, Math.max(this.#since + this.#settings.patience - now, 0))
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#since = undefined
      this.#look()
    }, wait).unref()
  }

  #tick(wait: number): void {
    this.#clock = setTimeout(() => {
      const begun = performance.now()
      this.#look()
      void this.#looking.then(() => {
        const took = performance.now() - begun
        if (!this.#end.signal.aborted) this.#tick(Math.max(this.#settings.every, took / effort))
      })
    }, wait).unref()
  }

  #look(): void {
    this.#looking = this.#looking.then(async () => {
      const changed: string[] = []
      for (const [name, measured] of this.#hasher.models.all()) {
        if (this.#end.signal.aborted) return
        const still = await isStill(this.#hasher, measured, this.#end.signal).catch(() => true)
        if (!still) changed.push(name)
      }
      if (changed.length > 0 && !this.#end.signal.aborted) this.#changed(changed)
    })
  }
}

/** Calls `changed` with the names of models whose files are not as they were measured. */
export const watchWeights = (
  hasher: Hasher,
  changed: (names: readonly string[]) => void,
  settings: WatchSettings = watchDefaults,
): WeightsWatch => new WeightsWatch(hasher, changed, settings)
