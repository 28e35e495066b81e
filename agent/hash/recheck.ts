/**
 * Are all weights still what was measured, although nobody wrote to them? Within a day (or as configured) every byte is read
 * once more, in random order, by a thread that takes what nobody else wants. A difference is seen by one implementation and
 * confirmed by the other, and told with its place. Writes are another matter: watch.ts.
 */
import { randomInt } from "node:crypto"
import { setTimeout as delay } from "node:timers/promises"
import { differences, digestOfRecords, type Stretch } from "../../wasm/records.ts"
import { alarmText } from "./again.ts"
import { shown } from "./binary.ts"
import { otherThan } from "./engine.ts"
import type { Hasher } from "./hasher.ts"
import type { Answer, EngineName, Reads } from "./job.ts"
import { recordsBetween } from "./pieces.ts"
import { Pool } from "./pool.ts"
import { fingerprintOf, type Kept, type Portion, portionsOf, readWalk, shuffled, writeWalk } from "./walk.ts"

export type RecheckSettings = {
  /** in which all weights are read once, in milliseconds */
  readonly period: number
  /** bytes per second; "as needed" for four times what the period asks for */
  readonly rate: number | "as needed"
  readonly reads: Reads | "alternate"
  /** the file in which a walk is kept */
  readonly path: string
}

/** Bytes of the present walk, and when it began and should end, in milliseconds since 1970. */
export type RecheckStatus =
  | { readonly state: "nothing to read" }
  | {
      readonly state: "under way" | "done"
      readonly reads: Reads
      readonly done: number
      readonly total: number
      readonly begun: number
      readonly until: number
    }

export type RecheckParts = {
  readonly hasher: Hasher
  readonly settings: RecheckSettings
  /** milliseconds since 1970 */
  readonly now: () => number
  readonly say: (message: string, hint: string) => void
  /** a file whose state is as it was and whose contents are not, or are not to be had: what was known of it is forgotten */
  readonly damaged: (name: string) => void
  /** a file that somebody wrote to, or that is gone */
  readonly changed: (name: string) => void
}

/** The least that a walk reads in a second while it reads, so that small models are soon done. */
const leastRate = 8 << 20
/** Between two looks whether there is anything to read yet. */
const patience = 10_000

/** Between two times that the place is kept. */
const keeping = 10_000

/** Walks again and again; `run` ends with its signal. */
export class Recheck {
  readonly #parts: RecheckParts
  readonly #unlisten: () => void
  /** files that were found damaged, by their states; until they are measured anew */
  readonly #damaged = new Set<string>()
  #status: RecheckStatus = { state: "nothing to read" }
  /** whether the models are other ones than when the walk began */
  #stale = false
  #keptAt = 0

  constructor(parts: RecheckParts) {
    this.#parts = parts
    this.#unlisten = parts.hasher.models.listen(() => {
      this.#stale = true
    })
  }

  get status(): RecheckStatus {
    return this.#status
  }

  /** Throws only what no file can bring about. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) {
        this.#stale = false
        this.#damaged.clear()
        const portions = portionsOf(this.#parts.hasher.models.all())
        if (portions.length > 0) await this.#walk(portions, signal)
        else await this.#idle(signal)
      }
    } finally {
      this.#unlisten()
    }
  }

  #idle(signal: AbortSignal): Promise<void> {
    this.#status = { state: "nothing to read" }
    return this.#pause(patience, signal)
  }

  /** One walk, from where it was left; it ends early when the models are other ones. */
  async #walk(portions: readonly Portion[], signal: AbortSignal): Promise<void> {
    const total = portions.reduce((sum, each) => sum + lengthOf(each), 0)
    const walk = await this.#begin(portions)
    if (walk.done >= portions.length) return this.#rest(walk, total, signal)
    const order = shuffled(portions.length, walk.seed)
    const pool = this.#pool(total)
    let read = 0
    try {
      for (const [at, index] of order.entries()) {
        const portion = portions[index]
        if (portion && at >= walk.done) await this.#step(pool, portion, { walk, at, read, total }, signal)
        if (signal.aborted || this.#stale)
          return await writeWalk(this.#parts.settings.path, { ...walk, done: Math.max(at, walk.done) })
        read += portion ? lengthOf(portion) : 0
      }
      await writeWalk(this.#parts.settings.path, { ...walk, done: order.length })
    } finally {
      await pool.close()
    }
    return this.#rest(walk, total, signal)
  }

  /** Until the next walk is due. */
  #rest(walk: Kept, total: number, signal: AbortSignal): Promise<void> {
    this.#tell("done", walk, total, total)
    return this.#pause(walk.begun + this.#parts.settings.period - this.#parts.now(), signal)
  }

  /** When its time has come, a portion is read, and its place kept. */
  async #step(
    pool: Pool,
    portion: Portion,
    { walk, at, read, total }: { walk: Kept; at: number; read: number; total: number },
    signal: AbortSignal,
  ): Promise<void> {
    const { settings, now } = this.#parts
    this.#tell("under way", walk, read, total)
    if (now() - this.#keptAt >= keeping || at === walk.done) {
      await writeWalk(settings.path, { ...walk, done: at })
      this.#keptAt = now()
    }
    const early = walk.begun + (settings.period * read) / total - now()
    if (early > 250) await this.#pause(early, signal)
    if (!signal.aborted && !this.#stale) await this.#check({ pool, reads: walk.reads, signal }, portion)
  }

  async #begin(portions: readonly Portion[]): Promise<Kept> {
    const { settings, now } = this.#parts
    const before = await readWalk(settings.path)
    const fingerprint = fingerprintOf(portions)
    const same = before !== "none" && before.portions === fingerprint && before.begun <= now()
    if (same && (before.done < portions.length || now() < before.begun + settings.period)) return before
    const last = before === "none" ? "direct" : before.reads
    const reads = settings.reads === "alternate" ? (last === "direct" ? "buffered" : "direct") : settings.reads
    return { format: "assay-walk-v1", portions: fingerprint, seed: randomInt(2 ** 32), done: 0, begun: now(), reads }
  }

  #pool(total: number): Pool {
    const { period, rate } = this.#parts.settings
    const needed = Math.max((4 * total * 1000) / period, leastRate)
    const bytesPerSecond = rate === "as needed" ? needed : rate
    return new Pool(1, { priority: "idle", bytesPerSecond, core: "needed", revectorized: false })
  }

  #tell(state: "under way" | "done", { reads, begun }: Kept, done: number, total: number): void {
    this.#status = { state, reads, done, total, begun, until: begun + this.#parts.settings.period }
  }

  /** Wakes up now and then: clocks are set, machines sleep, and models change. */
  async #pause(milliseconds: number, signal: AbortSignal): Promise<void> {
    const until = this.#parts.now() + milliseconds
    for (let left = milliseconds; left > 0 && !signal.aborted && !this.#stale; left = until - this.#parts.now())
      await delay(Math.min(left, patience), undefined, { signal, ref: false }).catch(() => undefined)
  }

  async #check(reading: Look, portion: Portion): Promise<void> {
    const { file, name, start } = portion
    if (this.#damaged.has(file.state)) return
    const { hasher, changed } = this.#parts
    const recorded = hasher.cache === "none" ? "none" : await hasher.cache.records(file)
    // without its records a large file is read as a whole, in place of its first portion
    const whole = recorded === "none" && isPart(portion)
    if (whole && start > 0) return
    const meant = whole ? { ...portion, start: 0, end: file.size } : portion
    const { pieces } = await hasher.plan()
    const found = await look(reading, meant, pieces)
    if (found === "stopped") return
    if (found === "gone") changed(name)
    else if (found === "refused") await this.#refused(portion)
    else if (!judge(meant, recorded, found).same) await this.#confirm(reading, meant, recorded, pieces)
    else if (whole && hasher.cache !== "none") await hasher.cache.saveRecords(file, found)
  }

  /** The other implementation reads once more. */
  async #confirm(reading: Look, portion: Portion, recorded: Uint8Array | "none", by: EngineName): Promise<void> {
    const { changed, say } = this.#parts
    const { file, name } = portion
    const other = otherThan(by)
    const found = await look(reading, portion, other)
    if (found === "stopped") return
    if (found === "gone") return changed(name)
    if (found === "refused") return this.#refused(portion)
    const { same, places } = judge(portion, recorded, found)
    const known = { sha256: file.sha256, verity: file.verity, size: file.size, state: file.state }
    const text = alarmText({ path: file.path, known, by, confirmed: same ? "not" : other, where: places })
    say(`${name}: ${text.message}`, text.hint)
    return same ? undefined : this.#damage(portion)
  }

  /** A part cannot be read: the measurement finds out why. */
  #refused(portion: Portion): Promise<void> {
    const { file, name } = portion
    this.#parts.say(
      `${name}: ${shown(file.path)} cannot be read (EIO)`,
      "look at the disk and at the kernel's messages",
    )
    return this.#damage(portion)
  }

  async #damage({ file, name, root }: Portion): Promise<void> {
    const { hasher, damaged } = this.#parts
    this.#damaged.add(file.state)
    hasher.drop(file.state)
    if (hasher.cache !== "none") await hasher.cache.discard(root)
    damaged(name)
  }
}

/** With what is read. */
type Look = { readonly pool: Pool; readonly reads: Reads; readonly signal: AbortSignal }

const lengthOf = ({ start, end }: Portion): number => end - start
const isPart = ({ file, start, end }: Portion): boolean => end - start < file.size

/** The records of a portion; gone if the file is not in its state any more, refused if the disk or the kernel says EIO. */
async function look(
  reading: Look,
  portion: Portion,
  by: EngineName,
): Promise<Uint8Array | "gone" | "refused" | "stopped"> {
  const { pool, reads, signal } = reading
  const { file, start, end } = portion
  const piece = { path: file.path, state: file.state, size: file.size, start, end }
  const ask = (how: Reads): Promise<readonly Answer[]> =>
    pool
      .run({ kind: "piece", piece, by, reads: how }, signal, () => undefined)
      .catch(error => {
        if (signal.aborted) return [{ kind: "stopped" }]
        throw error
      })
  const [answer] = await ask(reads)
  // not every file system reads past the page cache
  const direct = reads === "direct" && answer?.kind === "failed" && answer.code === "EINVAL"
  const [last] = direct ? await ask("buffered") : [answer]
  if (last?.kind === "records") return last.records
  if (last?.kind === "failed" && last.code === "EIO") return "refused"
  return last?.kind === "stopped" ? "stopped" : "gone"
}

/** Whether a portion is as it was recorded, and the parts of it that are not, if that is known. */
function judge(
  portion: Portion,
  recorded: Uint8Array | "none",
  found: Uint8Array,
): { readonly same: boolean; readonly places: readonly Stretch[] } {
  const { file, start, end } = portion
  const before = recorded === "none" ? "none" : recordsBetween(recorded, { start, end })
  const differing = before === "none" ? [] : differences(end - start, before, found)
  const places = differing.map(each => ({ start: each.start + start, end: each.end + start }))
  if (isPart(portion)) return { same: places.length === 0, places }
  return { same: Buffer.from(digestOfRecords(file.size, found)).toString("hex") === file.verity, places }
}
