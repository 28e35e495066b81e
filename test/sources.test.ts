/** Does each source find what a machine holds, does a machine that differs differ there, and does nothing hostile break it? */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { ownSelf } from "../agent/self.ts"
import { sources } from "../agent/sources/index.ts"
import { type Context, factsPerEvent } from "../agent/sources/source.ts"
import { type Measurement, readEvent, writeEvent } from "../attestation/protocol/event.ts"
import { contextOf as contextIn, tpm } from "./hosts.ts"

const hosts = join(import.meta.dirname, "hosts")
const scratch = mkdtempSync(join(tmpdir(), "assay-sources-"))
const hasher = new Hasher()
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

const contextOf = (root: string, more: Partial<Context> = {}): Context => contextIn(hasher, root, more)

async function measured(name: string, root: string, more: Partial<Context> = {}): Promise<readonly Measurement[]> {
  const source = sources.find(each => each.name === name)
  return (await source?.measure(contextOf(root, more))) ?? []
}

const on = (host: string): string => join(hosts, host)
const subject = (events: readonly Measurement[], name: string): Measurement | undefined =>
  events.find(each => each.subject === name)
const valueOf = (event: Measurement | undefined, name: string): string | undefined =>
  event?.facts.find(([each]) => each === name)?.[1]
const sha256 = (path: string): string => `sha256:${createHash("sha256").update(readFileSync(path)).digest("hex")}`

const names = ["firmware", "kernel", "driver", "cuda", "runtime", "weights", "loaded"]

describe("every source", () => {
  it("stands in the order in which it is extended", () => {
    expect(sources.map(({ name }) => name)).toEqual(["agent", ...names])
  })

  it.each(names)("%s: says the same of a machine twice, and other things of one that differs", async name => {
    const one = await measured(name, on("workstation-nvidia"))
    expect(await measured(name, on("workstation-nvidia"))).toEqual(one)
    const changed = { ...tpm, firmware: "8217.4131.23.1" }
    const other = await measured(name, on("workstation-nvidia-other"), { tpm: changed })
    const there = [...one, ...other].filter(each => each.state !== "absent")
    const subjects = new Set(there.map(each => each.subject))
    const same = [...subjects].filter(each => writeAll(one, each) === writeAll(other, each))
    expect(same).toEqual([])
  })

  it.each(names)("%s: says of a bare machine that it looked and found nothing", async name => {
    const events = (await measured(name, on("bare"))).filter(
      each => each.subject !== "tpm" && each.subject !== "running",
    )
    expect(new Set(events.map(each => each.state))).toEqual(new Set(events.length > 0 ? ["absent"] : []))
    for (const { facts } of events) expect(facts.length).toBeGreaterThan(0)
  })

  it.each(["workstation-nvidia", "workstation-nvidia-other", "workstation-amd", "bare"])(
    "on %s every event is of its one spelling",
    async host => {
      for (const { name } of sources)
        for (const event of await measured(name, on(host))) expect(readEvent(writeEvent(event))).toEqual(event)
    },
  )
})

const writeAll = (events: readonly Measurement[], name: string): string =>
  events
    .filter(each => each.subject === name)
    .map(writeEvent)
    .join("\n")

describe("agent", () => {
  it("tells its version, its code as sha256sum has it, and its interpreter", async () => {
    const root = join(scratch, "agent")
    mkdirSync(join(root, "code"), { recursive: true })
    writeFileSync(join(root, "code/main.js"), "first")
    const self = { version: "1.2.3", root, code: ["code", "gone"], node: process.version, executable: process.execPath }
    const events = await measured("agent", on("bare"), { self })
    const manifest = execFileSync("sha256sum", ["main.js"], { cwd: join(root, "code") })
    const digest = createHash("sha256").update(manifest).digest("hex")
    expect(subject(events, "code")?.facts).toEqual([
      ["version", "1.2.3"],
      ["code/code", `sha256:${digest}`],
      ["unreadable", `code/gone: ${root}/gone is not there`],
    ])
    expect(valueOf(subject(events, "interpreter"), "digest")).toBe(sha256(process.execPath))
    writeFileSync(join(root, "code/main.js"), "other")
    expect(await measured("agent", on("bare"), { self })).not.toEqual(events)
  })

  it("finds its own folders in a checkout", () => {
    expect(ownSelf().code).toEqual(expect.arrayContaining(["agent", "attestation", "local", "node-tpm2", "wasm"]))
  })
})

describe("firmware", () => {
  it("reads variables behind their attributes, and tells whether there is a log", async () => {
    const events = await measured("firmware", on("workstation-nvidia"))
    expect(valueOf(subject(events, "smbios"), "bios_version")).toBe("1.20")
    expect(valueOf(subject(events, "uefi"), "SecureBoot")).toBe("on")
    expect(valueOf(subject(events, "uefi"), "SetupMode")).toBe("off")
    expect(valueOf(subject(events, "uefi"), "db")).toBe(`sha256:${createHash("sha256").update("dbone").digest("hex")}`)
    expect(subject(events, "microcode")?.facts).toEqual([["revision", "0x2c000390"]])
    expect(subject(events, "event-log")?.state).toBe("present")
    const root = join(scratch, "next-boot")
    cpSync(on("workstation-nvidia"), root, { recursive: true, verbatimSymlinks: true })
    writeFileSync(join(root, "sys/kernel/security/tpm0/binary_bios_measurements"), "the same with another address")
    const next = await measured("firmware", root)
    expect(subject(next, "event-log")).toEqual(subject(events, "event-log"))
    const other = await measured("firmware", on("workstation-nvidia-other"))
    expect(valueOf(subject(other, "uefi"), "SecureBoot")).toBe("off")
    expect(subject(other, "event-log")?.state).toBe("absent")
    expect(subject(other, "microcode")?.facts).toHaveLength(3)
  })
})

describe("kernel", () => {
  it("tells modules by their identity, and not what is built in", async () => {
    const modules = subject(await measured("kernel", on("workstation-nvidia")), "modules")
    expect(modules?.facts).toEqual([
      ["module/nvidia", `version:550.120 srcversion:2DB4D4E4A9D8F4A21D9CA3B taint:POE build-id:${"aa".repeat(20)}`],
      ["module/nvidia_uvm", `srcversion:A9C1E4B7F1A8C3D2E5F6071 taint:POE build-id:${"ab".repeat(20)}`],
      ["module/tpm_crb", `srcversion:7E0C53C9F9C2F0E0F9F3B1C build-id:${"ac".repeat(20)}`],
      ["absent", "modules.dep"],
    ])
  })

  it("reads this machine's own kernel as the kernel's other tools do", async () => {
    const running = subject(await measured("kernel", "/"), "running")
    expect(valueOf(running, "/proc/sys/kernel/osrelease")).toBe(execFileSync("uname", ["-r"]).toString().trim())
  })
})

describe("driver", () => {
  it("reads both grammars of the NVIDIA driver's version", async () => {
    const one = subject(await measured("driver", on("workstation-nvidia")), "nvidia")
    const other = subject(await measured("driver", on("workstation-nvidia-other")), "nvidia")
    expect(["version", "kind", "machine"].map(name => valueOf(one, name))).toEqual(["550.120", "proprietary", "x86_64"])
    expect(["version", "kind", "machine"].map(name => valueOf(other, name))).toEqual(["595.91.07", "open", "x86_64"])
    expect(valueOf(other, "params/RegistryDwords")).toBe('"RMForcePcieConfigSave=0x1"')
  })

  it("does not take question marks for a version, nor what a boot assigns for a fact", async () => {
    const card = subject(await measured("driver", on("workstation-nvidia-other")), "nvidia/0000:01:00.0")
    expect(card?.facts).toContainEqual(["unreadable", "Video BIOS: not known before the card is initialised"])
    expect(valueOf(card, "IRQ")).toBeUndefined()
    expect(valueOf(card, "Model")).toBe("NVIDIA RTX PRO 6000 Blackwell Workstation Edition")
  })

  it("finds an AMD card, with the firmware that the driver put onto it", async () => {
    const events = await measured("driver", on("workstation-amd"))
    const card = subject(events, "pci/0000:63:00.0")
    expect(valueOf(card, "driver")).toBe("amdgpu")
    expect(valueOf(card, "fw_version/smc_fw_version")).toBe("0x004e7f00")
    expect(subject(events, "nvidia")?.state).toBe("absent")
  })
})

describe("cuda", () => {
  it("finds toolkits behind links, each library once with its digest and names", async () => {
    const events = await measured("cuda", on("workstation-nvidia"))
    expect(events.map(each => each.subject)).toEqual([
      "/usr/local/cuda-12.4",
      "/opt/vllm/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12",
      "/usr/lib/x86_64-linux-gnu/libcuda.so.550.120",
      "/usr/local/cuda-12.4/targets/x86_64-linux/lib/libcudart.so.12.4.127",
    ])
    expect(valueOf(events[0], "cuda_cudart")).toBe("CUDA Runtime (cudart) 12.4.127")
    const path = "usr/local/cuda-12.4/targets/x86_64-linux/lib/libcudart.so.12.4.127"
    expect(valueOf(events[3], "digest")).toBe(sha256(join(on("workstation-nvidia"), path)))
    expect(events[3]?.facts.filter(([name]) => name === "name")).toHaveLength(2)
  })

  it("finds ROCm", async () => {
    expect((await measured("cuda", on("workstation-amd"))).slice(0, 1)).toMatchObject([
      { subject: "/opt/rocm-6.4.1", state: "present", facts: [["version", "6.4.1-83"]] },
    ])
  })
})

describe("runtime", () => {
  it("finds what is installed and what runs from elsewhere", async () => {
    const events = await measured("runtime", on("workstation-nvidia"))
    expect(events.map(each => each.subject)).toEqual([
      "/opt/vllm/bin/vllm",
      "/srv/llama/llama-server",
      "/usr/local/bin/ollama",
      "/opt/vllm/lib/python3.12/site-packages/torch-2.9.0.dist-info",
      "/opt/vllm/lib/python3.12/site-packages/vllm-0.11.0.dist-info",
    ])
    const path = join(on("workstation-nvidia"), "usr/local/bin/ollama")
    expect(valueOf(subject(events, "/usr/local/bin/ollama"), "digest")).toBe(sha256(path))
  })

  it("tells that the one that runs is not the one on disk", async () => {
    const events = await measured("runtime", on("workstation-nvidia-other"))
    expect(valueOf(subject(events, "/usr/local/bin/ollama"), "running")).toBe("another file than the one at this path")
  })
})

describe("weights", () => {
  it("tells a model's digest, and both digests of each file", async () => {
    const events = await measured("weights", on("workstation-nvidia"))
    const folder = join(on("workstation-nvidia"), "srv/models/small")
    const files = [
      "config.json",
      "weights/model-00001-of-00002.safetensors",
      "weights/model-00002-of-00002.safetensors",
    ]
    const manifest = execFileSync("sha256sum", files, { cwd: folder })
    expect(valueOf(subject(events, "small"), "digest")).toBe(
      `sha256:${createHash("sha256").update(manifest).digest("hex")}`,
    )
    expect(subject(events, "small")?.facts.slice(1, 4)).toEqual([
      ["files", "3"],
      ["bytes", "1074"],
      ["path", "/srv/models/small"],
    ])
    const verity = execFileSync("fsverity", ["digest", "--compact", join(folder, "config.json")])
      .toString()
      .trim()
    const flat = sha256(join(folder, "config.json"))
    expect(valueOf(subject(events, "small"), "file/config.json")).toBe(`${flat} verity:${verity} size:24`)
  })

  it("tells a model that cannot be hashed, and one that is not there", async () => {
    const [, gguf] = await measured("weights", on("workstation-nvidia-other"))
    expect(gguf).toMatchObject({ subject: "/srv/models/small.gguf", state: "absent" })
    const root = join(scratch, "fifo")
    cpSync(on("workstation-nvidia"), root, { recursive: true, verbatimSymlinks: true })
    execFileSync("mkfifo", [join(root, "srv/models/small/pipe")])
    const [small] = await measured("weights", root)
    expect(small?.state).toBe("unreadable")
    expect(small?.facts[0]?.[1]).toContain("pipe is neither a file nor a folder")
  })

  it("tells that it is the kernel that refuses to read a file", async () => {
    const [model] = await measured("weights", "/", { weights: [{ name: "m", path: "/proc/self/mem", links: "own" }] })
    expect(model?.state).toBe("unreadable")
    expect(model?.facts).toEqual([
      ["unreadable", expect.stringMatching(/^\/proc\/self\/mem: the kernel refuses to read \S+ \(EIO\): .*restore it/)],
    ])
  })

  it("puts further files into further events of the same subject", async () => {
    const root = join(scratch, "many")
    mkdirSync(join(root, "m"), { recursive: true })
    for (let i = 0; i < 1100; i++) writeFileSync(join(root, "m", String(i).padStart(4, "0")), String(i))
    const events = await measured("weights", root, { weights: [{ name: "m", path: "/m", links: "own" }] })
    expect(events.map(({ facts }) => facts.length)).toEqual([factsPerEvent, factsPerEvent + 1, 105])
    expect(events.slice(1).map(({ facts }) => facts[0])).toEqual([
      ["part", "2"],
      ["part", "3"],
    ])
    const files = events.flatMap(({ facts }) => facts).filter(([name]) => name.startsWith("file/"))
    expect(files.map(([name]) => name)).toEqual(
      Array.from({ length: 1100 }, (_, i) => `file/${String(i).padStart(4, "0")}`),
    )
  })
})

describe("a hostile machine", () => {
  const hostile = [
    "\0\u001b[2J\u2028\\x41",
    Buffer.from([0xff, 0xfe, 0x00, 0xc3]),
    "x".repeat(70_000),
    "name: value\n".repeat(400),
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  \n\n",
    "{".repeat(10_000),
    Buffer.from("04000000ffffffff03000000474e5500", "hex"),
    "",
  ]

  it("breaks no source, whatever its files hold", async () => {
    const paths = execFileSync("find", [".", "-type", "f"], { cwd: on("workstation-nvidia") })
      .toString()
      .split("\n")
    for (const [i, content] of hostile.entries()) {
      const root = join(scratch, `hostile-${i}`)
      for (const path of paths.filter(Boolean)) {
        mkdirSync(dirname(join(root, path)), { recursive: true })
        writeFileSync(join(root, path), content)
      }
      for (const name of names) for (const event of await measured(name, root)) writeEvent(event)
    }
  })

  it("breaks no source with folders and links where files should be", async () => {
    const paths = execFileSync("find", [".", "-type", "f"], { cwd: on("workstation-nvidia") })
      .toString()
      .split("\n")
    const [folders, circles] = [join(scratch, "folders"), join(scratch, "circles")]
    for (const path of paths.filter(Boolean)) {
      mkdirSync(join(folders, path), { recursive: true })
      mkdirSync(dirname(join(circles, path)), { recursive: true })
      symlinkSync(path.split("/").at(-1) ?? "", join(circles, path))
    }
    for (const root of [folders, circles])
      for (const name of names)
        for (const event of await measured(name, root)) {
          writeEvent(event)
          if (name === "cuda" || name === "weights" || event.subject === "smbios")
            expect(event.state).not.toBe("present")
        }
  })
})
