/** How does the `assay` process behave among others? Pipes that close, NO_COLOR, a terminal, secrets on the command line. */
import { execFileSync, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { commands } from "../cli/commands.ts"
import { noProgress, showProgress } from "../cli/progress.ts"
import { plain, type Terminal } from "../cli/terminal.ts"

const assay = join(import.meta.dirname, "../cli/assay.mjs")
const node = process.execPath
const verify = `verify test/golden/files/answer --ak test/golden/files/answer/ak.pub --nonce ${"6b".repeat(32)}`
const shell = (script: string, environment: NodeJS.ProcessEnv = {}) =>
  spawnSync("bash", ["-c", script], {
    encoding: "utf8",
    env: { ...process.env, NODE: node, ASSAY: assay, ...environment },
  })

let folder = ""
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "cli-process-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe("the process", () => {
  test("a reader that goes away is no error, and the exit code is the answer's", () => {
    const { stdout, stderr } = shell(`"$NODE" "$ASSAY" ${verify} | true; echo "\${PIPESTATUS[0]}"`)
    expect({ stdout, stderr }).toEqual({ stdout: "0\n", stderr: "" })
  })

  test("stdout holds the result and stderr the talk", () => {
    const { stdout, stderr, status } = shell(`"$NODE" "$ASSAY" ${verify.replace("6b", "")}`)
    expect({ stdout, status }).toEqual({ stdout: "", status: 2 })
    expect(stderr).toMatch(/^assay: error: .*\nassay: hint: .*\n$/)
  })

  test.each([
    ["a terminal", {}, true],
    ["a terminal and NO_COLOR", { NO_COLOR: "1" }, false],
    ["a terminal that is dumb", { TERM: "dumb" }, false],
  ])("%s: colours or none", (_, environment, coloured) => {
    const bare = { ...process.env, NO_COLOR: undefined, FORCE_COLOR: undefined, TERM: "xterm-256color", CI: undefined }
    const { stdout } = spawnSync("script", ["-qec", `"${node}" "${assay}" ${verify}`, "/dev/null"], {
      encoding: "utf8",
      env: { ...bare, ...environment },
    })
    expect(stdout).toContain("root.unendorsed")
    expect(stdout.includes("\u001b[33m")).toBe(coloured)
  })

  test("a pipe gets no colours", () => {
    expect(shell(`"$NODE" "$ASSAY" ${verify}`, { TERM: "xterm-256color" }).stdout).not.toContain("\u001b")
  })

  test("hash prints what sha256sum prints, and sha256sum accepts it", () => {
    writeFileSync(join(folder, "a.bin"), "a")
    writeFileSync(join(folder, "b\\c.bin"), "b")
    const manifest = execFileSync(node, [assay, "hash", folder, "--quiet"], { encoding: "utf8" })
    expect(manifest).toBe(execFileSync("sh", ["-c", "LC_ALL=C sha256sum *"], { cwd: folder, encoding: "utf8" }))
    expect(spawnSync("sha256sum", ["--check", "--quiet"], { cwd: folder, input: manifest }).status).toBe(0)
  })

  test("hash --check names what differs", () => {
    const manifest = execFileSync(node, [assay, "hash", folder, "--quiet"], { encoding: "utf8" })
    const other = join(tmpdir(), `manifest-${process.pid}`)
    writeFileSync(
      other,
      manifest.replace(/^[0-9a-f]/, digit => (digit === "0" ? "1" : "0")),
    )
    const { status, stdout } = spawnSync(node, [assay, "hash", folder, "--quiet", "--check", other], {
      encoding: "utf8",
    })
    rmSync(other)
    expect({ status, stdout }).toEqual({ status: 3, stdout: "differs  a.bin\n" })
  })
})

describe("hash --check of a file with a flipped byte", () => {
  test("says which 512 KiB of it differ, if its wanted contents were hashed here before", () => {
    const large = join(folder, "large")
    mkdirSync(large)
    const path = join(large, "m.bin")
    const bytes = Buffer.alloc(3 << 20, 7)
    const env = { ...process.env, XDG_CACHE_HOME: join(folder, "cache") }
    const options = { encoding: "utf8", env } as const
    const hash = (...given: readonly string[]) => spawnSync(node, [assay, "hash", large, ...given], options)
    writeFileSync(path, bytes)
    utimesSync(path, 1, 1)
    spawnSync("sleep", ["2.1"]) // what was written just now is not kept: the next write might leave the same times
    const manifest = join(folder, "LARGE")
    writeFileSync(manifest, hash("--quiet").stdout)
    bytes.writeUInt8(8, (1 << 20) + 5)
    writeFileSync(path, bytes)
    const { status, stdout, stderr } = hash("--check", manifest)
    expect({ status, stdout }).toEqual({ status: 3, stdout: "differs  m.bin\n" })
    expect(stderr).toMatch(/differs: m\.bin \(confirmed by \S+\): bytes 1048576 to 1572863\n/)
    const told: unknown = JSON.parse(hash("--check", manifest, "--json").stdout)
    expect(told).toMatchObject({ differences: [{ name: "m.bin", where: [{ start: 1_048_576, end: 1_572_864 }] }] })
    rmSync(join(folder, "cache"), { recursive: true })
    expect(hash("--check", manifest).stderr).toContain("where is not known")
  })
})

describe("what is written", () => {
  test("C39: text from evidence cannot drive a terminal", () => {
    const hostile = "\u001b]0;owned\u0007 \u202egnp.exe\u200b\u2066 \u009b31m\r\n"
    const shown = plain(hostile)
    expect(shown).toMatch(/^[\x20-\x7e]*$/)
    expect(shown).toMatch(/^\\u001b\]0;owned\\u0007 \\u\{?202e\}?gnp\.exe\\u\{?200b\}?/)
    expect(plain("Ünïcode 模型 🙂")).toBe("Ünïcode 模型 🙂")
  })

  test("no command takes a secret of this side as an argument", () => {
    const flags = commands.flatMap(({ name, options }) => options.map(([flag]) => `${name} ${flag}`))
    expect(flags.filter(flag => /--(token|invitation|password|passphrase)\b(?!-file)/.test(flag))).toEqual([])
  })

  test("progress: ten lines where nobody watches, one line written over where somebody does", () => {
    const [quiet, watched] = [terminalOf(false), terminalOf(true)]
    for (const each of [quiet, watched]) {
      const progress = showProgress(each.terminal, "hashing")
      for (let done = 0; done <= 1000; done++) {
        each.tick(7)
        progress.at(done << 20, 1000 << 20, "w.gguf")
      }
      progress.end()
    }
    expect(quiet.said.filter(line => /^assay: hashing +\d0 %  .*\/s  .* left\n$/.test(line))).toHaveLength(9)
    expect(quiet.said).toHaveLength(9)
    expect(watched.said.length).toBeGreaterThan(60)
    expect(watched.said.length).toBeLessThan(75)
    expect(watched.said.every(line => line.startsWith("\r\u001b[K") && !line.includes("\n"))).toBe(true)
    expect(watched.said.at(-1)).toBe("\r\u001b[K")
    expect(noProgress.at(1, 2, "w.gguf")).toBeUndefined()
  })
})

/** A terminal whose clock is moved by hand. */
function terminalOf(watched: boolean): { terminal: Terminal; said: string[]; tick: (ms: number) => void } {
  const said: string[] = []
  let now = 0
  const output = {
    write: (text: string) => void said.push(text),
    style: (_: string, text: string) => text,
    watched,
    width: 80,
  }
  const never = (): Promise<never> => new Promise(() => undefined)
  const terminal = { out: output, err: output, now: () => now, read: never, readBytes: never, interrupted: never }
  return { terminal, said, tick: ms => (now += ms) }
}
