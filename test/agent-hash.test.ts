/** Is a model's digest what coreutils and fsverity say, and is whatever cannot be hashed for certain refused? */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  appendFileSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeEach, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { type HashedModel, hashModel, hashModelWith, type HashOptions, type Progress } from "../agent/hash/model.ts"
import { CannotHash } from "../agent/hash/tree.ts"

const root = mkdtempSync(join(tmpdir(), "assay-hash-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let folder: string
let number = 0
beforeEach(() => {
  folder = join(root, String(number++))
  mkdirSync(folder)
})

const options = (more: Partial<HashOptions> = {}): HashOptions => ({
  engine: "auto",
  links: "own",
  signal: new AbortController().signal,
  progress: () => undefined,
  ...more,
})
const hash = (path: string): Promise<HashedModel> => hashModel(path, options())

const put = (name: string | Buffer, content: string | Buffer): void => {
  const path = Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name)])
  mkdirSync(path.subarray(0, path.lastIndexOf(0x2f)), { recursive: true })
  writeFileSync(path, content)
}

/** What coreutils print over the files of `at`, in byte order of their paths. */
const sha256sum = (at: string): Buffer =>
  execFileSync("sh", ["-c", "find . ! -type d -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum --"], {
    cwd: at,
    maxBuffer: 1 << 26,
  })
const fsverity = (path: string): string => execFileSync("fsverity", ["digest", "--compact", path]).toString().trim()

async function refusal(path: string): Promise<CannotHash> {
  const error: unknown = await hash(path).then(
    () => undefined,
    reason => reason,
  )
  if (error instanceof CannotHash) return error
  throw new Error(`not refused: ${String(error)}`)
}

describe("manifest and digest", () => {
  it("is what sha256sum prints over a folder, in byte order of paths", async () => {
    for (const [i, name] of ["b", "a.b", "a/b", "a-b", "a b", "ä", "-n", "a/c/d", "A", ".hidden/x"].entries())
      put(name, `content ${i}`)
    const model = await hash(folder)
    expect(Buffer.from(model.manifest).toString()).toBe(sha256sum(folder).toString())
    expect(model.digest).toBe(createHash("sha256").update(sha256sum(folder)).digest("hex"))
    expect(model.engines).toEqual({ sha256: "node:crypto", verity: "wasm", again: "none" })
  })

  it("escapes the names that sha256sum escapes, and takes bytes that are no UTF-8", async () => {
    for (const name of ["back\\slash", "new\nline", "carriage\rreturn", "tab\there", "both\\\n"]) put(name, name)
    put(Buffer.from([0x66, 0xff, 0xfe]), "not UTF-8")
    expect(Buffer.from((await hash(folder)).manifest).toString("latin1")).toBe(sha256sum(folder).toString("latin1"))
  })

  it("names a single file by its base name", async () => {
    put("model.gguf", "GGUF")
    const printed = execFileSync("sha256sum", ["model.gguf"], { cwd: folder }).toString()
    expect(Buffer.from((await hash(`${folder}/model.gguf`)).manifest).toString()).toBe(printed)
  })

  it("gives what fsverity prints, at the sizes where its tree changes", async () => {
    const sizes = [0, 1, 4095, 4096, 4097, 524_288, 524_289, 1_048_576, 1_052_673, 5_000_000]
    for (const size of sizes) put(`size-${size}`, Buffer.alloc(size, size % 251))
    const model = await hash(folder)
    expect(model.files).toHaveLength(sizes.length)
    for (const { name, verity } of model.files) expect(verity).toBe(fsverity(join(folder, name)))
    expect(model.bytes).toBe(sizes.reduce((sum, size) => sum + size, 0))
  })

  it("differs when a file is renamed, and not when it is linked under the same name", async () => {
    put("one/w", "weights")
    put("two/v", "weights")
    mkdirSync(`${folder}/three`)
    linkSync(`${folder}/one/w`, `${folder}/three/w`)
    const [one, two, three] = await Promise.all(["one", "two", "three"].map(each => hash(`${folder}/${each}`)))
    expect(one?.digest).not.toBe(two?.digest)
    expect(one?.digest).toBe(three?.digest)
  })
})

describe("links", () => {
  it("counts a link to a file of the model as that file, as sha256sum does, and tells where it leads", async () => {
    put("real/weights", "weights")
    symlinkSync("real/weights", `${folder}/model.safetensors`)
    const model = await hash(folder)
    expect(Buffer.from(model.manifest).toString()).toBe(sha256sum(folder).toString())
    expect(model.files.map(({ link }) => link)).toEqual(["real/weights", ""])
  })

  it("refuses one that leads out of the folder, by however many links, unless that is allowed", async () => {
    put("outside", "weights")
    mkdirSync(`${folder}/model`)
    symlinkSync("second", `${folder}/model/first`)
    symlinkSync("../outside", `${folder}/model/second`)
    expect((await refusal(`${folder}/model`)).message).toMatch(/(first|second) leads out of the model, to .*outside$/)
    const model = await hashModel(`${folder}/model`, options({ links: "anywhere" }))
    expect(Buffer.from(model.manifest).toString()).toBe(sha256sum(`${folder}/model`).toString())
  })

  it("refuses a link to nothing, one to a folder, and one that leads to itself", async () => {
    put("w", "weights")
    mkdirSync(`${folder}/real`)
    for (const [target, said] of [
      ["nowhere", "is a link to nothing"],
      ["real", "is a link to a folder"],
      ["link", "cannot be read (ELOOP)"],
    ] as const) {
      symlinkSync(target, `${folder}/link`)
      expect((await refusal(folder)).message).toContain(said)
      rmSync(`${folder}/link`)
    }
  })
})

describe("what cannot be hashed", () => {
  it("is refused: nothing there, no file, a FIFO, a socket, a file that gives an error", async () => {
    expect(await refusal(`${folder}/missing`)).toMatchObject({ obstacle: "absent" })
    expect((await refusal(folder)).message).toContain("holds no file")
    put("w", "weights")
    spawnSync("mkfifo", [`${folder}/fifo`])
    expect((await refusal(folder)).message).toContain("fifo is neither a file nor a folder")
    rmSync(`${folder}/fifo`)
    const server = createServer().listen(`${folder}/socket`)
    await new Promise(resolve => server.once("listening", resolve))
    expect((await refusal(folder)).message).toContain("socket is neither a file nor a folder")
    await new Promise(resolve => server.close(resolve))
    const refused = await refusal("/proc/self/mem")
    expect(refused).toMatchObject({ obstacle: "unreadable", code: "EIO" })
    expect(refused.message).toMatch(/^the kernel refuses to read \/proc\/\d+\/mem \(EIO\): .*fs-verity.*disk/)
    expect(refused.hint).toContain("restore it")
  })

  it("is refused when it changes while it is read, and when a file joins", async () => {
    put("large", "")
    truncateSync(`${folder}/large`, 200 << 20)
    const append = once(() => appendFileSync(`${folder}/large`, "x"))
    await expect(hashModel(folder, options({ progress: append }))).rejects.toMatchObject({ obstacle: "changed" })
    const join = once(() => put("late", "x"))
    await expect(hashModel(folder, options({ progress: join }))).rejects.toMatchObject({ obstacle: "changed" })
  })
})

/** Calls `then` at the first progress within a file. */
function once(then: () => void): (progress: Progress) => void {
  let done = false
  return ({ done: bytes }) => {
    if (done || bytes === 0) return
    done = true
    then()
  }
}

describe("a hasher", () => {
  it("does not read again, in depth quick, what nobody wrote to; and reads everything in depth full", async () => {
    const file = "node_modules/zod/package.json"
    const hasher = new Hasher()
    const reads = await readsOf(hasher, file, ["quick", "quick", "full"])
    expect(reads).toEqual([true, false, true])
    hasher.forget()
    expect(await readsOf(hasher, file, ["quick"])).toEqual([true])
    await hasher.close()
  })

  it("sees a change behind the same size and modification time", async () => {
    put("w", "aaaa")
    utimesSync(`${folder}/w`, 1_000_000, 1_000_000)
    const hasher = new Hasher()
    const before = await hashModelWith(hasher, "quick", folder, options())
    put("w", "bbbb")
    utimesSync(`${folder}/w`, 1_000_000, 1_000_000)
    const after = await hashModelWith(hasher, "quick", folder, options())
    await hasher.close()
    expect(after.digest).not.toBe(before.digest)
  })

  it("stops in the middle of a file when it is aborted, and goes on with the next", async () => {
    put("large", "")
    truncateSync(`${folder}/large`, 8 * 2 ** 30)
    put("small/w", "weights")
    const hasher = new Hasher()
    const abort = new AbortController()
    const aborted = hashModelWith(
      hasher,
      "full",
      folder,
      options({ signal: abort.signal, progress: once(() => abort.abort(new Error("enough"))) }),
    )
    await expect(aborted).rejects.toThrow("enough")
    const next = await hashModelWith(hasher, "full", `${folder}/small`, options())
    expect(next.files).toHaveLength(1)
    await hasher.close()
  })
})

/** Whether each request for `file` read it: its last access is told by the kernel as bytes read by this process. */
async function readsOf(hasher: Hasher, file: string, depths: readonly ("quick" | "full")[]): Promise<boolean[]> {
  const reads: boolean[] = []
  for (const depth of depths) {
    await hasher.file({ path: Buffer.from("LICENSE") }, "full", new AbortController().signal, () => undefined)
    const before = bytesRead()
    await hasher.file({ path: Buffer.from(file) }, depth, new AbortController().signal, () => undefined)
    reads.push(bytesRead() - before >= readFileSync(file).length)
  }
  return reads
}

const bytesRead = (): number => Number(/rchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))?.[1])
