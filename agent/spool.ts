/**
 * What did this attester make that no collector has acknowledged? Each piece of evidence is on disk before it is sent, one
 * file each, replaced by nothing and altered by nothing; the logs that pieces have in common lie beside them once. What a
 * crash or a disk leaves damaged is set aside and told. How a file is laid out: `spool-file.ts`.
 */
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises"
import { join } from "node:path"
import { type BootLogName, bootLogNames } from "../attestation/protocol/evidence.ts"
import { EarlierPiece, type KeptLog, readPiece, type Spooled, syncFolder, writePiece } from "./spool-file.ts"
import { SpooledLogs } from "./spool-log.ts"
import { type Say, told } from "./trouble.ts"

/** A piece that lies in the spool. */
export type Entry = {
  readonly number: number
  readonly digest: string
  readonly audience: string
  readonly made: string
  /** the files that hold its logs */
  readonly logs: readonly string[]
  readonly size: number
}

/** `horizon`: milliseconds for which acknowledged evidence is kept, so that a collector out of a backup gets it again (M12). */
export type SpoolLimits = { readonly evidence: number; readonly bytes: number; readonly horizon: number }

/** Folders: what waits, what a collector has, what one refused, what cannot be read. */
const folders = ["waiting", "acknowledged", "refused", "damaged"] as const
type Folder = (typeof folders)[number]
const mostRefused = 100

/** Waiting and acknowledged evidence of one attester. */
export class Spool {
  readonly #path: string
  readonly #limits: SpoolLimits
  readonly #say: Say
  readonly #logs: SpooledLogs
  readonly #entries: Record<Exclude<Folder, "damaged">, Entry[]> = { waiting: [], acknowledged: [], refused: [] }
  #next = 1
  #last: Promise<unknown> = Promise.resolve()
  #added = Promise.withResolvers<void>()

  private constructor(path: string, limits: SpoolLimits, say: Say, logs: SpooledLogs) {
    this.#path = path
    this.#limits = limits
    this.#say = say
    this.#logs = logs
  }

  /** Opens the spool at `path`, and makes it when it is not there. */
  static async open(path: string, limits: SpoolLimits, say: Say): Promise<Spool> {
    for (const folder of folders) await mkdir(join(path, folder), { recursive: true, mode: 0o700 })
    const spool = new Spool(path, limits, say, await SpooledLogs.open(join(path, "logs")))
    for (const folder of ["waiting", "acknowledged", "refused"] as const) await spool.#scan(folder)
    await spool.#tidyLogs()
    return spool
  }

  /** What waits, oldest first. */
  get waiting(): readonly Entry[] {
    return this.#entries.waiting
  }
  get acknowledged(): readonly Entry[] {
    return this.#entries.acknowledged
  }
  /** What was acknowledged after the piece with this digest, in the order in which it was made; all that is kept if it is not here. */
  acknowledgedAfter(digest: string | null): readonly Entry[] {
    const inOrder = this.#entries.acknowledged.toSorted((a, b) => a.number - b.number)
    return inOrder.slice(inOrder.findIndex(each => each.digest === digest) + 1)
  }

  /** Resolves when the next piece is added. */
  get added(): Promise<void> {
    return this.#added.promise
  }

  /** Keeps `evidence`; when this resolves, it survives a power failure. */
  add(evidence: Spooled): Promise<Entry> {
    return this.#inTurn(() => this.#add(evidence))
  }

  /** The piece at `entry`, or "gone": it was dropped meanwhile, or could not be read and is set aside. */
  read(entry: Entry): Promise<Spooled | "gone"> {
    return this.#inTurn(() => this.#read(entry))
  }

  /** A collector has the evidence with this digest: moves it from what waits to what is kept. */
  acknowledge(digest: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#move(digest, "acknowledged")
      await this.#dropBeyondHorizon()
    })
  }

  /** A collector refused it: sending it again would not help. */
  refuse(digest: string, why: string): Promise<void> {
    return this.#inTurn(async () => {
      await this.#move(digest, "refused")
      this.#say(`evidence ${digest.slice(0, 16)} was refused: ${why}`, `it is kept in ${join(this.#path, "refused")}`)
      await this.#dropOldest("refused", entries => entries.length > mostRefused)
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #add(evidence: Spooled): Promise<Entry> {
    const logs = await this.#keepLogs(evidence)
    const number = this.#next++
    const path = this.#pathOf("waiting", { number, digest: evidence.digest })
    const size = await writePiece(path, evidence, logs)
    const { digest, audience, made } = evidence
    const entry = { number, digest, audience, made, logs: logs.map(each => each.file), size }
    this.#entries.waiting.push(entry)
    await this.#thin()
    this.#added.resolve()
    this.#added = Promise.withResolvers()
    return entry
  }

  async #read(entry: Entry): Promise<Spooled | "gone"> {
    const folder = (["waiting", "acknowledged"] as const).find(each => this.#entries[each].includes(entry))
    if (!folder) return "gone"
    try {
      const { logs, ...piece } = await readPiece(this.#pathOf(folder, entry))
      return { ...piece, ...(await this.#readLogs(logs)) }
    } catch (error) {
      await this.#setAside(folder, nameOf(entry), error)
      this.#entries[folder] = this.#entries[folder].filter(each => each !== entry)
      return "gone"
    }
  }

  /** Keeps the logs of `evidence`, each where others of its kind lie. */
  async #keepLogs({ log, bootLogs }: Spooled): Promise<KeptLog[]> {
    const kept: KeptLog[] = []
    for (const [name, bytes] of [["assay", log] as const, ...bootLogs])
      kept.push({ name, ...(await this.#logs.keep(name, bytes)) })
    return kept
  }

  async #readLogs(logs: readonly KeptLog[]): Promise<Pick<Spooled, "log" | "bootLogs">> {
    const read = new Map<KeptLog["name"], Uint8Array>()
    for (const { name, file, length, digest } of logs) read.set(name, await this.#logs.read(file, length, digest))
    const log = read.get("assay")
    if (!log) throw new Error("it names no log of ours")
    return { log, bootLogs: new Map(bootLogNames.flatMap(name => namedIn(read, name))) }
  }

  async #scan(folder: Exclude<Folder, "damaged">): Promise<void> {
    for (const name of (await readdir(join(this.#path, folder))).toSorted()) {
      const path = join(this.#path, folder, name)
      if (name.endsWith(".new")) {
        await rm(path)
        continue
      }
      try {
        const { logs, digest, audience, made } = await readPiece(path)
        const number = Number(name.slice(0, 12))
        if (name !== nameOf({ number, digest })) throw new Error("its name is not of its content")
        this.#entries[folder].push({
          number,
          digest,
          audience,
          made,
          logs: logs.map(each => each.file),
          size: (await stat(path)).size,
        })
        this.#next = Math.max(this.#next, number + 1)
      } catch (error) {
        await this.#setAside(folder, name, error)
      }
    }
  }

  async #setAside(folder: Folder, name: string, error: unknown): Promise<void> {
    const { message, hint } = told(error)
    await rename(join(this.#path, folder, name), join(this.#path, "damaged", name))
    this.#say(
      `${folder}/${name} in the spool cannot be read: ${message}`,
      `it is set aside in ${join(this.#path, "damaged")}; ${error instanceof EarlierPiece ? hint : "check the disk"}`,
    )
  }

  async #move(digest: string, to: "acknowledged" | "refused"): Promise<void> {
    const entry = this.#entries.waiting.find(each => each.digest === digest)
    if (!entry) return
    await rename(this.#pathOf("waiting", entry), this.#pathOf(to, entry))
    await syncFolder(join(this.#path, to))
    await syncFolder(join(this.#path, "waiting"))
    this.#entries.waiting = this.#entries.waiting.filter(each => each !== entry)
    this.#entries[to].push(entry)
  }

  /** Beyond its bounds every second piece of the older half goes: what is left still spans the whole time. */
  async #thin(): Promise<void> {
    while (this.#isFull()) {
      const { waiting } = this.#entries
      const old = waiting.slice(0, Math.ceil(waiting.length / 2)).filter((_, i) => i % 2 === 1 || waiting.length <= 3)
      for (const entry of old) await rm(this.#pathOf("waiting", entry), { force: true })
      this.#entries.waiting = waiting.filter(entry => !old.includes(entry))
      await this.#tidyLogs()
      const { evidence, bytes } = this.#limits
      this.#say(
        `the spool is full: ${old.length} older pieces of evidence were dropped, ${this.#entries.waiting.length} wait`,
        `connect the collector, or raise spool.evidence (${evidence}) or spool.mebibytes (${bytes / 2 ** 20})`,
      )
    }
  }

  #isFull(): boolean {
    const { waiting } = this.#entries
    const size = waiting.reduce(
      (sum, entry) => sum + entry.size,
      this.#logs.sizeOf(waiting.flatMap(({ logs }) => logs)),
    )
    return waiting.length > 1 && (waiting.length > this.#limits.evidence || size > this.#limits.bytes)
  }

  /** A time that nobody wrote down as now: the newest piece's own. */
  async #dropBeyondHorizon(): Promise<void> {
    const newest = Math.max(...this.#entries.acknowledged.map(({ made }) => Date.parse(made)))
    const isOld = ({ made }: Entry): boolean => Date.parse(made) < newest - this.#limits.horizon
    await this.#dropOldest("acknowledged", entries => entries.slice(0, 1).some(isOld))
  }

  async #dropOldest(folder: "acknowledged" | "refused", beyond: (entries: readonly Entry[]) => boolean): Promise<void> {
    const entries = this.#entries[folder]
    const tooMany = (): boolean =>
      beyond(entries) ||
      entries.reduce((sum, { size }) => sum + size, this.#logs.sizeOf(entries.flatMap(({ logs }) => logs))) >
        this.#limits.bytes
    while (entries.length > 1 && tooMany()) {
      const [oldest] = entries.splice(0, 1)
      if (oldest) await rm(this.#pathOf(folder, oldest), { force: true })
    }
    await this.#tidyLogs()
  }

  #tidyLogs(): Promise<void> {
    return this.#logs.keepOnly(Object.values(this.#entries).flatMap(entries => entries.flatMap(({ logs }) => logs)))
  }

  #pathOf(folder: Folder, entry: Pick<Entry, "number" | "digest">): string {
    return join(this.#path, folder, nameOf(entry))
  }
}

function namedIn(read: ReadonlyMap<string, Uint8Array>, name: BootLogName): [BootLogName, Uint8Array][] {
  const bytes = read.get(name)
  return bytes ? [[name, bytes]] : []
}

const nameOf = ({ number, digest }: Pick<Entry, "number" | "digest">): string =>
  `${String(number).padStart(12, "0")}-${digest}.evidence`
