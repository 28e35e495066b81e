/** Is there one spelling only of each JSON value that is hashed or signed, and does a foreign reader read it alike? */
import { describe, expect, test } from "vitest"
import { z } from "zod"
import { Malformed } from "../attestation/wire/codec.ts"
import { readExact, readJson, writeExact, writeJson } from "../attestation/wire/json.ts"
import { base64, base64Exactly, count, decimal64, hex, instant, line, plainLine } from "../attestation/wire/text.ts"
import { output } from "./foreign.ts"

const schema = z.strictObject({ a: z.int(), b: z.string(), c: z.array(z.unknown()) })
const read = (text: string | Uint8Array): unknown => readJson(schema, Buffer.from(text), 1 << 20)

describe("refused although a lenient reader reads it", () => {
  test.each(
    Object.entries({
      "white space": '{"a":1, "b":"","c":[]}',
      "white space around": ' {"a":1,"b":"","c":[]}',
      "an end of line": '{"a":1,"b":"","c":[]}\n',
      "a member twice": '{"a":1,"a":1,"b":"","c":[]}',
      "a member twice, once escaped": '{"a":1,"\\u0061":1,"b":"","c":[]}',
      "a member that no schema has": '{"a":1,"b":"","c":[],"d":1}',
      "__proto__ as a member": '{"a":1,"b":"","c":[],"__proto__":{"x":1}}',
      "__proto__ in place of a member": '{"a":1,"b":"","__proto__":{"c":[]}}',
      "constructor as a member": '{"a":1,"b":"","c":[],"constructor":1}',
      "1.0": '{"a":1.0,"b":"","c":[]}',
      "1e2": '{"a":1e2,"b":"","c":[]}',
      "-0": '{"a":-0,"b":"","c":[]}',
      "01": '{"a":01,"b":"","c":[]}',
      "a number beyond 2^53": '{"a":9007199254740993,"b":"","c":[]}',
      "2^53 itself": '{"a":9007199254740992,"b":"","c":[]}',
      "a number too large": '{"a":1e999,"b":"","c":[]}',
      "an escape that is not needed": '{"a":1,"b":"\\u0041","c":[]}',
      "an escaped solidus": '{"a":1,"b":"\\/","c":[]}',
      "upper-case hexadecimal in an escape": '{"a":1,"b":"\\u001F","c":[]}',
      "an escape in the long form": '{"a":1,"b":"\\u000a","c":[]}',
      "an escaped surrogate pair": '{"a":1,"b":"\\ud834\\udd1e","c":[]}',
      "half a surrogate pair": '{"a":1,"b":"\\ud834","c":[]}',
      "the other half": '{"a":1,"b":"\\udd1e","c":[]}',
      "half a pair in a nested name": '{"a":1,"b":"","c":[{"\\ud834":1}]}',
      "an array that is an object": '{"a":1,"b":"","c":{"length":0}}',
      "nothing at all": "",
      "two values": "{}{}",
    }),
  )("%s", (_, text) => expect(() => read(text)).toThrow(Malformed))

  test("a byte order mark, and what is not UTF-8", () => {
    const text = Buffer.from('{"a":1,"b":"x","c":[]}')
    expect(() => read(Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), text]))).toThrow(Malformed)
    for (const bytes of [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0xb4], [0xf4, 0x90, 0x80, 0x80]])
      expect(() => read(Buffer.concat([text.subarray(0, 12), Buffer.from(bytes), text.subarray(13)]))).toThrow(
        "not UTF-8",
      )
  })

  test("C23 nesting that no stack holds, and more bytes than allowed", () => {
    const deep = (depth: number): string => `{"a":1,"b":"","c":${"[".repeat(depth)}${"]".repeat(depth)}}`
    expect(read(deep(20))).toBeDefined()
    expect(() => read(deep(40))).toThrow("nested deeper than 32")
    expect(() => readJson(schema, Buffer.from(deep(400_000)), 1 << 20)).toThrow("nested deeper than 32")
    expect(() => readJson(schema, Buffer.from(deep(1)), 10)).toThrow("exceed the limit of 10")
  })
})

test("members in another order are read where nothing is signed, and refused where something is", () => {
  const turned = Buffer.from('{"c":[],"b":"","a":1}')
  expect(readJson(schema, turned, 100)).toEqual({ a: 1, b: "", c: [] })
  expect(() => readExact(schema, turned, 100)).toThrow("not in the order")
  expect(Buffer.from(writeExact(schema, { c: [], b: "", a: 1 })).toString()).toBe('{"a":1,"b":"","c":[]}')
  expect(() => writeExact(schema, { a: 0.5, b: "", c: [] })).toThrow(Malformed)
})

test("every plain string is written as jq writes it, and read back", () => {
  const strings = ["", "größe", "𝄞", '"\\/', "\ufffd", "\u00a0", "\ue000", "‮", "a\u0300"]
  for (const text of [...strings, String.fromCodePoint(...Array.from({ length: 0x5f }, (_, i) => 0x20 + i))]) {
    const bytes = writeJson({ a: 1, b: text, c: [] })
    expect(output("jq", ["-j", "-c", "."], bytes).toString()).toBe(Buffer.from(bytes).toString())
    expect(read(bytes)).toEqual({ a: 1, b: text, c: [] })
  }
})

describe("text", () => {
  const accepts = (given: z.ZodType, text: unknown): boolean => given.safeParse(text).success

  test("C23 base64 has one spelling", () => {
    for (const text of ["", "AA==", "AAA=", "AAAA", "+/+/"]) expect(accepts(base64(3), text)).toBe(true)
    for (const text of ["AB==", "AAB=", "AA", "AA=", "A", "-_-_", "AAAA\n", "AA AA", "AAAAAA==", "====", "AA==AA=="])
      expect(accepts(base64(3), text)).toBe(false)
    expect(accepts(base64Exactly(2), "AAA=")).toBe(true)
    expect(accepts(base64Exactly(2), "AA==")).toBe(false)
  })

  test("hexadecimal has one spelling", () => {
    expect(accepts(hex(2), "00ff")).toBe(true)
    for (const text of ["00FF", "00f", "00fff", "0x00", "00ff\n", "", "00fg", 0])
      expect(accepts(hex(2), text)).toBe(false)
  })

  test("64-bit numbers are decimal strings", () => {
    for (const text of ["0", "1", "18446744073709551615"]) expect(accepts(decimal64, text)).toBe(true)
    for (const text of ["00", "01", "-1", "+1", "1.0", "1e2", "18446744073709551616", "", " 1", "0x1", "٣", ":", 1])
      expect(accepts(decimal64, text)).toBe(false)
  })

  test("counts", () => {
    for (const value of [-1, 0.5, 11, NaN, Infinity, "1", null]) expect(accepts(count(10), value)).toBe(false)
    expect(accepts(count(10), 10)).toBe(true)
  })

  test("an instant is one that there is, in one spelling", () => {
    expect(accepts(instant, "2026-02-28T23:59:59.999Z")).toBe(true)
    const wrong = [
      "2026-02-30T00:00:00.000Z",
      "2026-13-01T00:00:00.000Z",
      "2026-01-01T24:00:00.000Z",
      "2026-01-01T00:00:00Z",
    ]
    for (const text of [...wrong, "2026-01-01T00:00:00.000+00:00", "2026-01-01 00:00:00.000Z"])
      expect(accepts(instant, text)).toBe(false)
  })

  test("a line holds no control character", () => {
    expect(accepts(line(5), "größe")).toBe(true)
    for (const text of ["\n", "\u0000", "\u001b[2J", "\u007f", "\u0085", "\u2028", "123456"])
      expect(accepts(line(5), text)).toBe(false)
  })

  test("what people are shown is always a line", () => {
    const hostile = ["a\nb", "\u001b[2J", "\ud834", "\udd1e\ud834", "𝄞".repeat(50), `${"a".repeat(8)}𝄞`, "\u2029"]
    for (const text of hostile) {
      const shown = plainLine(text, 10)
      expect(shown.length).toBeLessThanOrEqual(10)
      expect(shown.isWellFormed()).toBe(true)
      expect(accepts(line(10), shown)).toBe(true)
    }
    expect(plainLine("\u001b[2J", 20)).toBe("\\u001b[2J")
    expect(plainLine("𝄞 plain", 20)).toBe("𝄞 plain")
  })
})
