/**
 * What does a running agent do for its weights between challenges? It measures again at once what somebody wrote to, and reads
 * everything once more in the background. Both only say that something is to be measured: what it is, the measurement finds.
 */
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import type { Configuration } from "../config.ts"
import { type Say, told } from "../trouble.ts"
import { alarmText } from "./again.ts"
import { shown } from "./binary.ts"
import { DigestCache } from "./cache.ts"
import { Hasher, hasherDefaults } from "./hasher.ts"
import { Recheck, type RecheckStatus } from "./recheck.ts"
import { allowWiderInstructions } from "./revectorize.ts"
import { type WatchSettings, watchDefaults, WeightsWatch } from "./watch.ts"

type Settings = Pick<Configuration, "state" | "hash">

/** Where an agent keeps digests and the place of its walk. */
const folderIn = (state: string): string => join(state, "digests")

/** The hasher of an agent. Throws CannotHash where wider instructions are asked for and not safe. */
export function agentHasher({ state, hash }: Settings, say: Say): Hasher {
  if (hash.revectorize) allowWiderInstructions()
  return new Hasher({
    engine: hash.engine,
    workers: hash.workers === "auto" ? hasherDefaults.workers : hash.workers,
    revectorized: hash.revectorize,
    cache: new DigestCache(folderIn(state), message => say(message, "")),
    alarm: alarm => say(alarmText(alarm).message, alarmText(alarm).hint),
    tenth: ({ tenths, total, path }) =>
      say(`hashing weights: ${tenths}0 % of ${Math.ceil(total / 2 ** 20)} MiB, now ${shown(path)}`, ""),
  })
}

export type GuardParts = {
  readonly hasher: Hasher
  readonly configuration: Settings
  /** measures what is not as it was */
  readonly measure: () => Promise<unknown>
  /** milliseconds since 1970 */
  readonly now: () => number
  readonly say: Say
}

/** Guards the weights until {@link close}. */
export class WeightsGuard {
  readonly #parts: GuardParts
  readonly #end = new AbortController()
  readonly #watch: WeightsWatch
  readonly #recheck: Recheck | "off"
  readonly #walking: Promise<void>
  #measuring: "no" | "now" | "now and again" = "no"

  constructor(parts: GuardParts, watching: WatchSettings = watchDefaults) {
    this.#parts = parts
    const { hasher, configuration, now, say } = parts
    const { state, hash } = configuration
    const changed = (names: readonly string[]): void => {
      say(`${names.join(", ")}: changed, and is measured anew`, "")
      this.#measure()
    }
    this.#watch = new WeightsWatch(hasher, changed, watching)
    const rate = hash.rate === 0 ? ("as needed" as const) : hash.rate * 2 ** 20
    const settings = { period: hash.recheck * 1000, rate, reads: hash.reads, path: join(folderIn(state), "walk.json") }
    const once = (name: string): void => changed([name])
    const damaged = (): void => this.#measure()
    this.#recheck = hash.recheck === 0 ? "off" : new Recheck({ hasher, settings, now, say, damaged, changed: once })
    this.#walking = this.#walk(folderIn(state))
  }

  /** How far the background reading is. */
  get status(): RecheckStatus | { readonly state: "off" } {
    return this.#recheck === "off" ? { state: "off" } : this.#recheck.status
  }

  async close(): Promise<void> {
    this.#end.abort(new Error("the agent ends"))
    await Promise.all([this.#watch.close(), this.#walking])
  }

  async #walk(folder: string): Promise<void> {
    if (this.#recheck === "off") return
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 })
      await this.#recheck.run(this.#end.signal)
    } catch (error) {
      this.#parts.say(`the weights are not read in the background: ${told(error).message}`, told(error).hint)
    }
  }

  /** One measurement at a time; what happens meanwhile calls for one more. */
  #measure(): void {
    const idle = this.#measuring === "no"
    this.#measuring = idle ? "now" : "now and again"
    if (idle) void this.#measureUntilDone()
  }

  async #measureUntilDone(): Promise<void> {
    const { measure, say } = this.#parts
    do {
      this.#measuring = "now"
      try {
        await measure()
      } catch (error) {
        if (!this.#end.signal.aborted) say(`cannot measure: ${told(error).message}`, told(error).hint)
      }
    } while (this.#calledAgain() && !this.#end.signal.aborted)
    this.#measuring = "no"
  }

  #calledAgain(): boolean {
    return this.#measuring === "now and again"
  }
}
