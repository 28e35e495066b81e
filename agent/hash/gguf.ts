/**
 * What does the header of a GGUF file claim (ggml, docs/gguf.md, versions 2 and 3)? Read from bytes that were cut off somewhere,
 * in steps that these bytes bound and never what a count in them says. Nothing here is proved: claims.ts.
 */
import { createHash } from "node:crypto"

/** Scalars and short strings by key; of longer ones and of arrays only that they are there. */
export type GgufHeader = {
  readonly version: number
  readonly tensors: number
  readonly values: ReadonlyMap<string, string>
  /** SHA-256 in hex of each chat template, by its key */
  readonly templates: ReadonlyMap<string, string>
  /** where the tensors' data begins */
  readonly dataAt: number
}

/** The header is not as the format has it. */
export class BadHeader extends Error {
  constructor(message: string) {
    super(message)
    this.name = "BadHeader"
  }
}

/** The bytes end before the header does: it has at least `needed` bytes. */
export class ShortHeader extends Error {
  readonly needed: number
  constructor(needed: number) {
    super(`the header has at least ${needed} bytes`)
    this.name = "ShortHeader"
    this.needed = needed
  }
}

/** What a header may have at most; real ones stay far below. */
export const ggufLimits = { keys: 65_536, tensors: 1 << 20, key: 65_535, value: 512, kept: 512, nesting: 4, name: 1024 }

/** Bytes of the types of fixed size, by number: u8 i8 u16 i16 u32 i32 f32 bool, then u64 i64 f64. */
const sizes: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 }
const stringType = 8
const arrayType = 9

/** A place in the bytes that only moves forward. */
class Cursor {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  /** of the whole file, of which the bytes are the beginning */
  readonly #fileSize: number
  at = 0

  constructor(bytes: Uint8Array, fileSize: number) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#fileSize = fileSize
  }

  /** Moves on by `count` bytes, and gives where they begin. */
  take(count: number): number {
    const begin = this.at
    if (count > this.#fileSize - begin) throw new BadHeader(`something in it ends behind the file's end`)
    if (count > this.#bytes.length - begin) throw new ShortHeader(begin + count)
    this.at = begin + count
    return begin
  }

  u32(): number {
    return this.#view.getUint32(this.take(4), true)
  }

  /** A count or a length: what no number can hold exactly is larger than any file. */
  u64(): number {
    const value = this.#view.getBigUint64(this.take(8), true)
    return value > BigInt(Number.MAX_SAFE_INTEGER) ? Infinity : Number(value)
  }

  bytes(count: number): Uint8Array {
    const begin = this.take(count)
    return this.#bytes.subarray(begin, begin + count)
  }

  scalar(type: number): string {
    const at = this.take(sizes[type] ?? 0)
    const view = this.#view
    if (type === 7) return view.getUint8(at) === 0 ? "false" : "true"
    if (type === 6) return String(view.getFloat32(at, true))
    if (type === 12) return String(view.getFloat64(at, true))
    if (type === 10) return String(view.getBigUint64(at, true))
    if (type === 11) return String(view.getBigInt64(at, true))
    if (type === 4) return String(view.getUint32(at, true))
    if (type === 5) return String(view.getInt32(at, true))
    if (type === 2) return String(view.getUint16(at, true))
    if (type === 3) return String(view.getInt16(at, true))
    return String(type === 0 ? view.getUint8(at) : view.getInt8(at))
  }
}

const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString("utf8")

/**
 * The header in `bytes`, which begin a file of `fileSize` bytes. Throws {@link ShortHeader} when more of the file is needed, and
 * {@link BadHeader}.
 */
export function readGguf(bytes: Uint8Array, fileSize: number): GgufHeader {
  const cursor = new Cursor(bytes, fileSize)
  if (text(cursor.bytes(4)) !== "GGUF") throw new BadHeader("it does not begin with GGUF")
  const version = cursor.u32()
  if (version !== 2 && version !== 3) throw new BadHeader(`version ${version} is not 2 or 3`)
  const tensors = bounded(cursor.u64(), ggufLimits.tensors, "tensors")
  const keys = bounded(cursor.u64(), ggufLimits.keys, "keys")
  const values = new Map<string, string>()
  const templates = new Map<string, string>()
  for (let i = 0; i < keys; i++) readPair(cursor, values, templates)
  const alignment = Number(values.get("general.alignment") ?? 32)
  if (!(alignment >= 1 && alignment <= 1 << 20)) throw new BadHeader(`an alignment of ${alignment}`)
  const last = lastTensor(cursor, tensors, alignment)
  const dataAt = Math.ceil(cursor.at / alignment) * alignment
  if (dataAt + last > fileSize) throw new BadHeader("a tensor begins behind the file's end")
  return { version, tensors, values, templates, dataAt }
}

function bounded(count: number, most: number, what: string): number {
  if (count > most) throw new BadHeader(`more than ${most} ${what}`)
  return count
}

function readPair(cursor: Cursor, values: Map<string, string>, templates: Map<string, string>): void {
  const key = text(cursor.bytes(bounded(cursor.u64(), ggufLimits.key, "bytes in a key")))
  const type = cursor.u32()
  if (type === stringType) {
    const value = cursor.bytes(cursor.u64())
    if (key.startsWith("tokenizer.chat_template"))
      keep(templates, key, createHash("sha256").update(value).digest("hex"))
    else keep(values, key, value.length > ggufLimits.value ? `a string of ${value.length} bytes` : text(value))
  } else if (type === arrayType) keep(values, key, `an array of ${skipArray(cursor, 0)}`)
  else if (type in sizes) keep(values, key, cursor.scalar(type))
  else throw new BadHeader(`a value of the unknown type ${type}`)
}

/** The first of each key counts, and of very many only the first. */
function keep(map: Map<string, string>, key: string, value: string): void {
  if (map.size < ggufLimits.kept && key.length <= ggufLimits.value && !map.has(key)) map.set(key, value)
}

/** Steps over an array, and gives its count. Every element has at least one byte, so the bytes bound the steps. */
function skipArray(cursor: Cursor, depth: number): number {
  if (depth >= ggufLimits.nesting) throw new BadHeader("arrays within arrays within arrays")
  const type = cursor.u32()
  const count = cursor.u64()
  const size = sizes[type]
  if (size !== undefined) cursor.take(count * size)
  else if (type === stringType) for (let i = 0; i < count; i++) cursor.take(cursor.u64())
  else if (type === arrayType) for (let i = 0; i < count; i++) skipArray(cursor, depth + 1)
  else throw new BadHeader(`an array of the unknown type ${type}`)
  return count
}

/** Steps over the tensors' descriptions, and gives where the last one's data begins. */
function lastTensor(cursor: Cursor, count: number, alignment: number): number {
  let last = 0
  for (let i = 0; i < count; i++) {
    cursor.take(bounded(cursor.u64(), ggufLimits.name, "bytes in a tensor's name"))
    cursor.take(8 * bounded(cursor.u32(), 8, "dimensions"))
    cursor.u32()
    const offset = cursor.u64()
    if (offset % alignment !== 0) throw new BadHeader("a tensor that is not aligned")
    last = Math.max(last, offset)
  }
  return last
}
