// What is the fs-verity digest of a file, computed while its bytes pass by? Equal to what `fsverity digest` prints and
// what the kernel measures for a file with verity. Where a file differs from an earlier one is for records.ts.

import { type Core, openCore } from "./core.ts"
import { DIGEST_BYTES, DIGESTS, WINDOW, WINDOW_BYTES } from "./memory.ts"
import { BLOCK_BYTES, descriptorDigest, level, root } from "./tree.ts"

/** 4 MiB of a file have 32 KiB of block digests, which fill the core's area for them: 8 blocks, so 256 bytes of record. */
const RECORD_DIGESTS = 32_768

/** What is known of a file after one pass. */
export interface VerityDigest {
  /** 32 bytes: what `fsverity digest` prints after `sha256:`. */
  readonly digest: Uint8Array
  /** The file's length in bytes. */
  readonly size: number
  /**
   * One 32-byte hash for each begun 512 KiB of the file, so 256 bytes for each 4 MiB: the hashes of the blocks of the
   * tree's lowest level. A file of at most 4096 bytes has no such level, and its one hash is that of its block; an empty
   * file has none. `digest` follows from these (records.ts).
   */
  readonly records: Uint8Array
}

/** A file under way. It holds its core's window: two files that are read at the same time need two cores. */
export class Verity {
  readonly #core: Core
  readonly #records: Uint8Array[] = []
  #size = 0
  /** Bytes in the window that are not hashed yet, always fewer than it holds. */
  #filled = 0
  /** Bytes of block digests that are not in a record yet. */
  #digested = 0

  constructor(core: Core) {
    this.#core = core
    core.hold(this)
  }

  /** Where the file's next bytes may be put: at most 1 MiB of the core's memory, never empty, moved on by commit(). */
  get window(): Uint8Array<ArrayBuffer> {
    this.#core.assertHeldBy(this)
    return this.#core.window.subarray(this.#filled)
  }

  /** Takes the first `count` bytes of the window as the file's next. @throws when it never held that many. */
  commit(count: number): this {
    this.#core.assertHeldBy(this)
    if (!Number.isInteger(count) || count < 0 || count > WINDOW_BYTES - this.#filled) {
      throw new RangeError(`${count} bytes cannot have been put into a window of ${WINDOW_BYTES - this.#filled}`)
    }
    this.#size += count
    this.#filled += count
    if (this.#filled === WINDOW_BYTES) this.#hashWindow()
    return this
  }

  /** Appends bytes of any number by copying them through the window. */
  update(bytes: Uint8Array): this {
    for (let from = 0; from < bytes.length; ) {
      const piece = bytes.subarray(from, from + this.window.length)
      this.window.set(piece)
      this.commit(piece.length)
      from += piece.length
    }
    return this
  }

  /** What the file was. Gives up the window, so it answers once. */
  digest(): VerityDigest {
    this.#core.assertHeldBy(this)
    this.#hashWindow()
    if (this.#size <= BLOCK_BYTES) this.#keep(this.#digests())
    else this.#closeRecord()
    const records = Buffer.concat(this.#records)
    const rootHash = root(records, this.#core)
    this.#core.hold(this.#core)
    return { digest: descriptorDigest(this.#size, rootHash, this.#core), size: this.#size, records }
  }

  /** The last block is filled up with zeroes; before the end of the file the window is full. */
  #hashWindow(): void {
    const blocks = Math.ceil(this.#filled / BLOCK_BYTES)
    this.#core.window.fill(0, this.#filled, blocks * BLOCK_BYTES)
    this.#core.leaves(WINDOW, blocks, DIGESTS + this.#digested)
    this.#digested += blocks * DIGEST_BYTES
    this.#filled = 0
    if (this.#digested === RECORD_DIGESTS) this.#closeRecord()
  }

  #digests(): Uint8Array {
    return this.#core.memory.slice(DIGESTS, DIGESTS + this.#digested)
  }

  /** The window is free here, so the level above passes through it. */
  #closeRecord(): void {
    const record = level(this.#digests(), this.#core)
    this.#core.hold(this)
    this.#keep(record)
  }

  #keep(record: Uint8Array): void {
    this.#records.push(record)
    this.#digested = 0
  }
}

/**
 * Begins a file: either update(bytes), or read into `window` and commit(count), any number of times; then digest().
 * For many files one after the other, pass the same core.
 */
export const createVerity = (core: Core = openCore()): Verity => new Verity(core)
