/** How is well-formed input spoilt? By bytes, by words, and by JSON values, each in a way that parsers have failed at before. */
import type { Lot } from "./lot.ts"
import type { Grammar } from "./target.ts"

/** The most bytes that an alteration makes. */
export const mostBytes = 1 << 20

type Alteration = (bytes: Uint8Array, lot: Lot, other: Uint8Array) => Uint8Array

const joined = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))

/** A place within `bytes`, and one behind it. */
function span(bytes: Uint8Array, lot: Lot): readonly [number, number] {
  const from = lot.below(bytes.length + 1)
  const most = lot.once(4) ? bytes.length - from : Math.min(16, bytes.length - from)
  return [from, from + lot.below(most + 1)]
}

/** Counts and lengths at which arithmetic turns over. */
const edges = [0, 1, 2, 4, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffffffff]

const withNumber: Alteration = (bytes, lot) => {
  const size = lot.one([1, 2, 4, 8] as const)
  if (bytes.length < size) return bytes
  const changed = Buffer.from(bytes)
  const at = lot.below(bytes.length - size + 1)
  const value = BigInt(lot.one(edges)) & ((1n << BigInt(8 * size)) - 1n)
  const number = Buffer.alloc(8)
  number.writeBigUInt64BE(value)
  const written = number.subarray(8 - size)
  changed.set(lot.once(2) ? written : written.toReversed(), at)
  return new Uint8Array(changed)
}

const byteAlterations: readonly Alteration[] = [
  (bytes, lot) => flipped(bytes, lot),
  (bytes, lot) => bytes.with(lot.below(bytes.length), lot.next() & 0xff),
  withNumber,
  (bytes, lot) => bytes.slice(0, lot.below(bytes.length)),
  (bytes, lot) => {
    const [from, to] = span(bytes, lot)
    return joined(bytes.subarray(0, from), bytes.subarray(to))
  },
  (bytes, lot) => {
    const [at] = span(bytes, lot)
    return joined(bytes.subarray(0, at), lot.bytes(lot.below(16)), bytes.subarray(at))
  },
  (bytes, lot) => {
    const [from, to] = span(bytes, lot)
    const room = Math.floor(mostBytes / (1 + to - from))
    const times = Math.min(room, lot.once(50) ? 5000 : 1 + lot.below(8))
    const again = Array.from({ length: times }, () => bytes.subarray(from, to))
    return joined(bytes.subarray(0, to), ...again, bytes.subarray(to))
  },
  (bytes, lot, other) => {
    const [from, to] = span(other, lot)
    const [at] = span(bytes, lot)
    return joined(bytes.subarray(0, at), other.subarray(from, to), bytes.subarray(at))
  },
  (bytes, lot, other) => joined(bytes.subarray(0, lot.below(bytes.length)), other.subarray(lot.below(other.length))),
]

function flipped(bytes: Uint8Array, lot: Lot): Uint8Array {
  const at = lot.below(bytes.length)
  return bytes.with(at, (bytes[at] ?? 0) ^ (1 << lot.below(8)))
}

/** What text parsers have stumbled over. */
const words = [
  ...[
    '"',
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "=",
    "\n",
    "\r\n",
    "\0",
    "\ufeff",
    "\u2028",
    "\\u0000",
    '"\\ud800"',
    "#",
  ],
  ...["-0", "1e999", "-1", "0x1", "1_0", "nan", "inf", "18446744073709551616", "9007199254740993", "true", "null"],
  ...[
    '"__proto__":',
    '"constructor":',
    '"toString"',
    '"""',
    "'''",
    "[[",
    "]]",
    ".",
    "1979-05-27T07:32:00Z",
    "\ud83d\ude00",
  ],
  "[".repeat(100),
  "{a=".repeat(200),
  "a.".repeat(300),
]

const textAlterations: readonly Alteration[] = [
  (bytes, lot) => {
    const [from, to] = span(bytes, lot)
    return joined(bytes.subarray(0, from), Buffer.from(lot.one(words)), bytes.subarray(lot.once(2) ? from : to))
  },
  (bytes, lot) => {
    const lines = Buffer.from(bytes).toString("latin1").split("\n")
    const at = lot.below(lines.length)
    const line = lines[at] ?? ""
    const put = lot.one([[], [line, line], [line.toUpperCase()], [lot.one(lines)]])
    return new Uint8Array(Buffer.from([...lines.slice(0, at), ...put, ...lines.slice(at + 1)].join("\n"), "latin1"))
  },
]

const values: readonly unknown[] = [
  ...[null, true, "", "a", 0, -1, 1.5, 2 ** 31, 2 ** 53, -0, [], {}, "0", "00", "A===", "AA==", "\u0000", "\ud800"],
  ...[
    "0".repeat(64),
    "f".repeat(64),
    "18446744073709551615",
    "18446744073709551616",
    "2026-02-30T00:00:00.000Z",
    1e300,
  ],
  "x".repeat(5000),
  Array.from({ length: 2000 }, () => 0),
]

/** One value anywhere in a document becomes another, leaves, comes twice, or changes places; the text stays in its one spelling. */
const inDocument: Alteration = (bytes, lot) => {
  try {
    const document: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"))
    return new Uint8Array(Buffer.from(JSON.stringify(altered(document, lot)) ?? "null"))
  } catch {
    return bytes // spoilt before: other alterations go on with it
  }
}

function altered(value: unknown, lot: Lot): unknown {
  if (lot.once(6) || typeof value !== "object" || value === null) return otherValue(value, lot)
  if (Array.isArray(value)) return alteredList(value, lot)
  const members = Object.entries(value)
  if (members.length === 0) return otherValue(value, lot)
  const at = lot.below(members.length)
  const [name, inner] = members[at] ?? ["", null]
  const changed: readonly [string, unknown][] = lot.one<readonly [string, unknown][]>([
    [[name, altered(inner, lot)]],
    [[name, altered(inner, lot)]],
    [[name, altered(inner, lot)]],
    [],
    [[`${name}x`, inner]],
    [[name, inner], ["extra", inner]], // biome-ignore format: one case a line
  ])
  return Object.fromEntries([...members.slice(0, at), ...changed, ...members.slice(at + 1)])
}

function alteredList(list: readonly unknown[], lot: Lot): unknown[] {
  const at = lot.below(list.length)
  const changed = lot.one([[altered(list[at], lot)], [altered(list[at], lot)], [], [list[at], list[at]]])
  return [...list.slice(0, at), ...changed, ...list.slice(at + 1)]
}

function otherValue(value: unknown, lot: Lot): unknown {
  if (typeof value === "number" && lot.once(2)) return value + lot.one([-1, 1, 0.5, 2 ** 32])
  if (typeof value !== "string" || lot.once(3)) return lot.one(values)
  const changed = lot.one(byteAlterations)(new Uint8Array(Buffer.from(`${value}0`)), lot, Buffer.from(value))
  return Buffer.from(changed)
    .toString("utf8")
    .slice(0, 1 << 16)
}

const alterationsFor: Readonly<Record<Grammar, readonly Alteration[]>> = {
  bytes: byteAlterations,
  text: [...byteAlterations, ...textAlterations, ...textAlterations, ...textAlterations],
  json: [...byteAlterations, ...textAlterations, ...Array.from({ length: 12 }, () => inDocument)],
}

/** `bytes` altered once to four times; `other` is what parts may be taken from. */
export function mutate(grammar: Grammar, bytes: Uint8Array, other: Uint8Array, lot: Lot): Uint8Array {
  const times = 1 + (lot.once(2) ? 0 : lot.below(4))
  let changed = bytes
  for (let i = 0; i < times; i++) {
    const from = changed.length === 0 ? lot.bytes(1 + lot.below(8)) : changed
    changed = lot.one(alterationsFor[grammar])(from, lot, other).subarray(0, mostBytes)
  }
  return changed
}
