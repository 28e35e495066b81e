/**
 * Who hashes files, and which need not be read again? A hasher: some threads, and what it knows of files that nobody has
 * written to since. A file that is new to it gets both digests from one read; whether a known one is still the same, one
 * digest tells, and an alarm is raised only when the other implementation has confirmed it. What a model is: `tree.ts`.
 */
import type { DigestCache } from "./cache.ts"
import { differences } from "../../wasm/records.ts"
import { type Alarm, type Pair, readAgain } from "./again.ts"
import { type Engine, measuring, type Plan, planFor } from "./engine.ts"
import type { EngineName, Hashed, Manner, Reading, Reads } from "./job.ts"
import { type Depth, type FileDigests, Known } from "./known.ts"
import { MeasuredModels } from "./measured.ts"
import { modestWorkers, Pool } from "./pool.ts"
import { unsettled } from "./refusal.ts"
import { asBinary, type Binary } from "./binary.ts"
import { hashAll, hashLanes, lookAt, type Round, type Target } from "./round.ts"

export type { Depth, FileDigests } from "./known.ts"
/** Called with the bytes of the present file that are hashed so far. */
export type FileProgress = (bytes: number) => void

export type HasherSettings = {
  readonly workers: number
  readonly engine: Engine
  readonly reads: Reads
  readonly priority: Manner["priority"]
  /** bytes per second of all threads together; Infinity for no limit */
  readonly bytesPerSecond: number
  /** V8's wider instructions for the core, where revectorize.ts allowed it */
  readonly revectorized: boolean
  /** where digests are kept on disk, or that they are not */
  readonly cache: DigestCache | "none"
  /** told of a file whose contents changed although its state did not */
  readonly alarm: (alarm: Alarm) => void
  /** told of each tenth of a long read: which, of how many bytes, and a file that is read then */
  readonly tenth: (tenth: { readonly tenths: number; readonly total: number; readonly path: Binary }) => void
}

export const hasherDefaults: HasherSettings = Object.freeze({
  workers: modestWorkers(),
  engine: "auto",
  reads: "buffered",
  priority: "usual",
  bytesPerSecond: Infinity,
  revectorized: false,
  cache: "none",
  alarm: () => undefined,
  tenth: () => undefined,
})

/**
 * How a file's digests were found: read, by both implementations; again, as known, by one of them; kernel, as known, by the
 * kernel; known, without a look at its bytes.
 */
export type How = "read" | "again" | "kernel" | "known"
export type Found = FileDigests & {
  readonly how: How
  /** which implementation made the fs-verity digest when the file was new; SHA-256 is node:crypto's */
  readonly by: EngineName
  readonly settled: boolean
}

/** SHA-256 of a file, and who made it; known, if nobody did now. */
export type FlatFound = Pick<FileDigests, "sha256" | "size" | "state"> & { readonly by: EngineName | "known" }

/** Bytes read so far of all that must be read, and the path of one of the files that are read now. */
export type HashProgress = (done: number, total: number, path: Binary) => void

/** The most files that are remembered by SHA-256 alone. */
const mostFlats = 4096

/** Reads of fewer bytes are over before anybody asks how far they are. */
const long = 1 << 30

/** Hashes files. {@link close} it. */
export class Hasher {
  readonly #settings: HasherSettings
  readonly #pool: Pool
  readonly #known = new Known()
  readonly #flats = new Map<string, FlatFound>()
  /** the models that were measured last */
  readonly models = new MeasuredModels()
  #plan: Promise<Plan> | undefined
  readonly #baseline: Reading
  /** whether what is on disk may stand for a look at the bytes */
  #diskCounts = true

  constructor(settings: Partial<HasherSettings> = {}) {
    this.#settings = { ...hasherDefaults, ...settings }
    const { workers, engine, priority, bytesPerSecond, revectorized } = this.#settings
    const core = engine === "native" ? "spare" : "needed"
    this.#pool = new Pool(workers, { priority, bytesPerSecond, revectorized, core })
    this.#baseline = { kind: "both", verity: revectorized ? "each" : "wasm" }
  }

  get cache(): DigestCache | "none" {
    return this.#settings.cache
  }

  /** Both digests of one file. Throws {@link CannotHash}, and the signal's reason when it is aborted. */
  async file(
    file: { readonly path: Uint8Array },
    depth: Depth,
    signal: AbortSignal,
    progress: FileProgress,
  ): Promise<FileDigests> {
    const [found] = await this.files([asBinary(file.path)], depth, signal, progress)
    if (!found) throw new Error("a file was given and none came back")
    return found
  }

  /** Both digests of each file, in their order; a file that is there under several names is read once. */
  async files(
    paths: readonly Binary[],
    depth: Depth,
    signal: AbortSignal,
    progress: HashProgress,
  ): Promise<readonly Found[]> {
    signal.throwIfAborted()
    const targets = await lookAt(this.#pool, paths, signal)
    const found = new Map<string, Found>()
    const missing = new Map<string, Target>()
    for (const target of targets) {
      const known = this.#known.get(target.state, depth)
      if (known === "unknown") missing.set(target.state, target)
      else found.set(target.state, { ...known, how: "known", by: "wasm", settled: true })
    }
    if (missing.size > 0) await this.#read([...missing.values()], found, signal, progress)
    return targets.map(({ state }) => {
      const each = found.get(state)
      if (!each) throw new Error("a file was read and has no digest")
      return each
    })
  }

  /** SHA-256 alone of each file, in their order, by the fastest way to that. */
  async flat(
    paths: readonly Binary[],
    depth: Depth,
    signal: AbortSignal,
    progress: HashProgress,
  ): Promise<readonly FlatFound[]> {
    const targets = await lookAt(this.#pool, paths, signal)
    const missing = targets.filter(({ state }) => this.#flatOf(state, depth) === "unknown")
    const found = new Map<Target, FlatFound>()
    if (missing.length > 0) {
      const round = this.#round(missing, signal, progress)
      const hashed = await this.#flat(round, missing)
      for (const [i, { sha256, size, state, by, settled }] of hashed.entries()) {
        const target = missing[i]
        if (target) found.set(target, { sha256, size, state, by })
        const sure = settled && state === target?.state
        if (sure && this.#flats.size < mostFlats) this.#flats.set(state, { sha256, size, state, by })
      }
    }
    return targets.flatMap(target => {
      const known = this.#flatOf(target.state, depth)
      return found.get(target) ?? (known === "unknown" ? [] : { ...known, by: "known" })
    })
  }

  /** What is known of a file in this state, by both digests or by one. */
  #flatOf(state: string, depth: Depth): Pick<FileDigests, "sha256" | "size" | "state"> | "unknown" {
    const known = this.#known.get(state, depth)
    return known === "unknown" && depth === "quick" ? (this.#flats.get(state) ?? "unknown") : known
  }

  async #flat(round: Round, targets: readonly Target[]): Promise<Hashed[]> {
    const { flat } = await this.plan()
    const alone = this.#settings.engine === "wasm" ? "wasm" : "node:crypto"
    if (flat === "lanes") return hashLanes(round, targets, alone)
    return hashAll(round, targets, { kind: "flat", by: flat })
  }

  /** SHA-256 alone of one file by this implementation: to confirm what the other found. */
  async confirm(path: Binary, by: EngineName, signal: AbortSignal): Promise<string> {
    const targets = await lookAt(this.#pool, [path], signal)
    const round = this.#round(targets, signal, () => undefined)
    const [found] = await hashAll(round, targets, { kind: "flat", by })
    return found?.sha256 ?? ""
  }

  /** The state of each file, without a look at its bytes. */
  async look(paths: readonly Binary[], signal: AbortSignal): Promise<readonly Target[]> {
    return lookAt(this.#pool, paths, signal)
  }

  /** Which implementation hashes known files; measured at the first call. */
  plan(): Promise<Plan> {
    this.#plan ??= this.#measure()
    return this.#plan
  }

  /** Takes what is on disk of the model at this path for known. */
  async recall(root: Binary): Promise<void> {
    if (this.cache === "none" || !this.#diskCounts) return
    for (const each of await this.cache.load(root)) this.#known.trust(each)
  }

  /** Doubts every file, and whatever is on disk: the next measurement reads them all. */
  forget(): void {
    this.#diskCounts = false
    this.#flats.clear()
    this.#known.doubt()
  }

  /** Forgets a file in this state: its contents are not what they were, although nobody wrote to it. */
  drop(state: string): void {
    this.#known.drop(state)
  }

  close(): Promise<void> {
    return this.#pool.close()
  }

  async #measure(): Promise<Plan> {
    const never = new AbortController().signal
    const [rates] = await this.#pool.run({ kind: "rates", milliseconds: measuring }, never, () => undefined)
    if (rates?.kind !== "rates") throw new Error("a hashing thread did not measure")
    return planFor(this.#settings.engine, rates)
  }

  #round(targets: readonly Target[], signal: AbortSignal, progress: HashProgress): Round {
    const total = targets.reduce((sum, { size }) => sum + size, 0)
    let done = 0
    const heard: Round["heard"] = (bytes, { path }) => {
      const before = Math.floor((done * 10) / total)
      done = Math.min(done + bytes, total)
      const tenths = Math.floor((done * 10) / total)
      if (tenths > before && tenths < 10 && total >= long) this.#settings.tenth({ tenths, total, path })
      progress(done, total, path)
    }
    return { pool: this.#pool, reads: this.#settings.reads, signal, heard }
  }

  /** Those whose two digests belong together for certain need but one; the others are new. By the states that they had. */
  async #read(
    targets: readonly Target[],
    found: Map<string, Found>,
    signal: AbortSignal,
    progress: HashProgress,
  ): Promise<void> {
    const round = this.#round(targets, signal, progress)
    const pairs: Pair[] = []
    const anew: Target[] = []
    for (const target of targets) {
      const known = this.#known.pair(target.state)
      if (known === "unknown") anew.push(target)
      else pairs.push({ ...target, known })
    }
    if (anew.length > 0) await this.#readAnew(round, anew, found)
    if (pairs.length > 0) await this.#readAgain(round, pairs, found)
  }

  async #readAnew(round: Round, targets: readonly Target[], found: Map<string, Found>): Promise<void> {
    const hashed = await hashAll(round, targets, this.#baseline)
    for (const [i, { kind: _, records, ...each }] of hashed.entries()) {
      const { path, state } = targets[i] ?? { path: "", state: "" }
      if (each.state !== state) throw unsettled(path)
      if (each.settled && each.by === "wasm") this.#known.learn(each)
      if (this.cache !== "none" && records !== "none") await this.cache.saveRecords(each, records)
      found.set(state, { ...each, how: "read" })
    }
  }

  async #readAgain(round: Round, pairs: readonly Pair[], found: Map<string, Found>): Promise<void> {
    for (const { pair, how, hashed, alarm } of await readAgain(round, pairs, await this.plan(), this.#baseline)) {
      if (alarm !== "none") await this.#raise(alarm, hashed)
      const digests = hashed === "none" ? pair.known : hashed
      this.#known.learn(digests)
      const { sha256, verity, size, state } = digests
      found.set(pair.state, { sha256, verity, size, state, how, by: "wasm", settled: true })
    }
  }

  /** Says where, if the earlier records are kept; from now on the file is what was found. */
  async #raise(alarm: Alarm, hashed: Hashed | "none"): Promise<void> {
    const earlier = this.cache === "none" ? "none" : await this.cache.records(alarm.known)
    const now = hashed === "none" ? "none" : hashed.records
    const located = earlier !== "none" && now !== "none" && earlier.length === now.length
    this.#settings.alarm({ ...alarm, where: located ? differences(alarm.known.size, earlier, now) : [] })
    if (hashed !== "none" && now !== "none" && this.cache !== "none") await this.cache.saveRecords(hashed, now)
  }
}
