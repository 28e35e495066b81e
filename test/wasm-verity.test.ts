// Is the core's fs-verity digest the one that `fsverity digest` (fsverity-utils) prints? At every boundary of blocks,
// lanes, windows, records and levels. Files above 4 GiB are judged by `node test/wasm-large.ts`, which takes half a minute.

import { execFileSync } from "node:child_process"
import { randomBytes, randomFillSync } from "node:crypto"
import { closeSync, mkdtempSync, openSync, readSync, rmSync, truncateSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { build } from "../wasm/build.ts"
import { openCore, sharedCore } from "../wasm/core.ts"
import { differences, digestOfRecords, recordBytes, STRETCH_BYTES, stretchRecord } from "../wasm/records.ts"
import { createSha256 } from "../wasm/sha256.ts"
import { createVerity, type Verity, type VerityDigest } from "../wasm/verity.ts"

beforeAll(build)

const BLOCK = 4096
const MIB = 1_048_576
const directory = mkdtempSync(join(tmpdir(), "assay-verity-"))
const file = join(directory, "file")
afterAll(() => rmSync(directory, { recursive: true }))

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const foreign = (path: string): string =>
  execFileSync("fsverity", ["digest", "--compact", path], { encoding: "utf8" }).trim()
const ours = (bytes: Uint8Array): VerityDigest => createVerity(sharedCore()).update(bytes).digest()

/** Reads a file straight into the window, asking for at most `step` bytes at a time. */
function readInto(verity: Verity, path: string, step: number): VerityDigest {
  const fd = openSync(path, "r")
  for (;;) {
    const { window } = verity
    const count = readSync(fd, window, 0, Math.min(step, window.length), null)
    if (count === 0) break
    verity.commit(count)
  }
  closeSync(fd)
  return verity.digest()
}

/** Around each boundary: blocks, lanes, the block of a level, the window, a record. */
const SIZES = [
  0,
  1,
  2,
  300,
  ...[1, 2, 5, 7, 8, 9, 127, 128, 129, 255, 256, 257, 1023, 1024, 1025, 3000].flatMap(n => [
    n * BLOCK - 1,
    n * BLOCK,
    n * BLOCK + 1,
  ]),
  12_345_678,
]

describe("the digest", () => {
  test.each(SIZES)("of %d bytes is fsverity's", size => {
    const bytes = randomBytes(size)
    writeFileSync(file, bytes)
    const seen = ours(bytes)
    expect([hex(seen.digest), seen.size]).toEqual([foreign(file), size])
    expect(seen.records.length).toBe(recordBytes(size))
    expect(hex(digestOfRecords(size, seen.records))).toBe(hex(seen.digest))
  })

  test("is fsverity's around 128 × 128 blocks, where a level is added", () => {
    const size = 128 * 128 * BLOCK
    const bytes = Buffer.alloc(size + 1)
    randomFillSync(bytes)
    writeFileSync(file, bytes)
    for (const length of [size + 1, size, size - 1]) {
      truncateSync(file, length)
      expect([length, hex(ours(bytes.subarray(0, length)).digest)]).toEqual([length, foreign(file)])
    }
  })

  test("is the same whether read into the window or copied, in pieces of any length", () => {
    const bytes = randomBytes(5 * MIB + 77)
    writeFileSync(file, bytes)
    const wanted = foreign(file)
    for (const step of [4095, 65_536, MIB, 3 * MIB]) {
      expect([step, hex(readInto(createVerity(), file, step).digest)]).toEqual([step, wanted])
      const copied = createVerity(sharedCore())
      for (let at = 0; at < bytes.length; at += step) copied.update(bytes.subarray(at, at + step))
      expect([step, hex(copied.digest().digest)]).toEqual([step, wanted])
    }
  })

  test("depends on every byte and on the size", () => {
    const bytes = randomBytes(2 * BLOCK)
    const wanted = hex(ours(bytes).digest)
    for (let at = 0; at < bytes.length; at += 61) {
      bytes[at] = (bytes[at] ?? 0) ^ 0x80
      expect(hex(ours(bytes).digest)).not.toBe(wanted)
      bytes[at] = (bytes[at] ?? 0) ^ 0x80
    }
    const zeroes = new Set([0, 1, 4095, 4096].map(size => hex(ours(new Uint8Array(size)).digest)))
    expect(zeroes.size).toBe(4)
  })
})

describe("a file under way", () => {
  test("refuses counts that its window cannot have held", () => {
    const verity = createVerity()
    for (const count of [-1, 0.5, MIB + 1, Number.NaN]) expect(() => verity.commit(count)).toThrow(RangeError)
    verity.commit(MIB - 1)
    expect(verity.window.length).toBe(1)
    expect(() => verity.commit(2)).toThrow(RangeError)
  })

  test("stops rather than go on when another took its window", () => {
    const core = openCore()
    const first = createVerity(core).update(randomBytes(100))
    createVerity(core)
    for (const use of [
      () => first.window,
      () => first.commit(1),
      () => first.update(randomBytes(1)),
      () => first.digest(),
    ]) {
      expect(use).toThrow("its own core")
    }
  })

  test("answers once", () => {
    const verity = createVerity()
    verity.digest()
    expect(() => verity.digest()).toThrow("its own core")
    expect(() => verity.update(new Uint8Array(1))).toThrow("its own core")
  })

  test("goes on beside single streams on its core", () => {
    const core = openCore()
    const bytes = randomBytes(MIB + 5)
    const verity = createVerity(core).update(bytes.subarray(0, 5000))
    createSha256(core).update(bytes).digest()
    expect(hex(verity.update(bytes.subarray(5000)).digest().digest)).toBe(hex(ours(bytes).digest))
  })
})

describe("the records", () => {
  const size = 9 * MIB + 12_345
  const bytes = randomBytes(size)

  test.each([[0], [1], [STRETCH_BYTES - 1], [STRETCH_BYTES], [4 * MIB + 5], [size - 1]])(
    "locate a changed byte %d",
    at => {
      const recorded = ours(bytes).records
      const changed = Buffer.from(bytes)
      changed[at] = (changed[at] ?? 0) ^ 1
      const start = Math.floor(at / STRETCH_BYTES) * STRETCH_BYTES
      const end = Math.min(start + STRETCH_BYTES, size)
      expect(differences(size, recorded, ours(changed).records)).toEqual([{ start, end }])
    },
  )

  test("join neighbours and are silent about equal files", () => {
    const { records } = ours(bytes)
    const changed = Buffer.from(bytes)
    for (const at of [STRETCH_BYTES * 2 - 1, STRETCH_BYTES * 2, STRETCH_BYTES * 7]) changed[at]! ^= 1
    expect(differences(size, records, ours(changed).records)).toEqual([
      { start: STRETCH_BYTES, end: STRETCH_BYTES * 3 },
      { start: STRETCH_BYTES * 7, end: STRETCH_BYTES * 8 },
    ])
    expect(differences(size, records, records)).toEqual([])
  })

  test.each([1, BLOCK, BLOCK + 1, STRETCH_BYTES, STRETCH_BYTES + 1, size])(
    "of %d bytes are found stretch by stretch",
    size => {
      const { records } = ours(bytes.subarray(0, size))
      const found: Uint8Array[] = []
      for (let at = 0; at < size; at += STRETCH_BYTES) {
        found.push(stretchRecord(size, bytes.subarray(at, Math.min(at + STRETCH_BYTES, size))))
      }
      expect(hex(Buffer.concat(found))).toBe(hex(records))
    },
  )

  test("of another size are refused", () => {
    const { records } = ours(bytes)
    expect(() => digestOfRecords(size + STRETCH_BYTES, records)).toThrow(RangeError)
    expect(() => differences(size, records, records.subarray(32))).toThrow(RangeError)
    expect(() => stretchRecord(size, new Uint8Array(STRETCH_BYTES + 1))).toThrow(RangeError)
    expect(() => stretchRecord(size, new Uint8Array(0))).toThrow(RangeError)
  })

  test("altered by a bit no longer give the digest", () => {
    const { records, digest } = ours(bytes)
    for (let at = 0; at < records.length; at += 17) {
      const altered = Buffer.from(records)
      altered[at] = (altered[at] ?? 0) ^ 1
      expect(hex(digestOfRecords(size, altered))).not.toBe(hex(digest))
    }
  })
})
