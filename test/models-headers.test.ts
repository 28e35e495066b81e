/** Are headers of weight files read as their formats have them, and does no header crash, stall or fill memory? */
import { createHash } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { BadHeader, type GgufHeader, ggufLimits, readGguf, ShortHeader } from "../agent/hash/gguf.ts"
import { readSafetensors, type SafetensorsHeader } from "../agent/hash/safetensors.ts"

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const string = (text: string): Buffer => Buffer.concat([u64(Buffer.byteLength(text)), Buffer.from(text)])
const pair = (key: string, type: number, value: Buffer): Buffer => Buffer.concat([string(key), u32(type), value])
const f64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeDoubleLE(value)
  return bytes
}

const template = "{% for m in messages %}{{ m.content }}{% endfor %}"
/** Every type of value there is (ggml, docs/gguf.md), and two tensors of 32 bytes each. */
const pairs = [
  pair("general.architecture", 8, string("llama")),
  pair("general.name", 8, string("Größe")),
  pair("u8", 0, Buffer.from([200])),
  pair("i8", 1, Buffer.from([200])),
  pair("u16", 2, Buffer.from([1, 2])),
  pair("i16", 3, Buffer.from([255, 255])),
  pair("u32", 4, u32(7)),
  pair("i32", 5, u32(0xff_ff_ff_ff)),
  pair("f32", 6, Buffer.from([0, 0, 128, 63])),
  pair("bool", 7, Buffer.from([1])),
  pair("u64", 10, u64(2n ** 63n)),
  pair("i64", 11, u64(2n ** 64n - 1n)),
  pair("f64", 12, f64(0.5)),
  pair("tokens", 9, Buffer.concat([u32(8), u64(3), string("a"), string("bc"), string("")])),
  pair("scores", 9, Buffer.concat([u32(6), u64(2), u32(0), u32(0)])),
  pair("nested", 9, Buffer.concat([u32(9), u64(1), u32(4), u64(1), u32(9)])),
  pair("tokenizer.chat_template", 8, string(template)),
]
const tensor = (name: string, offset: number): Buffer =>
  Buffer.concat([string(name), u32(2), u64(4), u64(2), u32(0), u64(offset)])
const header = Buffer.concat([
  ...[Buffer.from("GGUF"), u32(3), u64(2), u64(pairs.length)],
  ...pairs,
  ...[tensor("first", 0), tensor("second", 32)],
])
const gguf = Buffer.concat([header, Buffer.alloc(Math.ceil(header.length / 32) * 32 - header.length + 64)])

const safetensors = (json: unknown, data: number): Buffer => {
  const text = Buffer.from(JSON.stringify(json))
  return Buffer.concat([u64(text.length), text, Buffer.alloc(data)])
}
const two = {
  __metadata__: { format: "pt" },
  a: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
  b: { dtype: "BF16", shape: [], data_offsets: [24, 26] },
  c: { dtype: "I8", shape: [0, 7], data_offsets: [26, 26] },
}
const st = safetensors(two, 26)

const foreign = "../shared/vectors/model-files"

describe("gguf", () => {
  it("reads every type of value, and hashes the chat template", () => {
    const { version, tensors, values, templates, dataAt } = readGguf(gguf, gguf.length)
    expect([version, tensors, dataAt]).toEqual([3, 2, Math.ceil(header.length / 32) * 32])
    expect(Object.fromEntries(values)).toEqual({
      ...{ "general.architecture": "llama", "general.name": "Größe", u8: "200", i8: "-56", u16: "513", i16: "-1" },
      ...{ u32: "7", i32: "-1", f32: "1", bool: "true", u64: String(2n ** 63n), i64: "-1", f64: "0.5" },
      ...{ tokens: "an array of 3", scores: "an array of 2", nested: "an array of 1" },
    })
    const digest = createHash("sha256").update(template).digest("hex")
    expect([...templates]).toEqual([["tokenizer.chat_template", digest]])
  })

  it("asks for more of the file until the header is whole, and gets on with each answer", () => {
    let length = 0
    const lengths: number[] = []
    for (;;) {
      const outcome = attempt(() => readGguf(gguf.subarray(0, length), gguf.length))
      if (!(outcome instanceof ShortHeader)) break
      expect(outcome.needed).toBeGreaterThan(length)
      lengths.push((length = outcome.needed))
    }
    expect(lengths.length).toBeGreaterThan(pairs.length)
    expect(length).toBe(header.length)
  })

  it.each<[string, Buffer]>([
    ["does not begin with GGUF", Buffer.from("GGML\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0")],
    ["version 1", Buffer.concat([Buffer.from("GGUF"), u32(1), u64(0), u64(0)])],
    ["version 50331648", Buffer.concat([Buffer.from("GGUF"), Buffer.from([0, 0, 0, 3]), u64(0), u64(0)])],
    ["more than 1048576 tensors", Buffer.concat([Buffer.from("GGUF"), u32(3), u64(2n ** 60n), u64(0)])],
    ["more than 65536 keys", Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(2n ** 63n)])],
    ["ends behind the file's end", one(pair("x", 9, Buffer.concat([u32(0), u64(2n ** 62n)])))],
    ["ends behind the file's end", one(pair("x", 9, Buffer.concat([u32(12), u64(2n ** 61n)])))],
    ["ends behind the file's end", one(pair("x", 9, Buffer.concat([u32(8), u64(2n ** 40n)])))],
    ["ends behind the file's end", one(pair("x", 8, u64(2n ** 64n - 1n)))],
    ["unknown type 13", one(pair("x", 13, Buffer.alloc(8)))],
    ["array of the unknown type", one(pair("x", 9, Buffer.concat([u32(99), u64(0)])))],
    ["arrays within arrays", one(pair("x", 9, nest(ggufLimits.nesting)))],
    ["alignment of 0", one(pair("general.alignment", 4, u32(0)))],
    ["alignment of NaN", one(pair("general.alignment", 8, string("wide")))],
  ])("refuses: %s", (message, bytes) => {
    const outcome = attempt(() => readGguf(bytes, bytes.length))
    expect(outcome).toBeInstanceOf(BadHeader)
    expect((outcome as Error).message).toContain(message)
  })

  it("refuses tensors that are not aligned or begin behind the file's end", () => {
    const odd = Buffer.concat([Buffer.from("GGUF"), u32(3), u64(1), u64(0), tensor("t", 33), Buffer.alloc(99)])
    expect(attempt(() => readGguf(odd, odd.length))).toMatchObject({ message: "a tensor that is not aligned" })
    expect(attempt(() => readGguf(header, header.length + 31))).toMatchObject({
      message: "a tensor begins behind the file's end",
    })
  })
})

describe("safetensors", () => {
  it("reads tensors, types and metadata", () => {
    const { tensors, types, metadata } = readSafetensors(st, st.length)
    expect(tensors).toBe(3)
    expect(Object.fromEntries(types)).toEqual({ F32: 1, BF16: 1, I8: 1 })
    expect(Object.fromEntries(metadata)).toEqual({ format: "pt" })
  })

  it.each<[string, Buffer]>([
    ["shorter than 8 bytes", Buffer.alloc(7)],
    ["longer than the file", Buffer.concat([u64(2n ** 63n), Buffer.from("{}")])],
    ["no JSON", Buffer.concat([u64(2), Buffer.from("{]")])],
    ["no JSON", Buffer.concat([u64(4), Buffer.from([0x7b, 0x22, 0xff, 0x7d])])],
    ["describes no tensors", safetensors([], 0)],
    ["describes no tensors", safetensors({ a: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, 4)],
    ["a hole or overlap", safetensors({ a: { dtype: "U8", shape: [4], data_offsets: [1, 5] } }, 5)],
    ["do not cover the file", safetensors({ a: { dtype: "U8", shape: [4], data_offsets: [0, 4] } }, 5)],
    ["not as long as its shape", safetensors({ a: { dtype: "U8", shape: [5], data_offsets: [0, 4] } }, 4)],
  ])("refuses: %s", (message, bytes) => {
    const outcome = attempt(() => readSafetensors(bytes, bytes.length))
    expect(outcome).toBeInstanceOf(BadHeader)
    expect((outcome as Error).message).toContain(message)
  })

  it("asks for the header's length, and refuses one that no model has", () => {
    expect(attempt(() => readSafetensors(st.subarray(0, 20), st.length))).toMatchObject({ needed: st.length - 26 })
    const long = Buffer.concat([u64(17 << 20), Buffer.from("{")])
    expect(attempt(() => readSafetensors(long, 1e9))).toMatchObject({ message: expect.stringContaining("16 MiB") })
  })
})

describe.runIf(existsSync(foreign))("files of other programs", () => {
  it("are read", () => {
    for (const [name, tensors] of [
      ["hirox-dummy.gguf", 10],
      ["SYNTHETIC-tiny-random.gguf", 21],
      ["burn-mnist.safetensors", 20],
      ["burn-multi_layer.safetensors", 9],
    ] as const) {
      const bytes = readFileSync(`${foreign}/${name}`)
      const read = name.endsWith("gguf") ? readGguf : readSafetensors
      expect(read(bytes, bytes.length).tensors).toBe(tensors)
    }
  })
})

describe("a hostile header", () => {
  const readers = [
    ["gguf", readGguf, gguf, header.length],
    ["safetensors", readSafetensors, st, st.length - 26],
  ] as const

  it.each(readers)("%s: with any byte altered it is read, refused, or too short", (_, read, bytes, end) => {
    for (let at = 0; at < end; at++)
      for (const value of [0, 1, 9, 0x7f, 0x80, 0xff]) {
        const altered = Buffer.from(bytes)
        altered[at] = value
        expectAnswer(() => read(altered, altered.length))
      }
  })

  it.each(readers)("%s: with any bytes altered, cut out or put in", (_, read, bytes) => {
    const change = fc.record({ at: fc.nat(bytes.length), cut: fc.nat(64), put: fc.uint8Array({ maxLength: 64 }) })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), fc.nat(2 ** 40), (changes, more) => {
        let altered = Buffer.from(bytes)
        for (const { at, cut, put } of changes)
          altered = Buffer.concat([altered.subarray(0, at), put, altered.subarray(at + cut)])
        expectAnswer(() => read(altered, altered.length))
        expectAnswer(() => read(altered, altered.length + more))
      }),
      { numRuns: 2000 },
    )
  })

  it.each(readers)("%s: of nothing but noise", (_, read, bytes) => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 512 }), noise => {
        const prefixed = Buffer.concat([bytes.subarray(0, 24), noise])
        expectAnswer(() => read(noise, noise.length))
        expectAnswer(() => read(prefixed, prefixed.length))
      }),
      { numRuns: 2000 },
    )
  })

  it("takes no more memory than the bytes that there are", () => {
    const before = process.memoryUsage().rss
    for (let i = 0; i < 2000; i++) {
      attempt(() => readGguf(one(pair("x", 9, Buffer.concat([u32(8), u64(2n ** 50n)]))), 2 ** 52))
      attempt(() => readGguf(one(pair("x", 8, u64(2n ** 45n))), 2 ** 52))
      attempt(() => readSafetensors(u64(2n ** 24n), 2 ** 52))
    }
    expect(process.memoryUsage().rss - before).toBeLessThan(100 << 20)
  })
})

/** A header with one pair, and some bytes behind it. */
function one(only: Buffer): Buffer {
  return Buffer.concat([Buffer.from("GGUF"), u32(3), u64(0), u64(1), only, Buffer.alloc(40)])
}

/** Arrays of one array of one array… */
function nest(depth: number): Buffer {
  if (depth === 0) return Buffer.concat([u32(0), u64(1), Buffer.from([1])])
  return Buffer.concat([u32(9), u64(1), nest(depth - 1)])
}

function attempt(read: () => GgufHeader | SafetensorsHeader): unknown {
  try {
    return read()
  } catch (error) {
    return error
  }
}

function expectAnswer(read: () => GgufHeader | SafetensorsHeader): void {
  const outcome = attempt(read)
  if (outcome instanceof Error && !(outcome instanceof BadHeader) && !(outcome instanceof ShortHeader)) throw outcome
}
