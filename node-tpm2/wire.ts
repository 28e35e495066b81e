/**
 * How are the few structures that this package itself reads and writes laid out? Big-endian, without padding (TPM 2.0
 * Part 2 and Part 1, B.4). Everything else crosses as bytes, for a verifier's own codec.
 */
import { ownError } from "./error.ts"

/** TPM_ALG_ID of the hash algorithms (TCG Algorithm Registry), under the names that tpm2-tools and Linux use. */
export const HASH_ALGORITHMS = {
  sha1: 0x0004,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  sm3_256: 0x0012,
  sha3_256: 0x0027,
  sha3_384: 0x0028,
  sha3_512: 0x0029,
} as const

/** A hash algorithm; as a PCR bank, the algorithm that extends it. */
export type HashAlgorithm = keyof typeof HASH_ALGORITHMS

/** Digest lengths in bytes. */
export const DIGEST_BYTES: Readonly<Record<HashAlgorithm, number>> = {
  sha1: 20,
  sha256: 32,
  sha384: 48,
  sha512: 64,
  sm3_256: 32,
  sha3_256: 32,
  sha3_384: 48,
  sha3_512: 64,
}

const isHashAlgorithm = (name: string): name is HashAlgorithm => name in HASH_ALGORITHMS

const NAME_OF = new Map(
  Object.entries(HASH_ALGORITHMS).flatMap(([name, id]) => (isHashAlgorithm(name) ? [[id as number, name]] : [])),
)

/** The name of a TPM_ALG_ID. @throws TpmError TPM_BAD_RESPONSE for what is no known hash algorithm */
export function hashAlgorithm(id: number): HashAlgorithm {
  const name = NAME_OF.get(id)
  if (name === undefined) throw malformed(`0x${id.toString(16)} is no known hash algorithm`)
  return name
}

/**
 * Zeroed bytes outside V8's own heap. V8 keeps small arrays inside it, where the collector moves them: a secret would leave
 * copies behind that nobody can zero, and C an address that is no longer theirs.
 */
export const offHeap = (length: number): Uint8Array => new Uint8Array(new ArrayBuffer(length))

/** An unsigned big-endian integer of 1, 2 or 4 bytes. */
function integer(value: number, length: 1 | 2 | 4): Uint8Array {
  const bytes = Buffer.alloc(length)
  bytes.writeUIntBE(value, 0, length) // throws a RangeError for what does not fit
  return bytes
}

export const u8 = (value: number): Uint8Array => integer(value, 1)
export const u16 = (value: number): Uint8Array => integer(value, 2)
export const u32 = (value: number): Uint8Array => integer(value, 4)

/** Joins parts into one fresh buffer, off the heap. */
export function join(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = offHeap(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** A TPM2B: the bytes after their 16-bit length. */
export function sized(payload: Uint8Array): Uint8Array {
  if (payload.length > 0xffff) throw ownError("TPM_BAD_ARGUMENT", "encode", `${payload.length} bytes exceed a TPM2B`)
  return join(u16(payload.length), payload)
}

/** The empty TPM2B. */
export const EMPTY = u16(0)

/** What a TPM2B holds; a view, so that zeroing it zeroes the original. */
export function payload(wire: Uint8Array): Uint8Array {
  const reader = new Reader(wire)
  const inner = reader.sized(wire.length)
  reader.end()
  return inner
}

/** Reads front to back, within bounds. @throws TpmError TPM_BAD_RESPONSE */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  bytes(length: number): Uint8Array {
    const from = this.#at
    if (length > this.#bytes.length - from)
      throw malformed(`${length} bytes wanted at ${from} of ${this.#bytes.length}`)
    this.#at += length
    return this.#bytes.subarray(from, this.#at)
  }

  u8(): number {
    return this.#view.getUint8(this.#skip(1))
  }

  u16(): number {
    return this.#view.getUint16(this.#skip(2))
  }

  u32(): number {
    return this.#view.getUint32(this.#skip(4))
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#skip(8))
  }

  /** A TPM2B's content of at most `most` bytes. */
  sized(most: number): Uint8Array {
    const length = this.u16()
    if (length > most) throw malformed(`${length} bytes where at most ${most} belong`)
    return this.bytes(length)
  }

  /** A TPML: a 32-bit count of at most `most`, then the items. */
  list<T>(most: number, item: (reader: Reader) => T): T[] {
    const count = this.u32()
    if (count > most) throw malformed(`${count} items where at most ${most} belong`)
    return Array.from({ length: count }, () => item(this))
  }

  end(): void {
    if (this.#at !== this.#bytes.length) throw malformed(`${this.#bytes.length - this.#at} bytes are left over`)
  }

  #skip(length: number): number {
    this.bytes(length)
    return this.#at - length
  }
}

const malformed = (problem: string) => ownError("TPM_BAD_RESPONSE", "decode", problem)
