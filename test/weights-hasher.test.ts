/** Are digests right whoever makes them, are files read when they must be and only then, and is an alarm confirmed? */
import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import {
  closeSync,
  linkSync,
  openSync,
  renameSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { alarmText, type Pair, readAgain } from "../agent/hash/again.ts"
import { DigestCache } from "../agent/hash/cache.ts"
import { confirmDifference, flatModelWith } from "../agent/hash/check.ts"
import { type Plan, planFor } from "../agent/hash/engine.ts"
import type { FileDigests } from "../agent/hash/known.ts"
import { type Engine, hashModelWith } from "../agent/hash/model.ts"
import { NativeVerity, nativeRecord } from "../agent/hash/native.ts"
import { Pool } from "../agent/hash/pool.ts"
import { hashShared, lookAt, type Round } from "../agent/hash/round.ts"
import { allowWiderInstructions } from "../agent/hash/revectorize.ts"
import { stretchRecord } from "../wasm/records.ts"
import { createVerity } from "../wasm/verity.ts"
import { fsverity, hasherWith, options, put, scratch, settled, sha256sum } from "./weights-folder.ts"

const { root, fresh } = scratch("hasher")
const never = new AbortController().signal
const quiet = (): void => undefined
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Sizes around which trees, windows, batches and pieces change. */
const sizes = [0, 1, 55, 64, 4095, 4096, 4097, 65_536, 524_288, 524_289, 1_048_576, 1_048_577, 5_000_001]

describe("the second implementation of fs-verity", () => {
  it("gives what the core and fsverity give, with the same records", () => {
    for (const size of [...sizes, 128 * 128 * 4096, 128 * 128 * 4096 + 1]) {
      const bytes = randomBytes(size)
      const native = new NativeVerity()
      for (let at = 0; at < size; at += 1 << 20) native.update(bytes.subarray(at, at + (1 << 20)))
      const found = native.digest()
      const core = createVerity().update(bytes).digest()
      expect(Buffer.from(found.digest).toString("hex")).toBe(Buffer.from(core.digest).toString("hex"))
      expect(Buffer.from(found.records).equals(core.records)).toBe(true)
      if (size <= 5_000_001) expect(Buffer.from(found.digest).toString("hex")).toBe(fsverity(put(root, "v", bytes)))
    }
  })

  it("gives the same record of a stretch", () => {
    for (const [size, length] of [
      [100, 100],
      [4096, 4096],
      [1 << 20, 524_288],
      [524_288 + 100, 100],
      [524_288 + 9000, 9000],
    ] as const) {
      const bytes = randomBytes(length)
      expect(Buffer.from(nativeRecord(size, bytes)).equals(stretchRecord(size, bytes))).toBe(true)
    }
  })

  it("refuses a piece after one that ended within a block", () => {
    const native = new NativeVerity()
    native.update(randomBytes(10))
    expect(() => native.update(randomBytes(10))).toThrow("only the last piece")
  })
})

describe("files", () => {
  const folder = fresh()
  for (const size of sizes) put(folder, `sizes/${String(size).padStart(8, "0")}`, randomBytes(size))
  for (let i = 0; i < 700; i++) put(folder, `small/${i}`, `${i}`.repeat(i * 7))

  it.each([1, 2, 3])("by %i threads: as sha256sum and fsverity have them", async workers => {
    const model = await hashModelWith(hasherWith({ workers }), "full", folder, options())
    expect(Buffer.from(model.manifest).toString("latin1")).toBe(sha256sum(folder))
    for (const { path, verity, size } of model.files.filter(({ name }) => /^sizes|[05]5$/.test(name))) {
      expect(verity).toBe(fsverity(path))
      expect(size).toBe(statSync(path).size)
    }
  })

  it.each<Engine>(["auto", "wasm", "native"])("by engine %s: SHA-256 alone, and known files again", async engine => {
    const hasher = hasherWith({ engine, workers: 2 })
    const flat = await flatModelWith(hasher, "full", folder, options())
    expect(Buffer.from(flat.manifest).toString("latin1")).toBe(sha256sum(folder))
    if (engine !== "auto")
      expect(new Set(flat.files.map(({ by }) => by))).toEqual(new Set([engine === "wasm" ? "wasm" : "node:crypto"]))
    await settled()
    const first = await hashModelWith(hasher, "full", folder, options())
    const again = await hashModelWith(hasher, "full", folder, options())
    expect(first.how).toMatchObject({ read: first.files.length })
    expect(again.how).toMatchObject({ again: first.files.length })
    expect(again.digest).toBe(first.digest)
    expect(again.engines.again).toBe((await hasher.plan()).again.by)
    if (engine !== "auto") expect(again.engines.again).toBe(engine === "wasm" ? "wasm" : "node:crypto")
  })

  it("reads past the page cache what the disk holds", async () => {
    const model = await hashModelWith(hasherWith({ reads: "direct" }), "full", folder, options())
    expect(Buffer.from(model.manifest).toString("latin1")).toBe(sha256sum(folder))
  })

  it.each(["wasm", "node:crypto"] as const)("shares one huge file among threads, by %s", async by => {
    const path = put(fresh(), "huge", "x")
    truncateSync(path, (130 << 20) + 4097)
    const file = openSync(path, "r+")
    for (const at of [63 << 20, (64 << 20) - 1, 64 << 20, 128 << 20, (130 << 20) + 4096]) writeSync(file, "y", at)
    closeSync(file)
    const pool = new Pool(3, { priority: "usual", bytesPerSecond: Infinity, core: "needed", revectorized: false })
    const round = { pool, reads: "buffered", signal: never, heard: quiet } as const
    const [target] = await lookAt(pool, [path], never)
    expect(await hashShared(round, target!, by)).toBe(fsverity(path))
    await pool.close()
  })

  it("hashes 100,000 files in one go", async () => {
    const many = fresh()
    for (let i = 0; i < 100_000; i++) {
      if (i % 1000 === 0) put(many, `${i / 1000}/0`, `${i}`)
      else linkSync(join(many, `${Math.floor(i / 1000)}/0`), join(many, `${Math.floor(i / 1000)}/${i % 1000}`))
    }
    const model = await hashModelWith(hasherWith({ workers: 2 }), "full", many, options())
    expect(model.files).toHaveLength(100_000)
    expect(model.digest).toBe(sha256(Buffer.from(sha256sum(many), "latin1")))
  })
})

describe("known files", () => {
  it("are not read in depth quick; with one digest in depth full; with both after a write", async () => {
    const folder = fresh()
    put(folder, "a", "aaaa")
    put(folder, "b", randomBytes(10_000))
    await settled()
    const hasher = hasherWith()
    const how = async (depth: "quick" | "full"): Promise<object> =>
      (await hashModelWith(hasher, depth, folder, options())).how
    expect(await how("quick")).toMatchObject({ read: 2 })
    expect(await how("quick")).toMatchObject({ known: 2 })
    expect(await how("full")).toMatchObject({ again: 2 })
    writeFileSync(join(folder, "a"), "bbbb")
    utimesSync(join(folder, "a"), 1_000_000, 1_000_000)
    await settled()
    expect(await how("quick")).toMatchObject({ read: 1, known: 1 })
    hasher.forget()
    expect(await how("quick")).toMatchObject({ again: 2 })
  })

  it("are known on disk to the next process, but never enough for depth full", async () => {
    const [folder, kept] = [fresh(), fresh()]
    put(folder, "a", "aaaa")
    await settled()
    const said: string[] = []
    const cache = new DigestCache(kept, message => void said.push(message))
    const first = await hashModelWith(hasherWith({ cache }), "quick", folder, options())
    const second = await hashModelWith(hasherWith({ cache }), "quick", folder, options())
    expect(second.how).toMatchObject({ known: 1, read: 0 })
    expect(second.digest).toBe(first.digest)
    expect((await hashModelWith(hasherWith({ cache }), "full", folder, options())).how).toMatchObject({ read: 1 })
    const doubting = hasherWith({ cache })
    doubting.forget()
    expect((await hashModelWith(doubting, "quick", folder, options())).how).toMatchObject({ read: 1 })
    expect(said).toEqual([])
  })

  it("are one file under several names, read once", async () => {
    const folder = fresh()
    put(folder, "a", randomBytes(100_000))
    execFileSync("sh", ["-c", "ln a b; ln -s a c"], { cwd: folder })
    let read = 0
    const model = await hashModelWith(
      hasherWith(),
      "full",
      folder,
      options({ progress: ({ total }) => (read = total) }),
    )
    expect(Buffer.from(model.manifest).toString("latin1")).toBe(sha256sum(folder))
    expect(read).toBe(100_000)
  })
})

describe("a known file that has other contents", () => {
  const known = { sha256: sha256(Buffer.from("weights")), verity: "", size: 7, state: "" }

  it.each(["wasm", "native"] as const)("engine %s sees it, and the other one confirms it", async engine => {
    const { pair, round, plan } = await pairOf("WEIGHTS", known, engine)
    const [by, confirmed] = engine === "wasm" ? ["wasm", "node:crypto"] : ["node:crypto", "wasm"]
    const [seen] = await readAgain(round, [pair], plan, { kind: "both", verity: "wasm" })
    expect(seen).toMatchObject({ how: "read", alarm: { by, confirmed, where: [] } })
    expect(seen?.hashed).toMatchObject({ sha256: sha256(Buffer.from("WEIGHTS")), verity: fsverity(pair.path) })
    await round.pool.close()
  })

  it("raises no alarm for what the second read does not see", async () => {
    const { pair, round, plan } = await pairOf("weights", known, "wasm")
    const right = { ...pair, known: { ...pair.known, verity: fsverity(pair.path) } }
    const [seen] = await readAgain(round, [right], plan, { kind: "both", verity: "wasm" })
    expect(seen).toMatchObject({ how: "again", alarm: "none" })
    await expect(readAgain(round, [pair], plan, { kind: "both", verity: "wasm" })).rejects.toMatchObject({
      obstacle: "unsteady",
      message: expect.stringContaining("node:crypto and the hashing core do not agree on"),
    })
    await round.pool.close()
  })

  it("is told with its places", () => {
    const alarm = {
      path: "/w",
      known,
      by: "wasm",
      confirmed: "node:crypto",
      where: [{ start: 0, end: 524_288 }],
    } as const
    expect(alarmText(alarm).message).toBe(
      "/w changed although nobody wrote to it: bytes 0 to 524287 (seen by wasm, confirmed by node:crypto)",
    )
    const many = Array.from({ length: 11 }, (_, i) => ({ start: i << 20, end: (i << 20) + 1 }))
    expect(alarmText({ ...alarm, where: many }).message).toContain(", 3 more places (seen by")
    expect(alarmText({ ...alarm, confirmed: "not" }).hint).toBe("test this machine's memory and disk")
  })
})

/** A file with these contents, of which something else is known. */
async function pairOf(
  contents: string,
  known: FileDigests,
  engine: Engine,
): Promise<{ pair: Pair; round: Round; plan: Plan }> {
  const path = put(fresh(), "w", contents)
  const pool = new Pool(1, { priority: "usual", bytesPerSecond: Infinity, core: "needed", revectorized: false })
  const [target] = await lookAt(pool, [path], never)
  const pair = { ...target!, known: { ...known, state: target!.state } }
  const plan = await hasherWith({ engine }).plan()
  return { pair, round: { pool, reads: "buffered", signal: never, heard: quiet }, plan }
}

describe("a file that is replaced while a model is read", () => {
  it("is a refusal, also when it was read already and has the same contents again", async () => {
    const folder = fresh()
    put(folder, "a", "aaaa")
    put(folder, "b", "")
    truncateSync(join(folder, "b"), 100 << 20)
    put(root, "other", "aaaa")
    let done = false
    const replace = (): void => {
      if (!done) renameSync(join(root, "other"), join(folder, "a"))
      done = true
    }
    const replaced = hashModelWith(hasherWith({ workers: 1 }), "full", folder, options({ progress: replace }))
    await expect(replaced).rejects.toMatchObject({
      obstacle: "changed",
      message: expect.stringContaining("changed while"),
    })
  })
})

describe("a check by SHA-256 alone", () => {
  it("has what differs confirmed by the other implementation, and refuses what the two do not agree on", async () => {
    const folder = fresh()
    const path = put(folder, "w", "weights")
    const hasher = hasherWith({ engine: "native" })
    const { files } = await flatModelWith(hasher, "full", folder, options())
    expect(files).toMatchObject([{ sha256: sha256(Buffer.from("weights")), by: "node:crypto" }])
    expect(await confirmDifference(hasher, files[0]!, never)).toBe("wasm")
    const wrong = { path, sha256: sha256(Buffer.from("others")), by: "wasm" } as const
    await expect(confirmDifference(hasher, wrong, never)).rejects.toMatchObject({ obstacle: "unsteady" })
  })
})

describe("engines", () => {
  const rates = (flat: number, lanes: number, wasm: number, native: number) =>
    ({ kind: "rates", flat, lanes, verity: { wasm, "node:crypto": native } }) as const

  it("auto takes what is fastest: SHA-256 where the CPU has instructions for it, else the tree of the core", () => {
    expect(planFor("auto", rates(1800, 900, 950, 1400))).toMatchObject({
      again: { kind: "flat", by: "node:crypto" },
      pieces: "node:crypto",
      flat: "node:crypto",
    })
    expect(planFor("auto", rates(450, 700, 750, 400))).toMatchObject({
      again: { kind: "verity", by: "wasm" },
      pieces: "wasm",
      flat: "lanes",
    })
  })

  it("a person's word goes before", () => {
    expect(planFor("wasm", rates(1800, 900, 950, 1400))).toMatchObject({
      again: { by: "wasm" },
      pieces: "wasm",
      flat: "lanes",
    })
    expect(planFor("native", rates(450, 700, 750, 400))).toMatchObject({
      again: { by: "node:crypto" },
      pieces: "node:crypto",
      flat: "node:crypto",
    })
  })

  it("are measured on this machine", async () => {
    const plan = await hasherWith().plan()
    expect(plan.rate).toBeGreaterThan(1e6)
    expect(plan.piecesRate).toBeGreaterThan(1e6)
  })

  it("wider instructions are refused on a Node that computes wrongly with them", () => {
    expect(() => allowWiderInstructions("24.21.0")).toThrow("wider instructions give wrong digests on Node 24.21.0")
  })
})
