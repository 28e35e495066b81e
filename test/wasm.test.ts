// Is the hashing core's SHA-256 everybody's SHA-256? Judged by node:crypto, at every length and in every lane, before
// and after V8 compiles the kernels anew. The fs-verity face is judged in wasm-verity.test.ts.

import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { readFileSync } from "node:fs"
import { execPath } from "node:process"
import { fileURLToPath } from "node:url"
import { beforeAll, describe, expect, test } from "vitest"
import { build } from "../wasm/build.ts"
import { Core, openCore, sharedCore } from "../wasm/core.ts"
import { generated } from "../wasm/generate.ts"
import { createLanes, sha256Lanes, type Source, sourceOf } from "../wasm/lanes.ts"
import { selfTest } from "../wasm/selftest.ts"
import { createSha256, padding, sha256 } from "../wasm/sha256.ts"

beforeAll(build)

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url))
const native = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** A source that gives what it has in pieces of these lengths, over and over. */
function inPieces(message: Uint8Array, lengths: readonly number[]): Source {
  let at = 0
  let turn = 0
  return {
    read(into) {
      const length = lengths[turn++ % lengths.length] ?? 1
      const piece = message.subarray(at, at + Math.min(length, into.length))
      into.set(piece)
      at += piece.length
      return piece.length
    },
  }
}

describe("one message", () => {
  test("of every length from 0 to 1100 bytes, at once and in pieces", () => {
    for (let length = 0; length <= 1100; length++) {
      const message = randomBytes(length)
      const cut = (length * 7) % 97
      const pieces = createSha256().update(message.subarray(0, cut)).update(message.subarray(cut))
      expect([length, hex(sha256(message)), hex(pieces.digest())]).toEqual([length, native(message), native(message)])
    }
  })

  test("of megabytes, in pieces of every kind of length", () => {
    const message = randomBytes(3_000_017)
    for (const step of [63, 64, 65, 4095, 16_384, 16_385, 1_000_003]) {
      const hash = createSha256()
      for (let at = 0; at < message.length; at += step) hash.update(message.subarray(at, at + step))
      expect([step, hex(hash.digest())]).toEqual([step, native(message)])
    }
  })

  test("read into the core's window is hashed in place", () => {
    const core = openCore()
    const message = randomBytes(1_000_000)
    core.window.set(message)
    expect(hex(createSha256(core).update(core.window.subarray(0, 1_000_000)).digest())).toBe(native(message))
  })

  test("does not disturb another that shares its core, nor one that holds the window", () => {
    const core = openCore()
    const [one, two, other] = [randomBytes(1000), randomBytes(3000), randomBytes(200_000)]
    const lanes = createLanes([inPieces(other, [100])], core)
    const [first, second] = [createSha256(core), createSha256(core)]
    for (let i = 0; i < 10; i++) {
      first.update(one.subarray(i * 100, (i + 1) * 100))
      lanes.step()
      second.update(two.subarray(i * 300, (i + 1) * 300))
    }
    while (lanes.step());
    expect([hex(first.digest()), hex(second.digest())]).toEqual([native(one), native(two)])
    expect(lanes.digests().map(hex)).toEqual([native(other)])
  })

  test("gives its digest once", () => {
    const hash = createSha256()
    hash.digest()
    expect(() => hash.update(new Uint8Array(1))).toThrow("already taken")
    expect(() => hash.digest()).toThrow("already taken")
  })

  test("of more than 4 GiB has its length in 64 bits", () => {
    expect(hex(padding(2 ** 32 + 56)).slice(-16)).toBe("00000008000001c0")
    for (const length of [0, 55, 56, 63, 64, 2 ** 40 + 1]) expect((length + padding(length).length) % 64).toBe(0)
  })
})

describe("messages side by side", () => {
  test("of every length from 0 to 1100 bytes", () => {
    const messages = Array.from({ length: 1101 }, (_, length) => randomBytes(length))
    expect(sha256Lanes(messages).map(hex)).toEqual(messages.map(native))
  })

  test("of any number, longer than a lane's part of the window", () => {
    for (const count of [0, 1, 2, 4, 5, 7, 8, 9, 17]) {
      const messages = Array.from({ length: count }, (_, i) => randomBytes(131_000 + i * 37_501))
      expect([count, sha256Lanes(messages, sharedCore()).map(hex)]).toEqual([count, messages.map(native)])
    }
  })

  test("from sources that give less than they are asked for", () => {
    const messages = Array.from({ length: 12 }, (_, i) => randomBytes(20_000 + i * 64))
    const lanes = createLanes(messages.map((message, i) => inPieces(message, [1 + i, 64, 4096, 131_072])))
    while (lanes.step());
    expect(lanes.digests().map(hex)).toEqual(messages.map(native))
  })

  test("have no digests before the end", () => {
    const lanes = createLanes([sourceOf(randomBytes(400_000))])
    lanes.step()
    expect(() => lanes.digests()).toThrow("still under way")
  })

  test.each([-1, 0.5, Number.NaN, 200_000])("from a source that claims to have given %d bytes are refused", count => {
    const lanes = createLanes([{ read: () => count }])
    expect(() => lanes.step()).toThrow(RangeError)
  })

  test("that another hash drove out of the window cannot go on", () => {
    const core = openCore()
    const lanes = createLanes([sourceOf(randomBytes(400_000))], core)
    createLanes([], core)
    expect(() => lanes.step()).toThrow("its own core")
  })
})

describe("the core", () => {
  const module = readFileSync(path("../wasm/build/release.wasm"))

  test.each(["--liftoff-only", "--no-liftoff"])("is right in one tier of V8 alone: %s", flag => {
    execFileSync(execPath, [flag, path("./wasm-tier.ts")], { stdio: "pipe" })
  })

  test("is right before and after it is hot", () => {
    const core = openCore()
    const message = randomBytes(2_000_000)
    for (let round = 0; round < 8; round++) {
      expect(sha256Lanes([message, message, message, message, message, message], core).map(hex)).toContain(
        native(message),
      )
      expect(hex(createSha256(core).update(message).digest())).toBe(native(message))
      selfTest(core)
    }
  })

  test.each([
    ["K[63]", "f27871c6", "one stream, abc"],
    ["H(0)", "5be0cd19", "leaf 0 of 14"],
  ])("with a bit of %s flipped is not opened", (_, word, kernel) => {
    const bytes = Buffer.from(module)
    const at = bytes.indexOf(Buffer.from(word, "hex"))
    expect(at).toBeGreaterThan(0)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    expect(() => new Core(bytes)).toThrow(kernel)
  })

  test("with one wrong lane or leaf says which", () => {
    expect(() => new WrongLane(module)).toThrow("lane 5 of eight")
    expect(() => new WrongLeaf(module)).toThrow("leaf 12 of 14")
  })

  test("of other bytes is not opened", () => {
    expect(() => new Core(module.subarray(0, 1000))).toThrow()
  })

  test("has its rounds from the generator, byte for byte", () => {
    for (const [name, text] of Object.entries(generated())) {
      expect(readFileSync(path(`../wasm/assembly/${name}`), "utf8"), `run node wasm/generate.ts for ${name}`).toBe(text)
    }
  })
})

const flip = (core: Core, at: number): void => core.view.setUint8(at, core.view.getUint8(at) ^ 1)

/** The core with one bit of one lane wrong, as a miscompiled kernel would be. */
class WrongLane extends Core {
  override lanes(chains: number, inputs: number, blocks: number): void {
    super.lanes(chains, inputs, blocks)
    flip(this, chains + 5 * 32)
  }
}

/** Wrong in the fifth of the lanes that a second, incomplete group of eight fills. */
class WrongLeaf extends Core {
  override leaves(input: number, count: number, digests: number): void {
    super.leaves(input, count, digests)
    if (count > 12) flip(this, digests + 12 * 32 + 31)
  }
}
