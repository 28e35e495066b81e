/** Does `npm start` do the main job, leave nothing behind, and keep its hands off the user's weights? */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { flipByte, makeModel, stageModel } from "../scripts/start/model.ts"
import { alone } from "./alone.ts"

let folder = ""
beforeAll(() => (folder = mkdtempSync(join(tmpdir(), "start-"))))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const program = join(import.meta.dirname, "../scripts/start.ts")
const room = (): string => mkdtempSync(join(folder, "tmp-"))

/** Starts the main job with a temporary folder of its own. */
function start(tmp: string, ...args: string[]): ChildProcess {
  const environment = { ...process.env, TMPDIR: tmp, NO_COLOR: "1" }
  return spawn(process.execPath, [program, ...args], { env: environment, stdio: ["ignore", "pipe", "inherit"] })
}

/** The same, blind to the processes of everybody else: servers that come and go in other tests are servers of this machine too. */
function startAlone(tmp: string, ...args: string[]): ChildProcess {
  const environment = { ...process.env, TMPDIR: tmp, NO_COLOR: "1" }
  const line = [...alone, process.execPath, program, ...args]
  return spawn("unshare", line, { env: environment, stdio: ["ignore", "pipe", "inherit"] })
}

function ending(child: ChildProcess): Promise<{ code: number | null; out: string }> {
  let out = ""
  child.stdout?.on("data", chunk => (out += String(chunk)))
  return new Promise(resolve => child.once("close", code => resolve({ code, out: stripVTControlCharacters(out) })))
}

/** Processes that have `word` on their command line. */
const processesOf = (word: string): string[] =>
  readdirSync("/proc")
    .filter(name => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter(pid => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(word)
      } catch {
        return false
      }
    })

describe("npm start", () => {
  test("--once with one's own weights: every verdict as it must be, and the weights as they were", async () => {
    const [model, tmp] = [join(folder, "model"), room()]
    await makeModel(model, 4)
    const sums = (): string => execFileSync("sh", ["-c", "sha256sum *"], { cwd: model, encoding: "utf8" })
    const before = sums()
    const { code, out } = await ending(startAlone(tmp, "--once", "--model", model))
    expect(out).toContain("every verdict was the one that had to come")
    expect(code).toBe(0)
    const overall = [...out.matchAll(/^ {2}overall {5}(\w+)$/gm)].map(([, tier]) => tier)
    expect(overall).toEqual(["warning", "affirming", "contraindicated", "affirming"])
    const [, affirming = "", flipped = ""] = out.split(/^(?=Three people|One byte|The machine is)/m)
    expect(affirming).toMatch(/one of two, and the collector refuses it[^]*two of two, and it is in force/)
    expect(affirming).toMatch(
      /whose hash {2}Ada Lovelace:[^]*whose key {3}Mei Lin:[^]*whose pin {3}Grace Hopper, Mei Lin:/,
    )
    expect(flipped).toMatch(/pin\.differs[^]*file\/model-0000\d-of-00002\.safetensors/)
    expect(flipped).toMatch(/whose hash {2}nobody[^]*for which Ada\s+Lovelace answers/)
    expect(sums()).toBe(before)
    expect(readdirSync(tmp)).toEqual([])
    expect(processesOf(tmp)).toEqual([])
  }, 300_000)

  test("a model's digest is what sha256sum says", async () => {
    const model = join(folder, "model")
    const manifest = execFileSync("sh", ["-c", "sha256sum * | sha256sum"], { cwd: model, encoding: "utf8" })
    const hashed = execFileSync(process.execPath, ["cli/assay.mjs", "hash", model, "--json"], { encoding: "utf8" })
    expect(manifest.slice(0, 64)).toBe(JSON.parse(hashed).digest)
  })

  test.each([
    ["SIGINT", "collector"],
    ["SIGHUP", "model"],
  ] as const)("%s in the middle leaves no process and no file", async (signal, reached) => {
    const tmp = room()
    const child = start(tmp, "--mebibytes", "2")
    const ended = ending(child)
    await new Promise<void>(resolve => {
      child.stdout?.on("data", chunk => String(chunk).includes(reached) && resolve())
    })
    child.kill(signal)
    expect((await ended).code).toBe(130)
    expect(readdirSync(tmp)).toEqual([])
    expect(processesOf(tmp)).toEqual([])
  })

  test("a killed one takes its processes with it", async () => {
    const tmp = room()
    const child = start(tmp, "--mebibytes", "2")
    const ended = ending(child)
    await new Promise<void>(resolve => {
      child.stdout?.on("data", chunk => String(chunk).includes("agent") && resolve())
    })
    child.kill("SIGKILL")
    await ended
    await expect.poll(() => processesOf(tmp), { timeout: 20_000, interval: 100 }).toEqual([])
  })

  test("a command line that is not understood is told, and nothing is begun", async () => {
    const tmp = room()
    expect((await ending(start(tmp, "--one"))).code).toBe(2)
    expect(readdirSync(tmp)).toEqual([])
  })
})

describe("the model for the main job", () => {
  test("is valid safetensors: a header that says where every byte belongs", async () => {
    const model = join(folder, "header")
    await makeModel(model, 4)
    const shards = readdirSync(model).filter(name => name.endsWith(".safetensors"))
    expect(shards).toHaveLength(2)
    for (const name of shards) {
      const bytes = readFileSync(join(model, name))
      const length = Number(bytes.readBigUInt64LE())
      const { __metadata__: _, ...tensors } = JSON.parse(bytes.subarray(8, 8 + length).toString())
      const rows: { shape: number[]; data_offsets: [number, number] }[] = Object.values(tensors)
      let at = 0
      for (const {
        shape,
        data_offsets: [begin, end],
      } of rows) {
        expect(begin).toBe(at)
        expect(end - begin).toBe(shape.reduce((size, n) => size * n, 1))
        at = end
      }
      expect(8 + length + at).toBe(bytes.length)
    }
  })

  test("is the same wherever it is made", async () => {
    const model = join(folder, "header")
    const sum = execFileSync("sh", ["-c", "sha256sum * | sha256sum"], { cwd: model, encoding: "utf8" })
    expect(sum.slice(0, 16)).toBe("c0cec10844e981ce")
  })

  test("a file alone is copied, so that a byte of it may be flipped, and flipped back", async () => {
    const file = join(folder, "header", "model-00001-of-00002.safetensors")
    const before = readFileSync(file)
    const { path, victim } = await stageModel(file, mkdtempSync(join(folder, "stage-")))
    expect(victim).toBe(path)
    await flipByte(path)
    expect(readFileSync(path).equals(before)).toBe(false)
    expect(readFileSync(file).equals(before)).toBe(true)
    await flipByte(path)
    expect(readFileSync(path).equals(before)).toBe(true)
  })
})
