/** Is the machine measured anew when it changes, though nobody asks? A real broker and TPM; files, devices and processes change. */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { copyFileSync, cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Attester } from "../agent/attester.ts"
import { spawnBroker, spawnDefaults, type SpawnedBroker } from "../agent/broker/spawn.ts"
import { Freshness, type FreshnessSettings } from "../agent/freshness.ts"
import { glance } from "../agent/glance.ts"
import { Host } from "../agent/host.ts"
import { placesIn } from "../agent/places.ts"
import { on } from "./hosts.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const scratch = mkdtempSync(join(tmpdir(), "assay-fresh-"))
const machine = join(scratch, "machine")
const never = new AbortController().signal
const hour = 3_600_000
const tpmSettings = {
  broker: "own",
  tcti: "",
  ek_certificate: "",
  software: true,
  pcr: 23 as const,
  pcrs: [23],
  deadline: 10,
}
let tpm: Swtpm
let broker: SpawnedBroker
let attester: Attester

beforeAll(async () => {
  cpSync(on("workstation-nvidia"), machine, { recursive: true, verbatimSymlinks: true })
  tpm = await startSwtpm()
  const places = { state: join(scratch, "broker"), socket: join(scratch, "b.sock"), tcti: tpm.tcti }
  broker = spawnBroker({ ...spawnDefaults, ...places, softwareTpm: true, pause: 10 })
  attester = new Attester({
    broker,
    host: new Host(machine),
    configuration: { weights: [], tpm: tpmSettings, state: machine },
    now: Date.now,
  })
  await attester.measure("quick", never)
})
afterAll(async () => {
  await attester.close()
  await broker.close()
  await tpm.stop()
  rmSync(scratch, { recursive: true, force: true })
})

/** Runs `change` while the log is kept fresh, and waits until it records what `wanted` says. */
async function recordedAfter(
  settings: Partial<FreshnessSettings>,
  change: () => void,
  wanted: (texts: string) => boolean,
): Promise<void> {
  const measure = async (): Promise<number> => (await attester.measure("quick", never)).appended
  const all = { glance: hour, beat: hour, quiet: 20, ...settings }
  const parts = { host: new Host(machine), measure, recorded: () => attester.recorded, say: () => undefined }
  const fresh = new Freshness(parts, all)
  try {
    await delay(300) // the first glance, and the watchers
    change()
    while (!wanted([...attester.recorded.values()].flat().join("\n"))) await delay(20)
  } finally {
    await fresh.close()
  }
}

const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex")

describe("nobody asks, and it is measured that", () => {
  it("a library was exchanged", async () => {
    const library = "usr/lib/x86_64-linux-gnu/libcuda.so.550.120"
    const change = (): void => {
      writeFileSync(join(machine, `${library}.new`), "another library")
      renameSync(join(machine, `${library}.new`), join(machine, library))
    }
    await recordedAfter({}, change, texts => texts.includes(sha256("another library")))
  })

  it("a card was unplugged", async () => {
    const device = join(machine, "sys/bus/pci/devices/0000:01:00.0")
    const change = (): void => rmSync(device, { recursive: true })
    await recordedAfter({ glance: 50 }, change, texts =>
      texts.includes('"subject":"pci/0000:01:00.0","state":"absent"'),
    )
  })

  it("another driver was loaded", async () => {
    const file = join(machine, "proc/driver/nvidia/version")
    const change = (): void =>
      writeFileSync(file, "NVRM version: NVIDIA UNIX x86_64 Kernel Module  999.42  Thu Jan  1 00:00:00 UTC 2026\n")
    await recordedAfter({ glance: 50 }, change, texts => texts.includes("999.42"))
  })

  it("something changed of which nothing tells, at the beat", async () => {
    const change = (): void => writeFileSync(join(machine, "proc/sys/kernel/kptr_restrict"), "7\n")
    await recordedAfter({ beat: 100 }, change, texts => texts.includes('["/proc/sys/kernel/kptr_restrict","7"]'))
  })
})

describe("a glance at this machine", () => {
  const host = new Host("/")
  const started = async (): Promise<ChildProcess> => {
    const program = join(scratch, "llama-server")
    copyFileSync("/usr/bin/tail", program)
    writeFileSync(join(scratch, "x.gguf"), "weights")
    const child = spawn(program, ["-f", join(scratch, "x.gguf")], { stdio: ["ignore", "pipe", "ignore"] })
    await new Promise(resolve => child.stdout.once("data", resolve))
    return child
  }

  it("sees nothing where nothing happens", async () => {
    const tree = new Host(on("rtx-4090"))
    expect(await glance(tree)).toBe(await glance(tree))
  })

  it("sees a server begin and end", async () => {
    const before = await glance(host)
    const server = await started()
    const during = await glance(host)
    expect(during).not.toBe(before)
    const ended = new Promise(resolve => server.once("exit", resolve))
    server.kill("SIGKILL")
    await ended
    expect(await glance(host)).not.toBe(during)
  })
})

it("places are files on disk that facts name", () => {
  const places = [...placesIn(attester.recorded)]
  expect(places).toContain("/usr/lib/x86_64-linux-gnu/libcuda.so.550.120")
  expect(places).toContain("/srv/llama/llama-server")
  expect(places.filter(each => /^\/(?:proc|sys)\//.test(each))).toEqual([])
})
