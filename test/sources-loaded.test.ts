/** What is told of servers that run: their closure, their weights and by which evidence, and nothing that comes by chance. */
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, property, string, uint8Array } from "fast-check"
import { afterAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { Host } from "../agent/host.ts"
import { inMaps } from "../agent/sources/process/maps.ts"
import { wordsOf } from "../agent/sources/process/server.ts"
import { commandFact } from "../agent/sources/process/setting.ts"
import { type Measurement, writeEvent } from "../attestation/protocol/event.ts"
import { contextOf, measured, on, subject, valuesOf } from "./hosts.ts"

const hasher = new Hasher()
const scratch = mkdtempSync(join(tmpdir(), "assay-loaded-"))
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})
const loadedOn = (root: string): Promise<readonly Measurement[]> => measured("loaded", contextOf(hasher, root))
const digestOf = (path: string): string => `sha256:${createHash("sha256").update(readFileSync(path)).digest("hex")}`

describe("a server", () => {
  const server = async (): Promise<Measurement | undefined> =>
    subject(await loadedOn(on("workstation-nvidia")), "llama-server /srv/llama/llama-server")

  it("is told by every file that it runs", async () => {
    const found = await server()
    for (const path of ["/srv/llama/llama-server", "/usr/lib/x86_64-linux-gnu/libm.so.6"])
      expect(valuesOf(found, `mapped${path}`)).toEqual([digestOf(join(on("workstation-nvidia"), path))])
    expect(found?.facts.filter(([name]) => name.startsWith("mapped/"))).toHaveLength(3)
  })

  it("is told by its weights, each with the strongest evidence there is", async () => {
    const found = await server()
    expect(found?.facts.filter(([name]) => name.startsWith("weights/"))).toEqual([
      ["weights/srv/llama/adapter.gguf", "named by its command line, adapter, measured by nobody"],
      ["weights/srv/models/draft.gguf", "open, measured by nobody"],
      ["weights/srv/models/small.gguf", "mapped, measured as /srv/models/small.gguf"],
    ])
  })

  it("is told by how it was started, with no secret", async () => {
    const found = await server()
    expect(valuesOf(found, "unit")).toEqual(["llama-server.service"])
    expect(found?.facts.filter(([name]) => name.startsWith("unit/"))).toHaveLength(2)
    expect(valuesOf(found, "environment/CUDA_VISIBLE_DEVICES")).toEqual(["0"])
    expect(valuesOf(found, "environment/HF_TOKEN")[0]).toMatch(/^sha256:/)
    expect(valuesOf(found, "command")[0]).toMatch(/--port 8080 --api-key sha256:[0-9a-f]{64}$/)
    expect(JSON.stringify(found)).not.toMatch(/hf_secret|sk-1234|HOME/)
  })

  it("of Ollama does not look changed while a runner comes and goes", async () => {
    const root = join(scratch, "ollama")
    cpSync(on("workstation-nvidia"), root, { recursive: true, verbatimSymlinks: true })
    const name = "ollama /usr/local/bin/ollama"
    const before = await loadedOn(root)
    expect(valuesOf(subject(before, "ollama runner /usr/local/bin/ollama"), "command")[0]).toMatch(/--port any$/)
    renameSync(join(root, "proc/2077"), join(root, "proc/31999"))
    expect(await loadedOn(root)).toEqual(before)
    rmSync(join(root, "proc/31999"), { recursive: true })
    expect(subject(await loadedOn(root), name)).toEqual(subject(before, name))
  })

  it("that runs other files than those on disk is told so, and weights that were exchanged contradict", async () => {
    const events = await loadedOn(on("workstation-nvidia-other"))
    const ollama = subject(events, "ollama /usr/local/bin/ollama")
    expect(valuesOf(ollama, "replaced/usr/local/bin/ollama")).toHaveLength(1)
    expect(valuesOf(ollama, "contradiction")).toEqual([
      "weights /srv/models/small.gguf: what is mapped is not the file at this path any more",
    ])
    expect(valuesOf(ollama, "environment/LD_PRELOAD")).toEqual(["/tmp/evil.so"])
    expect(valuesOf(ollama, "container/image")).toEqual([`sha256:${"1f".repeat(32)}`])
    const vllm = subject(events, "vllm /opt/vllm/bin/python3.12")
    expect(valuesOf(vllm, "weights/srv/models/small")).toEqual(["named by its command line, measured as small"])
  })
})

describe("a real process", () => {
  it("is found with its executable, its libraries and its open weights, and with what is put in their place", async () => {
    const [program, weights] = [join(scratch, "llama-server"), join(scratch, "model.gguf")]
    copyFileSync("/usr/bin/tail", program)
    writeFileSync(weights, "weights")
    const child = spawn(program, ["-f", weights], { stdio: ["ignore", "pipe", "ignore"] })
    try {
      await new Promise(resolve => child.stdout.once("data", resolve))
      const name = `llama-server ${program}`
      const context = contextOf(hasher, "/", { host: new Host("/") })
      const found = subject(await measured("loaded", context), name)
      expect(valuesOf(found, `mapped${program}`)).toEqual([digestOf(program)])
      expect(found?.facts.some(([fact]) => /^mapped\/.*\/libc\.so\.6$/.test(fact))).toBe(true)
      expect(valuesOf(found, `weights${weights}`)).toEqual(["open, measured by nobody"])
      writeFileSync(`${weights}.new`, "others")
      renameSync(`${weights}.new`, weights)
      const after = subject(await measured("loaded", context), name)
      expect(valuesOf(after, "contradiction")).toEqual([
        `weights ${weights}: what is open is not the file at this path any more`,
      ])
    } finally {
      const ended = new Promise(resolve => child.once("exit", resolve))
      child.kill("SIGKILL")
      await ended
    }
  })
})

describe("hostile processes", () => {
  it("say nothing in maps that is taken for a file", () => {
    const text = [
      "400000-401000 r-xp 00000000 fd:01 1 /usr/bin/a b (deleted)",
      "401000-402000 r--p 00000000 fd:01 1 /usr/bin/a b (deleted)",
      "402000-403000 rw-s 00000000 00:05 7 /dev/nvidia0",
      "403000-404000 r-xp 00000000 00:01 9 /memfd:code (deleted)",
      "404000-405000 rw-p 00000000 00:00 0 [heap]",
      "405000-406000 r--p 00000000 fd:01 0 /no/inode",
      "406000-407000 r--p 00000000 fd:01 5 /x\\012y.gguf",
      "nonsense",
    ].join("\n")
    expect(inMaps(Buffer.from(text))).toEqual([
      { path: "/usr/bin/a b", code: true, gone: true, file: "64769:1" },
      { path: "/x\ny.gguf", code: false, gone: false, file: "64769:5" },
    ])
    const many = Array.from({ length: 5000 }, (_, i) => `1-2 r-xp 0 1:1 1 /${i}`).join("\n")
    expect(inMaps(Buffer.from(many))).toHaveLength(4096)
  })

  it("break nothing with any maps, arguments or environment", () => {
    assert(property(uint8Array({ maxLength: 200 }), bytes => void inMaps(bytes)))
    assert(
      property(string({ unit: "binary", maxLength: 200 }), text => {
        const given = wordsOf({ state: "present", value: Buffer.from(text) })
        const [name, value] = commandFact({ given })
        writeEvent({ type: "assay.measurement.v1", source: "x", subject: "", state: "present", facts: [[name, value]] })
      }),
    )
  })

  it("keep each secret, however it is given", () => {
    for (const given of [
      ["--api-key", "S3"],
      ["--api-key=S3"],
      ["--hf-token", "S3"],
      ["--password=S3"],
      ["--auth_token", "S3"],
    ])
      expect(commandFact({ given: ["server", ...given] })[1]).not.toContain("S3")
    expect(commandFact({ given: ["server", "--max-num-batched-tokens", "2048", "--tokenizer=x"] })[1]).toBe(
      "server --max-num-batched-tokens 2048 --tokenizer=x",
    )
  })

  it("whose files in proc are folders and circles are still told", async () => {
    const root = join(scratch, "odd")
    mkdirSync(join(root, "proc/7/maps"), { recursive: true })
    symlinkSync("/srv/llama/llama-server", join(root, "proc/7/exe"))
    writeFileSync(join(root, "proc/7/fd"), "")
    const [found] = await loadedOn(root)
    expect(valuesOf(found, "unreadable")).toEqual(["fd: not a folder", "maps: not a regular file"])
  })
})
