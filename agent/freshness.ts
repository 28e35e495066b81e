/**
 * When is the machine measured though nobody asks? When a file that a fact came from is written to or exchanged, when a glance at
 * proc and sysfs shows another machine than before, and at a slow beat. Weights have a guard of their own: hash/guard.ts.
 */
import { type FSWatcher, watch } from "node:fs"
import { posix } from "node:path"
import { codeOf } from "./hash/refusal.ts"
import { glance } from "./glance.ts"
import type { Host } from "./host.ts"
import { placesIn } from "./places.ts"
import type { Recorded } from "./record.ts"
import { type Say, told } from "./trouble.ts"

/** Milliseconds. */
export type FreshnessSettings = {
  /** between glances; longer where a glance takes long */
  readonly glance: number
  /** between measurements that nothing called for */
  readonly beat: number
  /** nothing must happen to watched files for so long before a change counts as complete */
  readonly quiet: number
}

export type FreshnessParts = {
  readonly host: Host
  /** measures what is not as it was; resolves with how many events were new */
  readonly measure: () => Promise<number>
  /** what stands in the log */
  readonly recorded: () => Recorded
  readonly say: Say
}

/** A glance may take this part of the time. */
const effort = 1 / 100
/** The most folders that are watched. */
const mostFolders = 1024

/** Keeps the log fresh until {@link close}. */
export class Freshness {
  readonly #parts: FreshnessParts
  readonly #settings: FreshnessSettings
  readonly #end = new AbortController()
  readonly #watchers = new Map<string, FSWatcher>()
  readonly #timers = new Set<NodeJS.Timeout>()
  #files: ReadonlySet<string> = new Set()
  #quiet: NodeJS.Timeout | undefined
  #seen = "nothing"
  #last: Promise<void> = Promise.resolve()

  constructor(parts: FreshnessParts, settings: FreshnessSettings) {
    this.#parts = { ...parts, host: parts.host.behind(() => this.#end.signal.throwIfAborted()) }
    this.#settings = settings
    this.#last = this.#renew().catch(error => this.#failed(error))
    this.#glanceLater(0)
    this.#beatLater()
  }

  async close(): Promise<void> {
    this.#end.abort()
    for (const timer of [...this.#timers, this.#quiet]) clearTimeout(timer)
    for (const watcher of this.#watchers.values()) watcher.close()
    this.#watchers.clear()
    await this.#last
  }

  #later(wait: number, work: () => Promise<void>): void {
    if (this.#end.signal.aborted) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      this.#last = this.#last.then(work).catch(error => this.#failed(error))
    }, wait).unref()
    this.#timers.add(timer)
  }

  #glanceLater(wait: number): void {
    this.#later(wait, async () => {
      const begun = performance.now()
      try {
        await this.#glance()
      } finally {
        this.#glanceLater(Math.max(this.#settings.glance, (performance.now() - begun) / effort))
      }
    })
  }

  async #glance(): Promise<void> {
    const now = await glance(this.#parts.host)
    const before = this.#seen
    this.#seen = now
    if (before !== "nothing" && before !== now) await this.#measure("what runs here, or what is plugged in, changed")
  }

  #beatLater(): void {
    this.#later(this.#settings.beat, async () => {
      await this.#measure("the time has come")
      this.#beatLater()
    })
  }

  async #measure(why: string): Promise<void> {
    const { measure, say } = this.#parts
    if (this.#end.signal.aborted) return
    try {
      const appended = await measure()
      if (appended > 0) say(`measured anew: ${why}; ${appended} new in the log`, "")
      await this.#renew()
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    const { message, hint } = told(error)
    if (!this.#end.signal.aborted) this.#parts.say(`cannot measure: ${message}`, hint)
  }

  /** One watcher for each folder that holds a file of which a fact tells. */
  async #renew(): Promise<void> {
    const files = new Set<string>()
    for (const path of placesIn(this.#parts.recorded())) {
      const local = await this.#parts.host.local(path)
      if (local.state === "present") files.add(local.value)
    }
    this.#files = files
    const folders = new Set([...files].map(path => posix.dirname(path)).slice(0, mostFolders))
    for (const [folder, watcher] of this.#watchers) if (!folders.has(folder)) this.#forget(folder, watcher)
    for (const folder of folders) if (!this.#watchers.has(folder)) this.#watch(folder)
  }

  #forget(folder: string, watcher: FSWatcher): void {
    watcher.close()
    this.#watchers.delete(folder)
  }

  /** A folder that cannot be watched is left to the slow beat. */
  #watch(folder: string): void {
    if (this.#end.signal.aborted) return
    try {
      const watcher = watch(folder, { persistent: false }, (_, name) => {
        if (name === null || this.#files.has(posix.join(folder, name))) this.#stir()
      })
      watcher.on("error", () => this.#forget(folder, watcher))
      this.#watchers.set(folder, watcher)
    } catch (error) {
      if (codeOf(error) === undefined) throw error
    }
  }

  #stir(): void {
    clearTimeout(this.#quiet)
    if (this.#end.signal.aborted) return
    this.#quiet = setTimeout(() => {
      this.#last = this.#last.then(() => this.#measure("a file that was measured changed"))
    }, this.#settings.quiet).unref()
  }
}
