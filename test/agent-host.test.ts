/** Does a host stay within its root, bound what it reads, and tell absent from unreadable; and is hostile text harmless? */
import { spawnSync } from "node:child_process"
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, property, uint8Array } from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { escaped } from "../agent/escape.ts"
import { Host } from "../agent/host.ts"
import { line } from "../attestation/wire/text.ts"

const outer = mkdtempSync(join(tmpdir(), "assay-host-"))
const root = join(outer, "root")
const host = new Host(root)
afterAll(() => rmSync(outer, { recursive: true, force: true }))

beforeAll(() => {
  mkdirSync(join(root, "etc/folder"), { recursive: true })
  writeFileSync(join(outer, "secret"), "outside")
  writeFileSync(join(root, "etc/file"), "inside\n")
  writeFileSync(join(root, "secret"), "the root's own")
  for (const [name, target] of [
    ["absolute", "/secret"],
    ["climbing", "../../../../secret"],
    ["chain", "etc/folder/../link"],
    ["etc/link", "file"],
    ["circle", "circle"],
    ["dangling", "/nowhere"],
    ["folder-link", "etc"],
  ] as const)
    symlinkSync(target, join(root, name))
  spawnSync("mkfifo", [join(root, "fifo")])
})

const text = async (path: string): Promise<string> => {
  const read = await host.readLine(path)
  return read.state === "present" ? Buffer.from(read.value).toString() : read.state
}

describe("a host", () => {
  it("follows links as its root would, and never out of it", async () => {
    expect(await text("/absolute")).toBe("the root's own")
    expect(await text("/climbing")).toBe("the root's own")
    expect(await text("/../../secret")).toBe("the root's own")
    expect(await text("/chain")).toBe("inside")
    expect(await host.realpath("/folder-link/link")).toEqual({ state: "present", value: "/etc/file" })
    expect(await host.local("/folder-link/link")).toEqual({ state: "present", value: join(root, "etc/file") })
    expect(await host.link("/folder-link/link")).toEqual({ state: "present", value: "file" })
  })

  it("tells absent from unreadable", async () => {
    expect(await host.readBytes("/nothing/at/all")).toEqual({ state: "absent" })
    expect(await host.readBytes("/etc/file/below")).toEqual({ state: "absent" })
    expect(await host.readBytes("/dangling")).toEqual({ state: "absent" })
    expect(await host.readBytes("/circle")).toEqual({ state: "unreadable", problem: "too many symbolic links" })
    expect(await host.readBytes("/etc")).toEqual({ state: "unreadable", problem: "not a regular file" })
    expect(await host.readBytes("/fifo")).toEqual({ state: "unreadable", problem: "not a regular file" })
    expect(await host.readBytes("/etc/file", 6)).toEqual({ state: "unreadable", problem: "longer than 6 bytes" })
    expect(await host.readBytes("/etc/file", 7)).toMatchObject({ state: "present" })
    expect(await host.list("/etc/file")).toEqual({ state: "unreadable", problem: "not a folder" })
    expect(await new Host("/").readBytes("/proc/self/mem")).toEqual({ state: "unreadable", problem: "EIO" })
  })

  it("says so when it may not read", async () => {
    chmodSync(outer, 0o755)
    writeFileSync(join(root, "private"), "x", { mode: 0o600 })
    const program = `import { Host } from "${join(import.meta.dirname, "../agent/host.ts")}"
      if (process.getuid() === 0) process.setuid(65534)
      console.log(JSON.stringify(await new Host("${root}").readBytes("/private")))`
    if (process.getuid?.() !== 0) chmodSync(join(root, "private"), 0)
    const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", program])
    expect(stdout.toString().trim()).toBe(`{"state":"unreadable","problem":"EACCES: let the agent's user read it"}`)
  })

  it("lists names in byte order, and refuses to guess at a name that is not UTF-8", async () => {
    expect(await host.list("/etc")).toEqual({ state: "present", value: ["file", "folder", "link"] })
    writeFileSync(Buffer.concat([Buffer.from(`${root}/etc/folder/`), Buffer.from([0xff])]), "")
    expect(await host.list("/etc/folder")).toEqual({ state: "unreadable", problem: "holds a name that is not UTF-8" })
  })
})

describe("escaped text", () => {
  it.each([
    ["plain text, ä, 🙂", "plain text, ä, 🙂"],
    ["a\\b", "a\\\\b"],
    ["a\nb\tc\0", "a\\x0ab\\x09c\\x00"],
    ["\u0085\u2028\x7f\x1b[31m", "\\xc2\\x85\\xe2\\x80\\xa8\\x7f\\x1b[31m"],
    [Buffer.from([0x61, 0xff, 0xc3, 0xa4, 0xed, 0xa0, 0x80, 0x5c]), "a\\xffä\\xed\\xa0\\x80\\\\"],
  ])("%j", (given, wanted) => {
    expect(escaped(given)).toBe(wanted)
  })

  it("is always a line, of bounded length, and gives the bytes back unless it was cut", () => {
    assert(
      property(uint8Array({ maxLength: 400 }), bytes => {
        const short = escaped(bytes, 256)
        expect(line(256).safeParse(short).success).toBe(true)
        expect(Buffer.from(short, "utf8").toString("utf8")).toBe(short)
        expect(unescaped(escaped(bytes, 4096)).equals(Buffer.from(bytes))).toBe(true)
      }),
    )
  })

  it("differs for texts that differ behind the cut", () => {
    const [one, other] = ["1", "2"].map(end => escaped("\\🙂".repeat(200) + end, 256))
    expect(one).not.toBe(other)
    expect(one).toMatch(/ \\cut sha256:[0-9a-f]{64}$/)
  })
})

function unescaped(told: string): Buffer {
  const parts = told.split(/(\\\\|\\x[0-9a-f]{2})/)
  return Buffer.concat(
    parts.map(part => {
      if (part === "\\\\") return Buffer.from("\\")
      return part.startsWith("\\x") ? Buffer.from(part.slice(2), "hex") : Buffer.from(part)
    }),
  )
}
