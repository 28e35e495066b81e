/**
 * Which digests were found earlier, in another process too? One small text file for each model, named by the model's path,
 * and the records of each large file, named by its fs-verity digest, which proves them. Whatever is not as we write it counts
 * as nothing, with a message. Nothing here is asked when every byte is to be read: hasher.ts.
 */
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { chmod, mkdir, open, readdir, rename, rm, stat, unlink, writeFile } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { digestOfRecords, recordBytes, STRETCH_BYTES } from "../../wasm/records.ts"
import type { Binary } from "./binary.ts"
import type { FileDigests } from "./known.ts"
import { codeOf } from "./refusal.ts"

/** The first line. Another number means that the lines mean something else. */
const heading = "assay digests 1"
/** The most bytes of a file of digests: 100,000 lines are 25 MB. */
const limit = 64 << 20
/** Milliseconds after which what nobody asked for is removed: 180 days. */
const forgotten = 180 * 86_400_000
const ours = /^([0-9a-f]{32}\.digests|[0-9a-f]{64}\.records)(\.\d+)?$/
const line = /^([0-9:]{9,128}) ([0-9a-f]{64}) ([0-9a-f]{64})$/

/** Where a person's own digests are kept (XDG Base Directory Specification). */
export function ownCache(environment: Readonly<Record<string, string | undefined>>): string {
  const given = environment["XDG_CACHE_HOME"]
  return join(given?.startsWith("/") ? given : join(homedir(), ".cache"), "assay", "digests")
}

/** Digests on disk. */
export class DigestCache {
  readonly #folder: string
  readonly #say: (message: string) => void
  #tidied = false

  constructor(folder: string, say: (message: string) => void) {
    this.#folder = folder
    this.#say = say
  }

  /** What is known of the files of the model at `path`; nothing at all if anything is wrong with it. */
  async load(path: Binary): Promise<readonly FileDigests[]> {
    const place = this.#placeOf(path)
    const bytes = await this.#read(place, limit)
    if (bytes === "absent") return []
    const entries = parse(bytes)
    if (entries !== "damaged") return entries
    this.#say(`${place} is damaged and counts as empty: the model is read again`)
    return []
  }

  /** Keeps what is known of a model now, in place of what was known. What cannot be kept is said, and costs time only. */
  async save(path: Binary, entries: readonly FileDigests[]): Promise<void> {
    const lines = entries.map(({ state, sha256, verity }) => `${state} ${sha256} ${verity}\n`)
    const text = `${heading}\n${lines.join("")}`
    await this.#write(this.#placeOf(path), Buffer.from(`${text}${sealOf(text)}\n`))
    await this.#tidy()
  }

  /** Forgets a model. */
  async discard(path: Binary): Promise<void> {
    await rm(this.#placeOf(path), { force: true })
  }

  /** Keeps the records of a file that has more than one. */
  async saveRecords({ verity, size }: Pick<FileDigests, "verity" | "size">, records: Uint8Array): Promise<void> {
    if (size > STRETCH_BYTES) await this.#write(this.#recordsOf(verity), records)
  }

  /** The records of the file with this digest, proved by it. */
  async records({ verity, size }: Pick<FileDigests, "verity" | "size">): Promise<Uint8Array | "none"> {
    if (size <= STRETCH_BYTES) return "none"
    const place = this.#recordsOf(verity)
    const bytes = await this.#read(place, recordBytes(size))
    if (bytes === "absent") return "none"
    if (bytes.length === recordBytes(size) && hex(digestOfRecords(size, bytes)) === verity) return bytes
    this.#say(`${place} is damaged and counts as absent: it comes anew when the file is next read`)
    await rm(place, { force: true })
    return "none"
  }

  #placeOf(path: Binary): string {
    return join(this.#folder, `${createHash("sha256").update(path, "latin1").digest("hex").slice(0, 32)}.digests`)
  }

  #recordsOf(verity: string): string {
    return join(this.#folder, `${verity}.records`)
  }

  /** Only what is ours and nobody else's to write. */
  async #read(place: string, most: number): Promise<Uint8Array | "absent"> {
    const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK).catch(error => {
      if (codeOf(error) !== "ENOENT") this.#say(`${place} cannot be read (${codeOf(error)}) and counts as absent`)
      return "absent" as const
    })
    if (file === "absent") return "absent"
    try {
      const { uid, mode, size } = await file.stat()
      if (uid === process.geteuid?.() && (mode & 0o022) === 0 && size <= most) {
        const now = new Date()
        await file.utimes(now, now).catch(() => undefined) // a read-only disk: then its age counts from when it was made
        return new Uint8Array(await file.readFile())
      }
      this.#say(`${place} is not as this program keeps it (owner, mode or size) and counts as absent`)
      return "absent"
    } finally {
      await file.close()
    }
  }

  /** Once in a process: removes what nobody asked for in 180 days, of models that went, and what a killed process left. */
  async #tidy(): Promise<void> {
    if (this.#tidied) return
    this.#tidied = true
    for (const name of await readdir(this.#folder).catch(() => [])) {
      const place = join(this.#folder, name)
      const { mtimeMs } = ours.test(name)
        ? await stat(place).catch(() => ({ mtimeMs: Infinity }))
        : { mtimeMs: Infinity }
      if (mtimeMs < Date.now() - forgotten) await rm(place, { force: true }).catch(() => undefined)
    }
  }

  /** Whole or not at all. */
  async #write(place: string, bytes: Uint8Array): Promise<void> {
    const fresh = `${place}.${process.pid}`
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 })
      await chmod(this.#folder, 0o700)
      await writeFile(fresh, bytes, { mode: 0o600 })
      await rename(fresh, place)
    } catch (error) {
      if (codeOf(error) === undefined) throw error
      await unlink(fresh).catch(() => undefined)
      this.#say(`digests are not kept in ${this.#folder} (${codeOf(error)}): the next time every byte is read again`)
    }
  }
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const sealOf = (text: string): string => `sha256:${createHash("sha256").update(text).digest("hex")}`

function parse(bytes: Uint8Array): readonly FileDigests[] | "damaged" {
  const text = Buffer.from(bytes).toString("latin1")
  const end = text.lastIndexOf("\n", text.length - 2) + 1
  if (!text.startsWith(`${heading}\n`) || text.slice(end) !== `${sealOf(text.slice(0, end))}\n`) return "damaged"
  const entries: FileDigests[] = []
  for (const each of text
    .slice(heading.length + 1, end)
    .split("\n")
    .slice(0, -1)) {
    const [, state, sha256, verity] = line.exec(each) ?? []
    if (state === undefined || sha256 === undefined || verity === undefined) return "damaged"
    entries.push({ state, sha256, verity, size: Number(state.split(":")[2]) })
  }
  return entries
}
