// What is the SHA-256 of some bytes (FIPS 180-4)? One message, in pieces or at once. Many messages side by side are
// faster by a half: lanes.ts. Where the CPU has SHA instructions node:crypto is four times as fast.

import { type Core, sharedCore } from "./core.ts"
import { CHAINS, DIGEST_BYTES, MESSAGE_BLOCK, STAGE, STAGE_BYTES } from "./memory.ts"

/** A chaining value that only Sha256 uses, so that its hashes may interleave with those that hold the window. */
const CHAIN = CHAINS + 512

/** A hash under way. Any number may share a core: what is kept between calls is kept here. */
export class Sha256 {
  readonly #core: Core
  readonly #chain: Uint8Array<ArrayBuffer>
  readonly #rest = new Uint8Array(MESSAGE_BLOCK)
  #length = 0
  #done = false

  constructor(core: Core) {
    this.#core = core
    core.start(CHAIN)
    this.#chain = core.digestAt(CHAIN)
  }

  /** Appends bytes. Those that lie in the core's own memory are hashed in place. @throws after digest(). */
  update(bytes: Uint8Array): this {
    if (this.#done) throw new Error("this digest is already taken: create another hash for other bytes")
    const core = this.#core
    core.memory.set(this.#chain, CHAIN)
    this.#absorb(bytes)
    this.#length += bytes.length
    this.#chain.set(core.memory.subarray(CHAIN, CHAIN + DIGEST_BYTES))
    return this
  }

  /** The 32-byte digest of everything so far. @throws when it was taken before. */
  digest(): Uint8Array<ArrayBuffer> {
    this.update(padding(this.#length))
    this.#done = true
    return this.#chain
  }

  #absorb(bytes: Uint8Array): void {
    const held = this.#length % MESSAGE_BLOCK
    const missing = held === 0 ? 0 : MESSAGE_BLOCK - held
    this.#rest.set(bytes.subarray(0, missing), held)
    if (bytes.length < missing) return
    if (missing > 0) this.#compress(this.#rest)
    const end = bytes.length - ((bytes.length - missing) % MESSAGE_BLOCK)
    this.#compress(bytes.subarray(missing, end))
    this.#rest.set(bytes.subarray(end))
  }

  /** Whole blocks, straight from the core's memory or through its stage. */
  #compress(blocks: Uint8Array): void {
    const { memory } = this.#core
    if (blocks.buffer === memory.buffer) {
      this.#core.stream(CHAIN, blocks.byteOffset, blocks.length / MESSAGE_BLOCK)
      return
    }
    for (let from = 0; from < blocks.length; from += STAGE_BYTES) {
      const piece = blocks.subarray(from, from + STAGE_BYTES)
      memory.set(piece, STAGE)
      this.#core.stream(CHAIN, STAGE, piece.length / MESSAGE_BLOCK)
    }
  }
}

/** The padding of a message of `length` bytes (§5.1.1): 9 to 72 bytes that fill its last block. */
export function padding(length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(MESSAGE_BLOCK + 8 - ((length + 8) % MESSAGE_BLOCK))
  bytes[0] = 0x80
  new DataView(bytes.buffer).setBigUint64(bytes.length - 8, BigInt(length) * 8n)
  return bytes
}

/** Begins a hash: update(bytes) any number of times, then digest() once. */
export const createSha256 = (core: Core = sharedCore()): Sha256 => new Sha256(core)

/** The 32-byte digest of one message. */
export const sha256 = (message: Uint8Array): Uint8Array<ArrayBuffer> => createSha256().update(message).digest()
