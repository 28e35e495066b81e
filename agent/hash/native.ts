/**
 * What is the fs-verity digest of a file, by node:crypto alone? The second implementation beside the WebAssembly core: it
 * confirms what that found, and is the faster one where the CPU has SHA instructions. Defined as in wasm/verity.ts.
 */
import { createHash, hash } from "node:crypto"
import { DIGEST_BYTES } from "../../wasm/memory.ts"
import { BLOCK_BYTES } from "../../wasm/tree.ts"
import type { VerityDigest } from "../../wasm/verity.ts"

/** Bytes from which a level of the tree is made: the digests in order, one level above another. */
type Level = { readonly bytes: Buffer; filled: number }

/** A file under way. Every piece but the last is a multiple of 4096 bytes. */
export class NativeVerity {
  readonly #levels: Level[] = []
  readonly #records: Buffer[] = []
  #size = 0

  /** Appends the file's next bytes. @throws after a piece that ended within a block. */
  update(bytes: Uint8Array): void {
    if (this.#size % BLOCK_BYTES !== 0) throw new RangeError("only the last piece of a file may end within a block")
    for (let at = 0; at < bytes.length; at += BLOCK_BYTES)
      this.#keep(0, blockDigest(bytes.subarray(at, at + BLOCK_BYTES)))
    this.#size += bytes.length
  }

  /** What the file was. Answers once. */
  digest(): VerityDigest {
    let top: Uint8Array = Buffer.alloc(DIGEST_BYTES)
    for (let height = 0; ; height++) {
      const level = this.#levels[height]
      if (!level) break
      top = level.bytes.subarray(0, level.filled)
      const last = height === this.#levels.length - 1
      if (last && level.filled === DIGEST_BYTES) break
      if (level.filled > 0) this.#close(height, level)
    }
    if (this.#size <= BLOCK_BYTES && this.#size > 0) this.#records.push(Buffer.from(top))
    return { digest: descriptorDigest(this.#size, top), size: this.#size, records: Buffer.concat(this.#records) }
  }

  #keep(height: number, digest: string): void {
    const level = (this.#levels[height] ??= { bytes: Buffer.alloc(BLOCK_BYTES), filled: 0 })
    level.bytes.write(digest, level.filled, "hex")
    level.filled += DIGEST_BYTES
    if (level.filled === BLOCK_BYTES) this.#close(height, level)
  }

  #close(height: number, level: Level): void {
    const digest = blockDigest(level.bytes.subarray(0, level.filled))
    level.filled = 0
    if (height === 0) this.#records.push(Buffer.from(digest, "hex"))
    this.#keep(height + 1, digest)
  }
}

/** SHA-256 in hex of a block, filled up with zeroes. */
function blockDigest(bytes: Uint8Array): string {
  if (bytes.length === BLOCK_BYTES) return hash("sha256", bytes)
  return createHash("sha256")
    .update(bytes)
    .update(Buffer.alloc(BLOCK_BYTES - bytes.length))
    .digest("hex")
}

/** Of struct fsverity_descriptor (Documentation/filesystems/fsverity.rst): version 1, SHA-256, blocks of 2^12, no salt. */
function descriptorDigest(size: number, root: Uint8Array): Uint8Array {
  const descriptor = Buffer.alloc(256)
  descriptor.set([1, 1, 12, 0])
  descriptor.writeBigUInt64LE(BigInt(size), 8)
  descriptor.set(root, 16)
  return createHash("sha256").update(descriptor).digest()
}

/** The record of one stretch (wasm/records.ts) of a file of `size` bytes. */
export function nativeRecord(size: number, stretch: Uint8Array): Uint8Array {
  const verity = new NativeVerity()
  verity.update(stretch)
  const { records } = verity.digest()
  if (size <= BLOCK_BYTES || stretch.length > BLOCK_BYTES) return records
  return Buffer.from(blockDigest(records), "hex")
}
