/**
 * How do bytes become values, and values bytes? By the TPM's own marshalling rules (TPM 2.0 Library, Part 2, clause 4):
 * big-endian, counted, nothing optional. Each description serves both ways. What the bytes mean is the business of `tcg/`.
 *
 * Every counted codec has an upper bound where it is declared, and a reader never allocates more than it was given.
 */

/** The bytes are not what their description says. The only error that decoding throws. */
export class Malformed extends Error {
  constructor(problem: string) {
    super(problem)
    this.name = "Malformed"
  }
}

/** A description of bytes that reads and writes the same value. */
export interface Codec<T> {
  read(from: Reader): T
  write(to: Writer, value: T): void
}

/** The value that a codec carries, so that no structure is described twice. */
export type Value<C> = C extends Codec<infer T> ? T : never

/** Decodes exactly `bytes`; a byte too many is an error. Throws {@link Malformed}. */
export function decode<T>(codec: Codec<T>, bytes: Uint8Array): T {
  const from = new Reader(bytes)
  const value = codec.read(from)
  if (from.left > 0) throw new Malformed(`${from.left} bytes too many at byte ${from.at}`)
  return value
}

/** The bytes of `value`. Throws RangeError when the value does not fit its description. */
export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const to = new Writer()
  codec.write(to, value)
  return to.bytes()
}

/** A cursor over bytes that somebody else wrote. */
export class Reader {
  readonly #bytes: Uint8Array
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  get at(): number {
    return this.#at
  }
  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** The next `n` bytes, as a view. */
  take(n: number): Uint8Array {
    const from = this.#pass(n)
    return this.#bytes.subarray(from, from + n)
  }

  /** The next `n` bytes as a number, the most significant first. A view of them would cost more than the number. */
  bigEndian(n: 1 | 2 | 4): number {
    const from = this.#pass(n)
    let value = 0
    for (let i = 0; i < n; i++) value = value * 256 + (this.#bytes[from + i] ?? 0)
    return value
  }

  /** The same, the least significant first. */
  littleEndian(n: 1 | 2 | 4): number {
    const from = this.#pass(n)
    let value = 0
    for (let i = n - 1; i >= 0; i--) value = value * 256 + (this.#bytes[from + i] ?? 0)
    return value
  }

  #pass(n: number): number {
    if (n > this.left) throw new Malformed(`wanted ${n} bytes at byte ${this.#at}, ${this.left} left`)
    this.#at += n
    return this.#at - n
  }
}

/** Collects the parts of an encoding. */
export class Writer {
  readonly #parts: Uint8Array[] = []

  put(part: Uint8Array): void {
    this.#parts.push(part)
  }
  bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts))
  }
}

export const u8 = uint(1)
export const u16 = uint(2)
export const u32 = uint(4)

export const u64: Codec<bigint> = {
  read: from => Buffer.from(from.take(8)).readBigUInt64BE(),
  write: (to, value) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(value)
    to.put(bytes)
  },
}

function uint(size: 1 | 2 | 4): Codec<number> {
  return {
    read: from => from.bigEndian(size),
    write: (to, value) => {
      const bytes = Buffer.alloc(size)
      bytes.writeUIntBE(value, 0, size)
      to.put(bytes)
    },
  }
}

/** Exactly `size` bytes: a nonce, a digest. */
export function fixed(size: number): Codec<Uint8Array> {
  return {
    read: from => from.take(size),
    write: (to, value) => {
      if (value.length !== size) throw new RangeError(`wanted ${size} bytes, got ${value.length}`)
      to.put(value)
    },
  }
}

/** Counted bytes (a TPM2B) of at most `max`. */
export function counted(max: number, count: Codec<number> = u16): Codec<Uint8Array> {
  return {
    read: from => from.take(atMost(max, count.read(from))),
    write: (to, value) => {
      count.write(to, withinBound(max, value.length))
      to.put(value)
    },
  }
}

/** Counted items (a TPML) of at most `max`. */
export function list<T>(item: Codec<T>, max: number): Codec<readonly T[]> {
  return {
    read: from => Array.from({ length: atMost(max, u32.read(from)) }, () => item.read(from)),
    write: (to, items) => {
      u32.write(to, withinBound(max, items.length))
      for (const each of items) item.write(to, each)
    },
  }
}

function atMost(max: number, n: number): number {
  if (n > max) throw new Malformed(`count ${n} exceeds ${max}`)
  return n
}

function withinBound(max: number, n: number): number {
  if (n > max) throw new RangeError(`count ${n} exceeds ${max}`)
  return n
}

/** One value and no other: a magic number, a structure tag. */
export function constant<const T extends number>(codec: Codec<number>, value: T): Codec<T> {
  return {
    read: from => {
      const read = codec.read(from)
      if (read !== value) throw new Malformed(`wanted 0x${value.toString(16)}, read 0x${read.toString(16)}`)
      return value
    },
    write: to => codec.write(to, value),
  }
}

/** One of the numbers named in `names`; the value is the name. */
export function named<const N extends Readonly<Record<string, number>>>(
  codec: Codec<number>,
  names: N,
): Codec<keyof N & string> {
  const byNumber = new Map(Object.entries(names).map(([name, number]) => [number, name]))
  return {
    read: from => {
      const read = codec.read(from)
      const name = byNumber.get(read)
      if (name === undefined) throw new Malformed(`0x${read.toString(16)} is none of ${Object.keys(names).join(", ")}`)
      return name
    },
    write: (to, name) => codec.write(to, names[name] as number),
  }
}

type Fields = Record<string, Codec<unknown>>
type Struct<F extends Record<string, unknown>> = { readonly [K in keyof F]: Value<F[K]> }

/** Fields in the order written. */
export function struct<const F extends { readonly [name: string]: unknown }>(fields: F): Codec<Struct<F>> {
  const entries = Object.entries(fields as unknown as Fields)
  return {
    read: from => Object.fromEntries(entries.map(([name, codec]) => [name, codec.read(from)])) as Struct<F>,
    write: (to, value) => {
      for (const [name, codec] of entries) codec.write(to, (value as Record<string, unknown>)[name])
    },
  }
}

type Arms = Readonly<Record<string, readonly [tag: number, body: unknown]>>
type Arm<A extends Arms> = { [K in keyof A & string]: { readonly kind: K } & Value<A[K][1]> }[keyof A & string]

/** One of several structures, told apart by a leading tag; `kind` says which. */
export function union<const A extends Arms>(tag: Codec<number>, arms: A): Codec<Arm<A>> {
  const byTag = new Map(
    Object.entries(arms).map(([kind, [number, body]]) => [number, { kind, body: body as Codec<object> }]),
  )
  return {
    read: from => {
      const number = tag.read(from)
      const arm = byTag.get(number)
      if (!arm) throw new Malformed(`unknown tag 0x${number.toString(16)}`)
      return { kind: arm.kind, ...arm.body.read(from) } as Arm<A>
    },
    write: (to, value) => {
      const [number, body] = arms[value.kind] as readonly [number, Codec<object>]
      tag.write(to, number)
      body.write(to, value)
    },
  }
}
