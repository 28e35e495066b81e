/**
 * Where do the logs of spooled evidence lie? Logs of one epoch begin alike, so each is kept once in a file that only grows,
 * and evidence names how much of it is its own. A file of ours whose end a crash tore is cut back to its last whole line.
 */
import { createHash } from "node:crypto"
import { mkdir, open, readdir, readFile, rm, truncate } from "node:fs/promises"
import { join } from "node:path"
import { Malformed } from "../attestation/wire/codec.ts"
import { sameBytes } from "../attestation/wire/text.ts"
import { type KeptLog, syncFolder } from "./spool-file.ts"

type LogName = KeptLog["name"]

const endOfLine = 0x0a

/** A file of the folder: its bytes, and their SHA-256 where this process wrote the last of them. */
type Known = { readonly size: number; readonly digest: string | undefined }

/** How much of a log of others tells it apart from most. */
const beginning = 4096

/** The logs in one folder, by file: each is called by what it begins with, or by the whole where that is taken. */
export class SpooledLogs {
  readonly #path: string
  readonly #files = new Map<string, Known>()

  private constructor(path: string) {
    this.#path = path
  }

  static async open(path: string): Promise<SpooledLogs> {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const logs = new SpooledLogs(path)
    for (const file of await readdir(path))
      logs.#files.set(file, { size: await wholeSize(join(path, file), file), digest: undefined })
    return logs
  }

  /** Keeps `log`, and tells the file that begins with it. */
  async keep(name: LogName, log: Uint8Array): Promise<{ file: string; length: number; digest: string }> {
    const digest = digestOf(log)
    const kind = name === "assay" ? "" : `${name}-`
    const first = name === "assay" ? log.subarray(0, log.indexOf(endOfLine) + 1) : log.subarray(0, beginning)
    for (const file of [`${kind}${digestOf(first)}`, `${kind}${digest}`])
      if (await this.#grows(file, log, digest)) return { file, length: log.length, digest }
    throw new Malformed(`${join(this.#path, `${kind}${digest}`)} is not the log that it is named after`)
  }

  /** The first `length` bytes of a log. Throws Malformed when they are not those with this digest. */
  async read(file: string, length: number, digest: string): Promise<Uint8Array> {
    const log = (await readFile(join(this.#path, file))).subarray(0, length)
    if (digestOf(log) !== digest) throw new Malformed(`the log ${file.slice(0, 16)} is not as it was written`)
    return new Uint8Array(log)
  }

  /** Bytes of these logs together, each counted once. */
  sizeOf(names: readonly string[]): number {
    return [...new Set(names)].reduce((sum, name) => sum + (this.#files.get(name)?.size ?? 0), 0)
  }

  /** Removes every other log. */
  async keepOnly(names: readonly string[]): Promise<void> {
    const kept = new Set(names)
    for (const name of [...this.#files.keys()].filter(each => !kept.has(each))) {
      await rm(join(this.#path, name), { force: true })
      this.#files.delete(name)
    }
  }

  /** Makes the file hold `log`, if one of the two begins with the other. */
  async #grows(file: string, log: Uint8Array, digest: string): Promise<boolean> {
    const known = this.#files.get(file)
    if (known?.digest === digest && known.size === log.length) return true
    const path = join(this.#path, file)
    const size = known?.size ?? 0
    if (known && !(await beginsAlike(path, known, log))) return false
    if (log.length > size) {
      await append(path, log.subarray(size))
      this.#files.set(file, { size: log.length, digest })
    }
    await syncFolder(this.#path)
    return true
  }
}

/** What this process wrote last is compared by its digest, and read only where that is not known or `log` is shorter. */
async function beginsAlike(path: string, { size, digest }: Known, log: Uint8Array): Promise<boolean> {
  if (log.length >= size && digest !== undefined && digestOf(log.subarray(0, size)) === digest) return true
  const old = await readFile(path)
  const shared = Math.min(old.length, log.length)
  return sameBytes(old.subarray(0, shared), log.subarray(0, shared))
}

async function append(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, "a", 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** The bytes of a file. Ours ends with a line: what a crash tore is cut off. Others are read by digest only. */
async function wholeSize(path: string, file: string): Promise<number> {
  const bytes = await readFile(path)
  if (file.includes("-")) return bytes.length
  const whole = bytes.lastIndexOf(endOfLine) + 1
  if (whole < bytes.length) await truncate(path, whole)
  return whole
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
