/** `assay run`: hashed and recorded first, then started in this process's place; and what a verifier makes of the methods named. */
import { spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest"
import { z } from "zod"
import { loadedFiles } from "../attestation/appraise/loaded.ts"
import { filesAfter, noFiles } from "../attestation/verify/ima-files.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { binaryLog, file, aggregate } from "./ima-maker.ts"
import { writeAdapter, writeModel } from "./llama/model.ts"
import { endServer, startServer } from "./llama/start.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const assay = join(import.meta.dirname, "../cli/assay.mjs")
const scratch = mkdtempSync(join(tmpdir(), "run-"))
const at = (name: string): string => join(scratch, name)
const config = at("agent.toml")
const sha256 = (path: string): string => `sha256:${createHash("sha256").update(readFileSync(path)).digest("hex")}`

let tpm: Swtpm
beforeAll(async () => {
  tpm = await startSwtpm({ endorsed: false })
  writeModel(at("model.gguf"), "first", 1)
  writeModel(at("draft.gguf"), "draft", 2)
  writeAdapter(at("adapter.gguf"), 3)
  const settings = [
    `state = "${scratch}/s"`,
    `runtime = "${scratch}/r"`,
    `[tpm]`,
    `tcti = "${tpm.tcti}"`,
    `software = true`,
  ]
  writeFileSync(config, [...settings, `[[weights]]`, `name = "first"`, `path = "${at("model.gguf")}"`].join("\n"))
}, 60_000)
afterAll(async () => {
  await tpm.stop()
  rmSync(scratch, { recursive: true, force: true })
})

const cli = [process.execPath, assay] as const
/** One start of the command takes about a second; more on a machine that is busy. */
vi.setConfig({ testTimeout: 60_000 })
const run = (given: readonly string[], input = "") =>
  spawnSync(cli[0], [cli[1], "run", "--config", config, ...given], { encoding: "utf8", cwd: scratch, input })

const loaded = z.array(
  z.object({ path: z.string(), by: z.array(z.string()), grade: z.string(), digest: z.string(), says: z.string() }),
)

/** What evidence of this machine says, verified, of the files of this test. */
function verified(): z.infer<typeof loaded> {
  const options = { encoding: "utf8", maxBuffer: 1 << 26 } as const
  const made = spawnSync(cli[0], [cli[1], "measure", "--config", config, "--out", at("bundle")], options)
  expect(made.status, made.stderr).toBe(0)
  const pinned = ["--ak", at("bundle/ak.pub"), "--history", "--json"]
  const { stdout } = spawnSync(cli[0], [cli[1], "verify", at("bundle"), ...pinned], options)
  const said = z.object({ authentic: z.literal(true), loaded }).parse(JSON.parse(stdout))
  return said.loaded.filter(({ path }) => path.startsWith(scratch))
}

describe("a server that was started by us", () => {
  it("is the process that hashed, and its weights are known by the strongest method", async () => {
    const given = ["-m", at("model.gguf"), "-md", at("draft.gguf"), "--lora", at("adapter.gguf")]
    const server = await startServer(given, [...cli, "run", "--quiet", "--config", config, "--"])
    try {
      expect(readFileSync(`/proc/${server.pid}/cmdline`, "utf8")).toContain("llama/server.ts")
      expect(verified()).toEqual([
        {
          path: at("adapter.gguf"),
          by: ["started by us after hashing", "named by its command line"],
          grade: "self-reported",
          digest: sha256(at("adapter.gguf")),
          says: `adapter, ${sha256(at("adapter.gguf"))}`,
        },
        {
          path: at("draft.gguf"),
          by: ["started by us after hashing", "mapped"],
          grade: "self-reported",
          digest: sha256(at("draft.gguf")),
          says: `draft model, ${sha256(at("draft.gguf"))}`,
        },
        {
          path: at("model.gguf"),
          by: ["started by us after hashing", "mapped"],
          grade: "self-reported",
          digest: sha256(at("model.gguf")),
          says: "measured as first",
        },
      ])
    } finally {
      await endServer(server)
    }
  }, 180_000)

  it("by somebody else is known by less", async () => {
    const server = await startServer(["-m", at("model.gguf")])
    try {
      expect(verified().map(({ by }) => by)).toEqual([["mapped"]])
    } finally {
      await endServer(server)
    }
  }, 180_000)
})

describe("the command", () => {
  it("finds its own record in the log when it starts", () => {
    const script = `cat ${scratch}/s/broker/*.cel; echo; echo starts`
    const { stdout, status } = run(["--", "sh", "-c", script, at("model.gguf")])
    expect(status).toBe(0)
    const [log = "", after] = stdout.split("\nstarts")
    expect(after).toBe("\n")
    const last = log.trim().split("\n").at(-1) ?? ""
    expect(last).toContain('\\"source\\":\\"run\\"')
    expect(last).toContain(sha256(at("model.gguf")))
  })

  it("has this process's streams, its exit status and every signal as by default", () => {
    const { stdout, status } = run(["--", "sh", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status; cat; exit 9"], "given")
    expect(stdout).toBe(`SigBlk:\t${"0".repeat(16)}\nSigIgn:\t${"0".repeat(16)}\ngiven`)
    expect(status).toBe(9)
    const ended = run(["--quiet", "--", "sh", "-c", "kill -TERM $$"])
    expect({ signal: ended.signal, stderr: ended.stderr }).toEqual({ signal: "SIGTERM", stderr: "" })
  })

  it("takes signals as its own", async () => {
    const child = spawn(cli[0], [
      cli[1],
      "run",
      "--config",
      config,
      "--",
      "sh",
      "-c",
      "trap 'exit 7' INT; echo on; while :; do sleep 0.05; done",
    ])
    const code = new Promise(resolve => child.once("exit", resolve))
    await new Promise(resolve => child.stdout.once("data", resolve))
    child.kill("SIGINT")
    expect(await code).toBe(7)
  })

  it("is not started when what it names cannot be hashed, or cannot be recorded", () => {
    const touched = ["--", "touch", at("touched")]
    const unhashed = run(["--model", at("nothing"), ...touched])
    expect({ status: unhashed.status, told: /error: .*nothing.*\n.*hint: /.test(unhashed.stderr) }).toEqual({
      status: 1,
      told: true,
    })
    const nowhere = at("nowhere.toml")
    writeFileSync(nowhere, readFileSync(config, "utf8").replace(`${scratch}/s`, "/dev/null/s"))
    const unrecorded = spawnSync(cli[0], [cli[1], "run", "--config", nowhere, ...touched], { encoding: "utf8" })
    expect(unrecorded.status).not.toBe(0)
    expect(existsSync(at("touched"))).toBe(false)
    expect(run(touched).status).toBe(0)
    expect(existsSync(at("touched"))).toBe(true)
  })

  it("that is not there is told before anything is hashed", () => {
    const { status, stderr } = run(["--", "no-such-program"])
    expect({ status, stderr }).toEqual({
      status: 69,
      stderr:
        "assay: error: there is no program no-such-program\nassay: hint: name one that is on the PATH, or by its path\n",
    })
  })
})

describe("a verifier", () => {
  const path = "/srv/a.gguf"
  const digest = createHash("sha256").update("weights").digest("hex")
  const measurement = (source: string, subject: string, facts: Measurement["facts"]): Measurement => ({
    ...{ type: "assay.measurement.v1", state: "present" },
    ...{ source, subject, facts },
  })
  const hashed = measurement("run", "/usr/bin/llama-server 0", [
    [`file${path}`, `sha256:${digest} verity:${"0".repeat(64)} size:7`],
  ])
  const uses = measurement("loaded", "llama-server", [
    [`weights${path}`, "started by us after hashing, mapped, measured by nobody"],
  ])
  const noLog = { files: noFiles() }
  const by = (...events: readonly Measurement[]) => loadedFiles({ events, platform: noLog }).map(each => each.by)

  it("believes a start after hashing only where the record of the hashing precedes", () => {
    expect(by(hashed, uses)).toEqual([["started by us after hashing", "mapped"]])
    expect(by(uses, hashed)).toEqual([["mapped"]])
    expect(by(uses)).toEqual([["mapped"]])
  })

  it("takes no method from an agent that only the kernel could vouch for", () => {
    const claims = measurement("loaded", "s", [
      [`weights${path}`, "measured by the kernel (IMA), mapped, measured as x"],
    ])
    expect(loadedFiles({ events: [claims], platform: noLog })).toMatchObject([
      { by: ["mapped"], grade: "self-reported" },
    ])
  })

  it("says kernel-measured where the digest stands in the part of the IMA log that was replayed", () => {
    const bytes = binaryLog([aggregate(Buffer.alloc(32)), file(path, "weights")])
    const of = (covered: Uint8Array) =>
      loadedFiles({ events: [hashed, uses], platform: { files: filesAfter(noFiles(), covered) } })
    expect(of(bytes)).toMatchObject([
      { grade: "kernel-measured", by: ["started by us after hashing", "measured by the kernel (IMA)", "mapped"] },
    ])
    const other = binaryLog([aggregate(Buffer.alloc(32)), file(path, "other weights")])
    expect(of(other)).toMatchObject([{ grade: "self-reported" }])
  })

  it("finds the digest of a file of a model, in a folder and alone", () => {
    const of = (name: string) => `sha256:${name.repeat(64)} verity:${"0".repeat(64)} size:1`
    const folder = measurement("weights", "m", [
      ["digest", "x"],
      ["files", "2"],
      ["path", "/srv/m"],
      ["file/x/a.gguf", of("a")],
    ])
    const alone = measurement("weights", "/srv/b.gguf", [
      ["digest", "x"],
      ["files", "1"],
      ["file/b.gguf", of("b")],
    ])
    const used = measurement("loaded", "s", [
      ["weights/srv/m/x/a.gguf", "mapped, measured as m"],
      ["weights/srv/b.gguf", "open, measured as /srv/b.gguf"],
    ])
    expect(loadedFiles({ events: [folder, alone, used], platform: noLog }).map(each => each.digest)).toEqual([
      `sha256:${"a".repeat(64)}`,
      `sha256:${"b".repeat(64)}`,
    ])
  })
})
