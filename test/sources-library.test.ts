/** What is told of libraries and of Python's packages: names, versions, digests, and whether the files are those recorded. */
import { createHash } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, nat, property, uint8Array } from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { Host } from "../agent/host.ts"
import { sonameOf } from "../agent/sources/cuda/elf.ts"
import { inMaps } from "../agent/sources/process/maps.ts"
import { entriesIn } from "../agent/sources/python/package.ts"
import { contextOf, measured, on, subject, valuesOf } from "./hosts.ts"

const hasher = new Hasher()
const scratch = mkdtempSync(join(tmpdir(), "assay-library-"))
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

describe("a library", () => {
  /** What this very process has mapped: the C library of this machine and its kin. */
  const real = inMaps(readFileSync("/proc/self/maps")).filter(({ path }) =>
    /\/lib(?:c|m|pthread|dl)\.so\.\d$/.test(path),
  )

  it("tells what it calls itself, as the linker found it by that name", async () => {
    expect(real.length).toBeGreaterThan(1)
    for (const { path } of real)
      expect(await sonameOf(new Host("/"), path)).toEqual({ state: "present", value: path.split("/").at(-1) })
    expect((await sonameOf(new Host("/"), process.execPath)).state).toBe("absent")
  })

  it("breaks nothing when it is cut or altered anywhere", async () => {
    const original = readFileSync(real[0]?.path ?? "")
    const host = new Host(scratch)
    const states = ["present", "absent", "unreadable"]
    for (let size = 0; size < 200; size += 7) {
      writeFileSync(join(scratch, "cut.so"), original.subarray(0, size))
      expect(states).toContain((await sonameOf(host, "/cut.so")).state)
    }
    for (let at = 0; at < 1000; at += 3) {
      const altered = Buffer.from(original.subarray(0, 1 << 16))
      altered[at] = 0xff
      writeFileSync(join(scratch, "altered.so"), altered)
      expect(states).toContain((await sonameOf(host, "/altered.so")).state)
    }
  })

  it("of Python's packages is found, by digest", async () => {
    const path = "/opt/vllm/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12"
    const found = subject(await measured("cuda", contextOf(hasher, on("workstation-nvidia"))), path)
    const digest = createHash("sha256")
      .update(readFileSync(join(on("workstation-nvidia"), path)))
      .digest("hex")
    expect(valuesOf(found, "digest")).toEqual([`sha256:${digest}`])
    expect(valuesOf(found, "version")).toEqual(["12"])
  })
})

describe("a package of Python", () => {
  const folder = "/opt/vllm/lib/python3.12/site-packages/vllm-0.11.0.dist-info"

  it("whose files are as recorded says how many were compared and how many have no digest", async () => {
    const found = subject(await measured("runtime", contextOf(hasher, on("workstation-nvidia"))), folder)
    expect(found?.facts.filter(([name]) => name !== "record")).toEqual([
      ["package", "vllm"],
      ["version", "0.11.0"],
      ["compared", "3"],
      ["without-digest", "2"],
    ])
  })

  it("whose file was altered, or is gone, contradicts its RECORD", async () => {
    const other = subject(await measured("runtime", contextOf(hasher, on("workstation-nvidia-other"))), folder)
    expect(valuesOf(other, "contradiction")).toEqual([
      "version: the folder says 0.11.0, METADATA says 0.11.2",
      expect.stringMatching(/^vllm\/engine\.py: RECORD says sha256:[0-9a-f]{64}, the disk says sha256:[0-9a-f]{64}$/),
    ])
    const root = join(scratch, "gone")
    cpSync(on("workstation-nvidia"), root, { recursive: true, verbatimSymlinks: true })
    rmSync(join(root, "opt/vllm/bin/vllm"))
    const gone = subject(await measured("runtime", contextOf(hasher, root)), folder)
    expect(valuesOf(gone, "contradiction")).toEqual([
      expect.stringMatching(/^\.\.\/\.\.\/\.\.\/bin\/vllm: .*, the disk says absent$/),
    ])
  })

  it("with many files that differ says how many more", async () => {
    const root = join(scratch, "many")
    const site = join(root, "opt/venv/lib/python3.12/site-packages/vllm-1.dist-info")
    mkdirSync(site, { recursive: true })
    const hash = "A".repeat(43)
    writeFileSync(join(site, "RECORD"), Array.from({ length: 100 }, (_, i) => `f${i},sha256=${hash},1`).join("\n"))
    const [found] = await measured("runtime", contextOf(hasher, root))
    expect(valuesOf(found, "contradiction")).toHaveLength(33)
    expect(valuesOf(found, "contradiction").at(-1)).toBe(
      "RECORD: RECORD says 68 files more differ".replace("RECORD says ", ""),
    )
  })

  it("has a RECORD of CSV, or none that is read", () => {
    const hash = createHash("sha256").update("x").digest()
    const text = `a,sha256=${hash.toString("base64url")},1\n"b,""c""",sha256=${hash.toString("base64url")},1\r\nd,,\ne,md5=abc,3\nnonsense\n`
    expect(entriesIn(Buffer.from(text))).toEqual([
      { path: "a", sha256: hash.toString("hex") },
      { path: 'b,"c"', sha256: hash.toString("hex") },
      { path: "d", sha256: "none" },
      { path: "e", sha256: "none" },
    ])
    assert(property(uint8Array({ maxLength: 300 }), bytes => void entriesIn(bytes)))
    assert(property(nat(2000), size => void entriesIn(Buffer.from('"'.repeat(size)))))
  })
})
