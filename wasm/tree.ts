// What is the fs-verity digest of a file, given the digests of its blocks? The Merkle tree above them and the
// descriptor at its top, as the kernel's documentation defines them (Documentation/filesystems/fsverity.rst): version 1,
// SHA-256, 4096-byte blocks, no salt. The blocks of a file themselves are read in verity.ts.

import type { Core } from "./core.ts"
import { DIGEST_BYTES, DIGESTS, WINDOW, WINDOW_BYTES } from "./memory.ts"
import { createSha256 } from "./sha256.ts"

/** The unit of the tree, in bytes: of the file's data and of the levels of digests. */
export const BLOCK_BYTES = 4096
const DESCRIPTOR_BYTES = 256

/**
 * The digests (32 bytes each) of the 4096-byte blocks of `data`, the last one filled up with zeroes. Takes the core's
 * window.
 */
export function level(data: Uint8Array, core: Core): Uint8Array<ArrayBuffer> {
  core.hold(core)
  const digests = new Uint8Array(Math.ceil(data.length / BLOCK_BYTES) * DIGEST_BYTES)
  for (let from = 0; from < data.length; from += WINDOW_BYTES) {
    const piece = data.subarray(from, from + WINDOW_BYTES)
    const count = Math.ceil(piece.length / BLOCK_BYTES)
    core.window.set(piece)
    core.window.fill(0, piece.length, count * BLOCK_BYTES)
    core.leaves(WINDOW, count, DIGESTS)
    digests.set(core.memory.subarray(DIGESTS, DIGESTS + count * DIGEST_BYTES), (from / BLOCK_BYTES) * DIGEST_BYTES)
  }
  return digests
}

/** The root hash above a level of one or more digests. An empty file has none: 32 zeroes stand for it. */
export function root(digests: Uint8Array, core: Core): Uint8Array {
  let top = digests
  while (top.length > DIGEST_BYTES) top = level(top, core)
  return top.length === 0 ? new Uint8Array(DIGEST_BYTES) : top
}

/** The file's digest: of struct fsverity_descriptor, which ties the root hash to the file's size in bytes. */
export function descriptorDigest(size: number, rootHash: Uint8Array, core: Core): Uint8Array<ArrayBuffer> {
  const descriptor = new Uint8Array(DESCRIPTOR_BYTES)
  descriptor.set([1, 1, 12, 0]) // version, FS_VERITY_HASH_ALG_SHA256, log2 of the block size, size of the salt
  new DataView(descriptor.buffer).setBigUint64(8, BigInt(size), true)
  descriptor.set(rootHash, 16)
  return createSha256(core).update(descriptor).digest()
}
