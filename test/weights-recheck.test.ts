/** Is every byte read again in time and order, is damage found, located and told, and does a write call for a measurement? */
import { execFileSync, spawnSync } from "node:child_process"
import { randomBytes } from "node:crypto"
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, describe, expect, it } from "vitest"
import { DigestCache } from "../agent/hash/cache.ts"
import { type GuardParts, WeightsGuard } from "../agent/hash/guard.ts"
import type { Hasher } from "../agent/hash/hasher.ts"
import { isStill } from "../agent/hash/measured.ts"
import { type HashedModel, hashModelWith } from "../agent/hash/model.ts"
import { Pool } from "../agent/hash/pool.ts"
import { Recheck, type RecheckParts } from "../agent/hash/recheck.ts"
import { fingerprintOf, portionsOf, readWalk, shuffled, writeWalk } from "../agent/hash/walk.ts"
import { watchWeights } from "../agent/hash/watch.ts"
import { hasherWith, options, put, scratch, settled, until } from "./weights-folder.ts"

const { root, fresh } = scratch("recheck")
const never = new AbortController().signal
const quiet = (): undefined => undefined

async function measured(folder: string, hasher: Hasher): Promise<HashedModel> {
  const model = await hashModelWith(hasher, "quick", folder, options())
  hasher.models.keep("m", { path: folder, links: "own", model })
  return model
}

type Told = { readonly said: string[]; readonly damaged: string[]; readonly changed: string[] }

function recheckOf(hasher: Hasher, more: Partial<RecheckParts["settings"]> = {}): { recheck: Recheck; told: Told } {
  const told: Told = { said: [], damaged: [], changed: [] }
  const settings = {
    period: 1200,
    rate: Infinity,
    reads: "buffered",
    path: join(fresh(), "walk.json"),
    ...more,
  } as const
  const recheck = new Recheck({
    hasher,
    settings,
    now: Date.now,
    say: message => void told.said.push(message),
    damaged: name => void told.damaged.push(name),
    changed: name => void told.changed.push(name),
  })
  return { recheck, told }
}

/** Runs walks until at least one has come to its end. */
async function walk(recheck: Recheck): Promise<void> {
  const end = new AbortController()
  const running = recheck.run(end.signal)
  const seen = new Set<number>()
  await until(() => {
    if (recheck.status.state === "under way") seen.add(recheck.status.begun)
    return seen.size > 1 || (recheck.status.state === "done" && recheck.status.until > Date.now())
  })
  end.abort()
  await running
}

describe("the order of a walk", () => {
  it("has every number once, another with another seed, the same with the same", () => {
    const order = shuffled(1000, 7)
    expect([...order].toSorted((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i))
    expect(shuffled(1000, 7)).toEqual(order)
    expect(shuffled(1000, 8)).not.toEqual(order)
    expect([...shuffled(0, 1)]).toEqual([])
  })

  it("is in pieces of 64 MiB, every byte in one of them", async () => {
    const folder = fresh()
    truncateSync(put(folder, "large", ""), (130 << 20) + 5)
    put(folder, "small", "weights")
    put(folder, "empty", "")
    const hasher = hasherWith({ engine: "native" })
    await measured(folder, hasher)
    const portions = portionsOf(hasher.models.all())
    expect(portions.map(({ file, start, end }) => [file.name, start, end])).toEqual([
      ["large", 0, 64 << 20],
      ["large", 64 << 20, 128 << 20],
      ["large", 128 << 20, (130 << 20) + 5],
      ["small", 0, 7],
    ])
    expect(fingerprintOf(portions)).not.toBe(fingerprintOf(portions.slice(1)))
  })

  it("is kept over a restart; what is no walk is none", async () => {
    const path = join(fresh(), "walk.json")
    expect(await readWalk(path)).toBe("none")
    const walk = { format: "assay-walk-v1", portions: "ab", seed: 1, done: 2, begun: 3, reads: "direct" } as const
    await writeWalk(path, walk)
    expect(await readWalk(path)).toEqual(walk)
    for (const text of ["", "{}", "x".repeat(5000), JSON.stringify({ ...walk, done: -1 })]) {
      writeFileSync(path, text)
      expect(await readWalk(path)).toBe("none")
    }
  })
})

describe("reading again", () => {
  it("reads every byte, in two ways in turn, and finds nothing on an unchanged model", async () => {
    const folder = fresh()
    put(folder, "a", randomBytes(3 << 20))
    put(folder, "b", "weights")
    const hasher = hasherWith()
    await measured(folder, hasher)
    const { recheck, told } = recheckOf(hasher, { reads: "alternate", period: 300 })
    const seen = new Set<string>()
    const end = new AbortController()
    const running = recheck.run(end.signal)
    await until(() => {
      if (recheck.status.state === "under way") seen.add(recheck.status.reads)
      return seen.size === 2 && recheck.status.state === "done"
    })
    expect(recheck.status).toMatchObject({ done: (3 << 20) + 7, total: (3 << 20) + 7 })
    end.abort()
    await running
    expect(told).toEqual({ said: [], damaged: [], changed: [] })
  })

  it("goes on where it was after a restart, and does not begin anew before its time", async () => {
    const folder = fresh()
    for (let i = 0; i < 40; i++) put(folder, `f${i}`, randomBytes(1000))
    const hasher = hasherWith()
    await measured(folder, hasher)
    const path = join(fresh(), "walk.json")
    const first = recheckOf(hasher, { period: 8000, path }).recheck
    const end = new AbortController()
    const running = first.run(end.signal)
    await until(() => first.status.state === "under way" && first.status.done >= 10_000)
    const begun = first.status.state === "under way" ? first.status.begun : 0
    end.abort()
    await running
    const kept = await readWalk(path)
    expect(kept !== "none" && kept.begun === begun && kept.done >= 10).toBe(true)
    const second = recheckOf(hasher, { period: 8000, path }).recheck
    const over = new AbortController()
    const again = second.run(over.signal)
    await until(() => second.status.state === "under way")
    expect(second.status).toMatchObject({ begun })
    expect(second.status.state === "under way" && second.status.done >= 10_000).toBe(true)
    await until(() => second.status.state === "done")
    expect(second.status).toMatchObject({ begun, until: begun + 8000 })
    over.abort()
    await again
  })

  it("tells of a file that was written to or is gone: it is to be measured, and is no damage", async () => {
    for (const change of ["write", "remove"] as const) {
      const folder = fresh()
      const path = put(folder, "a", "weights")
      const hasher = hasherWith()
      await measured(folder, hasher)
      if (change === "write") writeFileSync(path, "WEIGHTS")
      else rmSync(path)
      const { recheck, told } = recheckOf(hasher)
      await walk(recheck)
      expect([told.said, told.damaged, new Set(told.changed)]).toEqual([[], [], new Set(["m"])])
    }
  })

  it("finds contents that are not the known ones, confirmed by the other implementation", async () => {
    const folder = fresh()
    const path = put(folder, "a", randomBytes(2 << 20))
    const cache = new DigestCache(fresh(), quiet)
    const hasher = hasherWith({ cache, engine: "wasm" })
    const model = await measured(folder, hasher)
    // the file as it would be known, had its bytes been others: of those the records are kept too
    const other = put(fresh(), "a", readFileSync(path).fill(0, 1_500_000, 1_500_001))
    const [as] = await hasher.files([other], "full", never, quiet)
    const files = model.files.map(file => ({ ...file, sha256: as?.sha256 ?? "", verity: as?.verity ?? "" }))
    hasher.models.keep("m", { path: folder, links: "own", model: { ...model, files, digest: "" } })
    const { recheck, told } = recheckOf(hasher)
    await walk(recheck)
    expect(new Set(told.damaged)).toEqual(new Set(["m"]))
    expect(new Set(told.said)).toEqual(
      new Set([
        `m: ${path} changed although nobody wrote to it: bytes 1048576 to 1572863 (seen by wasm, confirmed by node:crypto)`,
      ]),
    )
    expect((await hashModelWith(hasher, "quick", folder, options())).how).toMatchObject({ read: 1 })
  })

  it("takes no more bytes in a second than it may, and ends at once when it is told to", async () => {
    const folder = fresh()
    truncateSync(put(folder, "a", ""), 40 << 20)
    const hasher = hasherWith()
    await measured(folder, hasher)
    const { recheck } = recheckOf(hasher, { rate: 1 << 20 })
    const end = new AbortController()
    const running = recheck.run(end.signal)
    await delay(500)
    expect(recheck.status.state).toBe("under way")
    end.abort()
    await running
  })
})

describe("a thread for the background", () => {
  it("has the lowest priority for CPU and disk, and no other thread has", async () => {
    const threads: string[] = []
    for (const priority of ["idle", "usual"] as const) {
      const pool = new Pool(1, { priority, bytesPerSecond: Infinity, core: "needed", revectorized: false })
      const [answer] = await pool.run({ kind: "who" }, never, quiet)
      const thread = answer?.kind === "who" ? answer.thread : ""
      const nice = (): string =>
        readFileSync(`/proc/self/task/${thread}/stat`, "utf8").split(") ")[1]?.split(" ")[16] ?? ""
      const io = (): string => execFileSync("ionice", ["-p", thread]).toString().trim()
      if (priority === "idle") await until(() => io() === "idle")
      threads.push(`${nice()} ${io().split(":")[0] ?? ""}`)
      await pool.close()
    }
    expect(threads[0]).toBe("19 idle")
    expect(threads[1]).not.toMatch(/^19|idle/)
  })
})

describe("a watch", () => {
  const soon = { quiet: 50, patience: 500, every: 60_000 }

  it.each([
    ["a write", (folder: string) => writeFileSync(join(folder, "deep/w"), "WEIGHTS")],
    ["a new file", (folder: string) => writeFileSync(join(folder, "new"), "x")],
    ["a file that goes", (folder: string) => rmSync(join(folder, "deep/w"))],
    [
      "a file in place of another",
      (folder: string) => renameSync(put(root, "same", "weights"), join(folder, "deep/w")),
    ],
  ])("tells of %s", async (_, change) => {
    const folder = fresh()
    put(folder, "a", "a")
    put(folder, "deep/w", "weights")
    const hasher = hasherWith()
    await measured(folder, hasher)
    const names: string[] = []
    const watch = watchWeights(hasher, changed => names.push(...changed), soon)
    change(folder)
    await until(() => names.length > 0)
    expect(new Set(names)).toEqual(new Set(["m"]))
    await watch.close()
  })

  it("tells nothing of reads, and of other files in the same place", async () => {
    const folder = fresh()
    put(folder, "m/w", "weights")
    const hasher = hasherWith()
    await measured(join(folder, "m/w"), hasher)
    const names: string[] = []
    const watch = watchWeights(hasher, changed => names.push(...changed), soon)
    readFileSync(join(folder, "m/w"))
    put(folder, "m/other", "x")
    await delay(400)
    expect(names).toEqual([])
    await watch.close()
  })

  it("sees by the clock what nothing told of", async () => {
    const folder = fresh()
    put(folder, "w", "weights")
    const hasher = hasherWith()
    await measured(folder, hasher)
    writeFileSync(join(folder, "w"), "WEIGHTS")
    const names: string[] = []
    const watch = watchWeights(hasher, changed => names.push(...changed), { ...soon, every: 100 })
    await until(() => names.length > 0)
    await watch.close()
  })

  it("compares states alone", async () => {
    const folder = fresh()
    put(folder, "w", "weights")
    const hasher = hasherWith()
    const model = await measured(folder, hasher)
    const known = { path: folder, links: "own", model } as const
    expect(await isStill(hasher, known, never)).toBe(true)
    put(folder, "w", "weights")
    expect(await isStill(hasher, known, never)).toBe(false)
    rmSync(folder, { recursive: true })
    expect(await isStill(hasher, known, never)).toBe(false)
  })
})

describe("a guard", () => {
  it("has what changed measured, once at a time, and one time more for what changed meanwhile", async () => {
    const folder = fresh()
    put(folder, "w", "weights")
    const hasher = hasherWith()
    await measured(folder, hasher)
    let [running, most, count] = [0, 0, 0]
    const measure = async (): Promise<void> => {
      most = Math.max(most, ++running)
      await delay(200)
      await measured(folder, hasher)
      running--
      count++
    }
    const said: string[] = []
    const hash = { workers: 1, engine: "auto", revectorize: false, recheck: 1, rate: 0, reads: "buffered" } as const
    const parts: GuardParts = {
      hasher,
      configuration: { state: fresh(), hash },
      measure,
      now: Date.now,
      say: message => void said.push(message),
    }
    const guard = new WeightsGuard(parts, { quiet: 20, patience: 100, every: 60_000 })
    for (let i = 0; i < 5; i++) {
      writeFileSync(join(folder, "w"), `weights ${i}`)
      await delay(60)
    }
    await until(
      () =>
        guard.status.state !== "nothing to read" && running === 0 && hasher.models.all().get("m")?.model.bytes === 9,
    )
    await guard.close()
    expect([most, count > 0 && count < 5]).toEqual([1, true])
    expect(said.every(line => line === "m: changed, and is measured anew")).toBe(true)
  })
})

const image = join(root, "disk.img")
const mounted = join(root, "disk")
const canMount = process.geteuid?.() === 0 && prepareDisk()

/** A file system of our own on a loop device. */
function prepareDisk(): boolean {
  mkdirSync(mounted)
  writeFileSync(image, "")
  truncateSync(image, 32 << 20)
  if (spawnSync("mkfs.ext4", ["-q", "-F", "-b", "4096", image]).status !== 0) return false
  return spawnSync("mount", ["-o", "loop,sync", image, mounted]).status === 0
}

describe.runIf(canMount)("a disk that changes by itself", () => {
  afterAll(() => execFileSync("umount", [mounted]))

  it("is seen below the page cache and not above it, located, and measured as it is now", async () => {
    const path = put(mounted, "m/w", randomBytes(3 << 20))
    await settled()
    const cache = new DigestCache(fresh(), quiet)
    const hasher = hasherWith({ cache, reads: "direct" })
    const before = await measured(join(mounted, "m"), hasher)
    const { state } = (await hasher.look([path], never))[0] ?? {}
    flipOnDisk(readFileSync(path), 2_000_000)

    const buffered = recheckOf(hasher, { reads: "buffered" })
    await walk(buffered.recheck)
    expect(buffered.told).toEqual({ said: [], damaged: [], changed: [] })

    const direct = recheckOf(hasher, { reads: "direct" })
    await walk(direct.recheck)
    expect([new Set(direct.told.damaged), direct.told.changed]).toEqual([new Set(["m"]), []])
    expect(direct.told.said[0]).toMatch(/changed although nobody wrote to it: bytes 1572864 to 2097151 \(seen by/)

    const after = await measured(join(mounted, "m"), hasher)
    expect((await hasher.look([path], never))[0]?.state).toBe(state)
    expect(after.how).toMatchObject({ read: 1 })
    expect(after.digest).not.toBe(before.digest)
    expect(statSync(path).size).toBe(3 << 20)
  })
})

/** Finds the file's bytes in the image, and flips one of them there. */
function flipOnDisk(contents: Buffer, at: number): void {
  const block = contents.subarray(at - (at % 4096), at - (at % 4096) + 4096)
  const file = openSync(image, "r+")
  const bytes = Buffer.alloc(32 << 20)
  readSync(file, bytes, 0, bytes.length, 0)
  const found = bytes.indexOf(block)
  expect(found).toBeGreaterThan(0)
  const place = found + (at % 4096)
  writeSync(file, Buffer.from([(bytes[place] ?? 0) ^ 1]), 0, 1, place)
  closeSync(file)
}
