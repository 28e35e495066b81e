/** Is a cache of digests believed only as long as it is whole, ours, and of the file that is there? */
import { createHash, randomBytes } from "node:crypto"
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { DigestCache, ownCache } from "../agent/hash/cache.ts"
import type { FileDigests } from "../agent/hash/known.ts"
import { createVerity } from "../wasm/verity.ts"
import { hashModelWith } from "../agent/hash/model.ts"
import { hasherWith, options, put, scratch, settled } from "./weights-folder.ts"

const { fresh } = scratch("cache")
const entry = (i: number): FileDigests => ({
  sha256: createHash("sha256").update(`a${i}`).digest("hex"),
  verity: createHash("sha256").update(`b${i}`).digest("hex"),
  size: i,
  state: `1:${i}:${i}:1700000000000000000:1700000000000000000`,
})
const entries = [1, 2, 3].map(entry)

async function kept(): Promise<{ cache: DigestCache; said: string[]; folder: string; file: string }> {
  const folder = join(fresh(), "digests")
  const said: string[] = []
  const cache = new DigestCache(folder, message => void said.push(message))
  await cache.save("/srv/model", entries)
  return { cache, said, folder, file: join(folder, readdirSync(folder)[0] ?? "") }
}

describe("digests on disk", () => {
  it("are given back for the same model alone, and only we may read them", async () => {
    const { cache, said, folder, file } = await kept()
    expect(await cache.load("/srv/model")).toEqual(entries)
    expect(await cache.load("/srv/other")).toEqual([])
    expect([statSync(folder).mode & 0o777, statSync(file).mode & 0o777]).toEqual([0o700, 0o600])
    await cache.discard("/srv/model")
    expect(await cache.load("/srv/model")).toEqual([])
    expect(said).toEqual([])
  })

  it("count as none when any byte is altered, or the end is cut off", async () => {
    const { cache, said, file } = await kept()
    const whole = readFileSync(file)
    for (let at = 0; at < whole.length; at++) {
      const altered = Buffer.from(whole)
      altered[at] = (altered[at] ?? 0) ^ 1
      writeFileSync(file, altered)
      expect(await cache.load("/srv/model")).toEqual([])
      writeFileSync(file, whole.subarray(0, at))
      expect(await cache.load("/srv/model")).toEqual([])
    }
    expect(said).toHaveLength(2 * whole.length)
    expect(said[0]).toMatch(/\.digests is damaged and counts as empty: the model is read again$/)
  })

  it("count as none when they are of another version, or sealed and not digests", async () => {
    const { cache, file } = await kept()
    for (const text of ["assay digests 2\n", "assay digests 1\nx\n", `assay digests 1\n1:2 ${"a".repeat(64)}\n`, ""]) {
      writeFileSync(file, `${text}sha256:${createHash("sha256").update(text).digest("hex")}\n`)
      expect(await cache.load("/srv/model")).toEqual([])
    }
  })

  it("count as none when others may write them, or they are a link", async () => {
    const { cache, said, file } = await kept()
    chmodSync(file, 0o620)
    expect(await cache.load("/srv/model")).toEqual([])
    chmodSync(file, 0o600)
    const copy = `${file}.copy`
    writeFileSync(copy, readFileSync(file), { mode: 0o600 })
    rmSync(file)
    symlinkSync(copy, file)
    expect(await cache.load("/srv/model")).toEqual([])
    expect(said).toEqual([
      expect.stringContaining("is not as this program keeps it"),
      expect.stringContaining("cannot be read (ELOOP)"),
    ])
  })

  it("that cannot be kept cost time, and are no error", async () => {
    const said: string[] = []
    const place = join(put(fresh(), "file", ""), "digests")
    const cache = new DigestCache(place, message => void said.push(message))
    await cache.save("/srv/model", entries)
    expect(await cache.load("/srv/model")).toEqual([])
    expect(said).toEqual([
      `digests are not kept in ${place} (ENOTDIR): the next time every byte is read again`,
      expect.stringContaining("cannot be read (ENOTDIR)"),
    ])
  })

  it("go when nobody asked for them in half a year, and nothing else goes", async () => {
    const { cache, folder, file } = await kept()
    const another = new DigestCache(folder, () => undefined)
    await another.save("/srv/went", entries)
    const went = readdirSync(folder).find(name => join(folder, name) !== file) ?? ""
    const foreign = ["notes.txt", "digests", `${"a".repeat(63)}.records`]
    const left = [`${"a".repeat(64)}.records`, `${"b".repeat(32)}.digests.4711`]
    for (const name of [...foreign, ...left]) writeFileSync(join(folder, name), "")
    const old = new Date(Date.now() - 200 * 86_400_000)
    for (const name of readdirSync(folder)) utimesSync(join(folder, name), old, old)
    expect(await cache.load("/srv/model")).toEqual(entries)
    await new DigestCache(folder, () => undefined).save("/srv/third", entries)
    expect(readdirSync(folder)).toEqual(expect.arrayContaining([...foreign, file.slice(folder.length + 1)]))
    expect(readdirSync(folder)).toHaveLength(foreign.length + 2)
    expect(existsSync(join(folder, went))).toBe(false)
  })

  it("lie where the XDG specification has them", () => {
    expect(ownCache({ XDG_CACHE_HOME: "/c" })).toBe("/c/assay/digests")
    expect(ownCache({ XDG_CACHE_HOME: "relative" })).toMatch(/\/\.cache\/assay\/digests$/)
  })
})

describe("records on disk", () => {
  it("are proved by the digest of their file: altered, they count as absent", async () => {
    const { cache, said, folder } = await kept()
    const { digest, records, size } = createVerity()
      .update(randomBytes(3 << 20))
      .digest()
    const file = { verity: Buffer.from(digest).toString("hex"), size }
    expect(await cache.records(file)).toBe("none")
    await cache.saveRecords(file, records)
    expect(await cache.records(file)).toEqual(new Uint8Array(records))
    const place = join(folder, `${file.verity}.records`)
    const bytes = readFileSync(place)
    bytes[100] = (bytes[100] ?? 0) ^ 1
    writeFileSync(place, bytes)
    expect(await cache.records(file)).toBe("none")
    expect(said).toEqual([expect.stringContaining("is damaged and counts as absent")])
    expect(existsSync(place)).toBe(false)
  })

  it("are not kept of files that have one at most", async () => {
    const { cache, folder } = await kept()
    await cache.saveRecords({ verity: "ab".repeat(32), size: 524_288 }, new Uint8Array(32))
    expect(readdirSync(folder)).toHaveLength(1)
  })
})

describe("a model that was hashed by another process", () => {
  it("is read where its file changed, and believed where it did not", async () => {
    const [folder, place] = [fresh(), fresh()]
    put(folder, "a", "aaaa")
    const changing = put(folder, "b", "bbbb")
    await settled()
    const cache = (): DigestCache => new DigestCache(place, message => expect(message).toBe("nothing to say"))
    await hashModelWith(hasherWith({ cache: cache() }), "quick", folder, options())
    writeFileSync(changing, "BBBB")
    await settled()
    const second = await hashModelWith(hasherWith({ cache: cache() }), "quick", folder, options())
    expect(second.how).toMatchObject({ known: 1, read: 1 })
    const third = await hashModelWith(hasherWith({ cache: cache() }), "quick", folder, options())
    expect(third.how).toMatchObject({ known: 2 })
    expect(third.digest).toBe(second.digest)
  })

  it("is not kept as long as its files are so young that a write need not show", async () => {
    const [folder, place] = [fresh(), join(fresh(), "digests")]
    put(folder, "a", "aaaa")
    const cache = new DigestCache(place, () => undefined)
    await hashModelWith(hasherWith({ cache }), "quick", folder, options())
    expect(existsSync(place)).toBe(false)
  })
})
