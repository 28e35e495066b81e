/**
 * Where do the logs of spooled evidence lie? Logs of one epoch begin alike, so each is kept once in a file that only grows,
 * and evidence names how much of it is its own. A file whose end a crash tore is cut back to its last whole line.
 */
import { createHash } from "node:crypto"
import { mkdir, open, readdir, readFile, rm, truncate } from "node:fs/promises"
import { join } from "node:path"
import { Malformed } from "../attestation/wire/codec.ts"
import { sameBytes } from "../attestation/wire/text.ts"
import { syncFolder } from "./spool-file.ts"

const endOfLine = 0x0a

/** The logs in one folder, by name: the SHA-256 of the first line, or of the whole where that is taken. */
export class SpooledLogs {
  readonly #path: string
  /** name → bytes in the file */
  readonly #sizes = new Map<string, number>()

  private constructor(path: string) {
    this.#path = path
  }

  static async open(path: string): Promise<SpooledLogs> {
    await mkdir(path, { recursive: true, mode: 0o700 })
    const logs = new SpooledLogs(path)
    for (const name of await readdir(path)) logs.#sizes.set(name, await cutBack(join(path, name)))
    return logs
  }

  /** Keeps `log`, and gives the name of the file that begins with it. */
  async keep(log: Uint8Array): Promise<string> {
    const usual = digestOf(log.subarray(0, log.indexOf(endOfLine) + 1))
    if (await this.#grows(usual, log)) return usual
    const own = digestOf(log)
    if (await this.#grows(own, log)) return own
    throw new Malformed(`${join(this.#path, own)} is not the log that it is named after`)
  }

  /** The first `length` bytes of a log. Throws Malformed when they are not those with this digest. */
  async read(name: string, length: number, digest: string): Promise<Uint8Array> {
    const log = (await readFile(join(this.#path, name))).subarray(0, length)
    if (digestOf(log) !== digest) throw new Malformed(`the log ${name.slice(0, 16)} is not as it was written`)
    return new Uint8Array(log)
  }

  /** Bytes of these logs together, each counted once. */
  sizeOf(names: readonly string[]): number {
    return [...new Set(names)].reduce((sum, name) => sum + (this.#sizes.get(name) ?? 0), 0)
  }

  /** Removes every other log. */
  async keepOnly(names: readonly string[]): Promise<void> {
    const kept = new Set(names)
    for (const name of [...this.#sizes.keys()].filter(each => !kept.has(each))) {
      await rm(join(this.#path, name), { force: true })
      this.#sizes.delete(name)
    }
  }

  /** Makes the file hold `log`, if one of the two begins with the other. */
  async #grows(name: string, log: Uint8Array): Promise<boolean> {
    const path = join(this.#path, name)
    const old = this.#sizes.has(name) ? await readFile(path) : new Uint8Array(0)
    const shared = Math.min(old.length, log.length)
    if (!sameBytes(old.subarray(0, shared), log.subarray(0, shared))) return false
    if (log.length > old.length) await append(path, log.subarray(old.length))
    await syncFolder(this.#path)
    this.#sizes.set(name, Math.max(old.length, log.length))
    return true
  }
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

async function cutBack(path: string): Promise<number> {
  const bytes = await readFile(path)
  const whole = bytes.lastIndexOf(endOfLine) + 1
  if (whole < bytes.length) await truncate(path, whole)
  return whole
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
