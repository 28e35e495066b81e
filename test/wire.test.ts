/** Do codecs hold their bounds in both directions, and frames too? */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import {
  constant,
  counted,
  decode,
  encode,
  fixed,
  list,
  Malformed,
  named,
  struct,
  u16,
  u32,
  u64,
  u8,
  union,
} from "../attestation/wire/codec.ts"
import { frame, Unframer } from "../attestation/wire/frame.ts"

const shape = struct({
  size: u8,
  mode: named(u16, { one: 1, two: 2 }),
  id: fixed(4),
  clock: u64,
  items: list(counted(3), 2),
})

describe("codecs", () => {
  const value = fc.record({
    size: fc.nat(255),
    mode: fc.constantFrom("one" as const, "two" as const),
    id: fc.uint8Array({ minLength: 4, maxLength: 4 }),
    clock: fc.bigInt(0n, (1n << 64n) - 1n),
    items: fc.array(fc.uint8Array({ maxLength: 3 }), { maxLength: 2 }),
  })

  test("what is written is read back, and no length but its own is", () =>
    fc.assert(
      fc.property(value, each => {
        const bytes = encode(shape, each)
        expect(decode(shape, bytes)).toEqual(each)
        expect(() => decode(shape, bytes.subarray(0, -1))).toThrow(Malformed)
        expect(() => decode(shape, Buffer.concat([bytes, Buffer.alloc(1)]))).toThrow("1 bytes too many")
      }),
    ))

  test("what is read is written back the same", () =>
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), bytes => {
        let read: Parameters<typeof encode<Parameters<typeof shape.write>[1]>>[1]
        try {
          read = decode(shape, bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed)
          return
        }
        expect(Buffer.compare(encode(shape, read), bytes)).toBe(0)
      }),
    ))

  test("C23 a count is refused before anything is kept for it", () => {
    expect(() => decode(list(u8, 2), Buffer.from("ffffffff", "hex"))).toThrow("count 4294967295 exceeds 2")
    expect(() => decode(counted(3), Buffer.from("ffff", "hex"))).toThrow("count 65535 exceeds 3")
    expect(() => decode(counted(3, u32), Buffer.from("00000003aa", "hex"))).toThrow("wanted 3 bytes at byte 4, 1 left")
  })

  test("what does not fit is not written", () => {
    const usual = { size: 0, mode: "one" as const, id: new Uint8Array(4), clock: 0n, items: [] }
    for (const wrong of [
      { size: 256 },
      { size: -1 },
      { id: new Uint8Array(3) },
      { clock: 1n << 64n },
      { clock: -1n },
      { items: [new Uint8Array(4)] },
      { items: Array.from({ length: 3 }, () => new Uint8Array(0)) },
    ])
      expect(() => encode(shape, { ...usual, ...wrong })).toThrow(RangeError)
  })

  test("constants, names and tags that are not the ones described", () => {
    expect(() => decode(constant(u16, 0x8018), Buffer.from("801a", "hex"))).toThrow("wanted 0x8018, read 0x801a")
    expect(() => decode(named(u8, { one: 1 }), Buffer.from("02", "hex"))).toThrow("0x2 is none of one")
    const either = union(u8, { a: [1, struct({ x: u8 })], b: [2, struct({ y: u16 })] })
    expect(decode(either, Buffer.from("020001", "hex"))).toEqual({ kind: "b", y: 1 })
    expect(() => decode(either, Buffer.from("03", "hex"))).toThrow("unknown tag 0x3")
    expect(Buffer.from(encode(either, { kind: "a", x: 7 })).toString("hex")).toBe("0107")
  })
})

describe("frames", () => {
  test("however the bytes come, the frames are the same", () =>
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 20 }), { maxLength: 6 }),
        fc.integer({ min: 1, max: 9 }),
        (all, step) => {
          const stream = Buffer.concat(all.map(frame))
          const unframer = new Unframer(20)
          const got: Uint8Array[] = []
          for (let at = 0; at < stream.length; at += step) got.push(...unframer.push(stream.subarray(at, at + step)))
          expect(got.map(each => [...each])).toEqual(all.map(each => [...each]))
          expect(unframer.pending).toBe(0)
        },
      ),
    ))

  test("a frame that claims too much is refused by its length alone", () => {
    const unframer = new Unframer(20)
    expect(() => unframer.push(Buffer.from("00000015", "hex"))).toThrow("a frame of 21 bytes exceeds the limit of 20")
  })
})
