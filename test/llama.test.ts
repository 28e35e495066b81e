/** A real llama.cpp with a model of the test's own: what is told of its process, its closure and its weights. */
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, utimesSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { noRuns, type Run } from "../agent/run/runs.ts"
import { Host } from "../agent/host.ts"
import type { Context } from "../agent/sources/source.ts"
import type { Fact, Measurement } from "../attestation/protocol/event.ts"
import { contextOf, measured, valuesOf } from "./hosts.ts"
import { writeAdapter, writeModel } from "./llama/model.ts"
import { endServer, type LlamaServer, serverProgram, startServer, tokensOf } from "./llama/start.ts"

const hasher = new Hasher()
const host = new Host("/")
const scratch = mkdtempSync(join(tmpdir(), "assay-llama-"))
const at = (name: string): string => join(scratch, name)
const digestOf = (path: string): string => `sha256:${createHash("sha256").update(readFileSync(path)).digest("hex")}`

beforeAll(() => {
  writeModel(at("model.gguf"), "first", 1)
  writeModel(at("draft.gguf"), "draft", 2)
  writeAdapter(at("adapter.gguf"), 3)
  writeModel(at("other.gguf"), "other", 4)
  symlinkSync("model.gguf", at("current.gguf"))
})
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

/** What is told of the servers of this test: others may run on the machine. */
async function told(runs: Context["runs"] = noRuns): Promise<Measurement> {
  const weights = [{ name: "first", path: at("model.gguf"), links: "own" }] as const
  const events = await measured("loaded", contextOf(hasher, "/", { host, weights, runs }))
  const found = events.find(({ facts }) => facts.some(([name, value]) => name === "command" && value.includes(scratch)))
  if (!found) throw new Error("the server was not found")
  return { ...found, facts: found.facts.filter(each => !isOfAnother(each)) }
}

/** Servers of other tests run the same executable: their weights stand beside ours. */
const isOfAnother = ([name, value]: Fact): boolean =>
  (name.startsWith("weights/") && !name.includes(scratch)) || (name === "contradiction" && !value.includes(scratch))

async function withServer(given: readonly string[], look: (server: LlamaServer) => Promise<void>): Promise<void> {
  const server = await startServer(given)
  try {
    await look(server)
  } finally {
    await endServer(server)
  }
}

describe("llama.cpp in a process of another name", () => {
  it("is found with its closure, its model, its draft model and its adapter", async () => {
    const given = [
      "-m",
      at("current.gguf"),
      "-md",
      at("draft.gguf"),
      "--lora",
      at("adapter.gguf"),
      "--api-key",
      "S3cret",
    ]
    await withServer(given, async server => {
      const found = await told()
      expect(found.subject).toBe(`llama.cpp ${process.execPath}`)
      expect(valuesOf(found, `mapped${process.execPath}`)).toEqual([digestOf(process.execPath)])
      const maps = readFileSync(`/proc/${server.pid}/maps`, "utf8")
      const code = new Set([...maps.matchAll(/ r-xp .* (\/\S+)$/gm)].map(([, path]) => path ?? ""))
      expect([...code].filter(path => /lib(?:llama|ggml)/.test(path)).length).toBeGreaterThanOrEqual(4)
      for (const path of code) expect(valuesOf(found, `mapped${path}`)).toEqual([digestOf(path)])
      expect(found.facts.filter(([name]) => name.startsWith("weights/"))).toEqual([
        [`weights${at("adapter.gguf")}`, "named by its command line, adapter, measured by nobody"],
        [`weights${at("draft.gguf")}`, "mapped, draft model, measured by nobody"],
        [`weights${at("model.gguf")}`, "mapped, measured as first"],
      ])
      expect(valuesOf(found, "command")[0]).toContain(serverProgram)
      expect(found.facts).toContainEqual(["unreadable", "said: it wants a key"])
      expect(JSON.stringify(found)).not.toContain("S3cret")
    })
  })

  it("computes with the model that it has in memory, and the file that was put in its place contradicts", async () => {
    await withServer(["-m", at("model.gguf")], async server => {
      expect(valuesOf(await told(), "said/model_path")).toEqual([at("model.gguf")])
      const before = await tokensOf(server, "hello")
      expect(before).toHaveLength(6)
      expect(valuesOf(await told(), "contradiction")).toEqual([])
      renameSync(at("other.gguf"), at("model.gguf"))
      expect(await tokensOf(server, "hello")).toEqual(before)
      expect(valuesOf(await told(), "contradiction")).toEqual([
        `weights ${at("model.gguf")}: what is mapped is not the file at this path any more`,
      ])
    })
    await withServer(["-m", at("model.gguf")], async () => {
      expect(valuesOf(await told(), "contradiction")).toEqual([])
    })
  })

  it("is told when its model was renamed and another bears its name", async () => {
    writeModel(at("new.gguf"), "new", 5)
    await withServer(["-m", at("model.gguf")], async () => {
      renameSync(at("model.gguf"), at("old.gguf"))
      renameSync(at("new.gguf"), at("model.gguf"))
      expect(valuesOf(await told(), "contradiction")).toEqual([
        `weights: it says that it serves ${at("model.gguf")}, it has loaded ${at("old.gguf")}`,
        `weights: its command line names ${at("model.gguf")}, it has loaded ${at("old.gguf")}`,
      ])
    })
  })

  it("that was started after hashing is told so until somebody writes to the file", async () => {
    const [path, sha256] = [at("draft.gguf"), digestOf(at("draft.gguf")).slice("sha256:".length)]
    const stat = await host.stat(path)
    const state = stat.state === "present" ? stat.value.state : ""
    const run: Run = { boot: "", process: 1, ticks: 1, executables: [], files: [{ path, state, sha256 }] }
    await withServer(["-m", path], async () => {
      const runs = { of: async () => run }
      expect(valuesOf(await told(runs), `weights${path}`)).toEqual([
        `started by us after hashing, mapped, sha256:${sha256}`,
      ])
      utimesSync(path, 1, 1)
      expect(valuesOf(await told(runs), "contradiction")).toEqual([
        `weights ${path}: it was written to after it was hashed for the start of its server`,
      ])
    })
  })

  it("is not believed when it says another file than it has in memory", async () => {
    await withServer(["-m", at("draft.gguf"), "--says", at("adapter.gguf")], async () => {
      expect(valuesOf(await told(), "contradiction")).toEqual([
        `weights: it says that it serves ${at("adapter.gguf")}, it has loaded ${at("draft.gguf")}`,
      ])
    })
  })

  it("that reads its model whole and closes it is known by its command line alone", async () => {
    await withServer(["-m", at("model.gguf"), "--no-mmap"], async () => {
      expect(valuesOf(await told(), `weights${at("model.gguf")}`)).toEqual([
        "named by its command line, measured as first",
      ])
    })
  })
})
