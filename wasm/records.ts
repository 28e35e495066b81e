// Where does a file differ from what was recorded of it? By the 32-byte hashes that Verity keeps for each 512 KiB: a
// damage is located, one stretch can be checked without the others, and the records themselves are proved by the digest.

import { type Core, sharedCore } from "./core.ts"
import { DIGEST_BYTES } from "./memory.ts"
import { BLOCK_BYTES, descriptorDigest, level, root } from "./tree.ts"

/** What one hash in the records covers, in bytes: a block of digests of 128 blocks. */
export const STRETCH_BYTES = (BLOCK_BYTES / DIGEST_BYTES) * BLOCK_BYTES

/** A part of a file: the offsets of its first byte and of the one after its last. */
export interface Stretch {
  readonly start: number
  readonly end: number
}

/** How many bytes of records a file of `size` bytes has. */
export const recordBytes = (size: number): number => Math.ceil(size / STRETCH_BYTES) * DIGEST_BYTES

function checkLength(size: number, records: Uint8Array): void {
  const wanted = recordBytes(size)
  if (records.length === wanted) return
  throw new RangeError(`records of a ${size}-byte file are ${wanted} bytes, not ${records.length}: read the file again`)
}

/**
 * The fs-verity digest (32 bytes) that follows from a file's size and its records: if it is the approved one, so are they.
 * @throws RangeError when the number of records does not fit the size.
 */
export function digestOfRecords(size: number, records: Uint8Array, core: Core = sharedCore()): Uint8Array<ArrayBuffer> {
  checkLength(size, records)
  return descriptorDigest(size, root(records, core), core)
}

/**
 * The record of one stretch from its bytes: all 512 KiB, or what the file has left at its end. `size` is the whole
 * file's: a file of at most one block has no level of digests above it.
 */
export function stretchRecord(size: number, bytes: Uint8Array, core: Core = sharedCore()): Uint8Array<ArrayBuffer> {
  if (bytes.length === 0 || bytes.length > STRETCH_BYTES || bytes.length > size) {
    throw new RangeError(`a stretch is 1 to ${STRETCH_BYTES} bytes of its file, not ${bytes.length}`)
  }
  const digests = level(bytes, core)
  return size <= BLOCK_BYTES ? digests : level(digests, core)
}

/**
 * The stretches, in order, in which two files of the same size differ; neighbours are joined.
 * @throws RangeError when either number of records does not fit the size.
 */
export function differences(size: number, recorded: Uint8Array, found: Uint8Array): readonly Stretch[] {
  checkLength(size, recorded)
  checkLength(size, found)
  const stretches: Stretch[] = []
  for (let at = 0; at < recorded.length; at += DIGEST_BYTES) {
    const hash = recorded.subarray(at, at + DIGEST_BYTES)
    if (hash.every((byte, i) => byte === found[at + i])) continue
    const start = (at / DIGEST_BYTES) * STRETCH_BYTES
    const end = Math.min(start + STRETCH_BYTES, size)
    const last = stretches.at(-1)
    if (last?.end === start) stretches[stretches.length - 1] = { start: last.start, end }
    else stretches.push({ start, end })
  }
  return stretches
}
