/**
 * Is there a fact that could change without a word? Every file and link of a machine is altered, one after another, all sources look again, and the
 * verdict must name what differs. A fact that no such change moves must say here why not: whoever adds a source finds out.
 */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { Hasher } from "../agent/hash/hasher.ts"
import { sources } from "../agent/sources/index.ts"
import type { Context } from "../agent/sources/source.ts"
import { appraise } from "../attestation/appraise/appraise.ts"
import { nothingProven, propose } from "../attestation/pins/reference.ts"
import { quotedFirmware } from "../attestation/appraise/tpm-firmware.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import type { Finding } from "../attestation/verify/finding.ts"
import { type VerifiedEvidence, verify } from "../attestation/verify/verify.ts"
import { expectedOf, made, measurement, startMachine } from "./evidence-maker.ts"
import { contextOf, on, tpm as someTpm } from "./hosts.ts"

const scratch = mkdtempSync(join(tmpdir(), "assay-facts-"))
const root = join(scratch, "machine")
const hasher = new Hasher()
let evidence: VerifiedEvidence
let recorded: readonly Measurement[]
/** The TPM says of itself what it quotes. */
let tpm: typeof someTpm

/** Its own code is the agent's of this checkout, which the tests of the agent's source alter. */
const looking = sources.filter(({ name }) => name !== "agent")

async function look(more: Partial<Context> = {}): Promise<readonly Measurement[]> {
  const context = contextOf(hasher, root, { depth: "full", tpm, ...more })
  const found: Measurement[] = []
  for (const source of looking) found.push(...(await source.measure(context)))
  return found
}

/** What a verdict says of `events`, where {@link recorded} was approved. */
function told(events: readonly Measurement[]): readonly Finding[] {
  const reference = propose(evidence.body.attester, evidence.digest, recorded, "a person", made, nothingProven)
  const endorsement = { kind: "accepted", by: "a person", reason: "it is" } as const
  const given = { reference, approvals: "ungoverned", endorsement, findings: [] } as const
  return appraise({ ...evidence, events }, given).findings.filter(({ id }) => /^(reference|source)\./.test(id))
}

const keyOf = ({ source, subject }: Measurement): string => (subject === "" ? source : `${source} ${subject}`)

beforeAll(async () => {
  cpSync(on("workstation-nvidia"), root, { recursive: true, verbatimSymlinks: true })
  const machine = await startMachine()
  await machine.append(measurement("vllm"))
  const outcome = verify(await machine.attest({}), expectedOf(machine))
  await machine.tpm.stop()
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  ;({ evidence } = outcome)
  tpm = { ...someTpm, firmware: quotedFirmware(evidence) }
  recorded = await look()
}, 60_000)
afterAll(async () => {
  await hasher.close()
  rmSync(scratch, { recursive: true, force: true })
})

/** Each number another, or, of bytes without any, the last letter. */
function altered(bytes: Buffer): Buffer {
  const text = bytes.toString("latin1")
  const others = text.replaceAll(/\d(?!\d)/g, digit => String((Number(digit) + 1) % 10))
  const other =
    others === text ? text.replace(/[A-Za-z](?=[^A-Za-z]*$)/, letter => (letter === "x" ? "y" : "x")) : others
  return Buffer.from(other === text ? `${text}1` : other, "latin1")
}

/** Every file and link of the machine, with what alters it and puts it back. */
const changes = readdirSync(on("workstation-nvidia"), { recursive: true, withFileTypes: true })
  .filter(entry => entry.isFile() || entry.isSymbolicLink())
  .map(entry => ({
    path: join(entry.parentPath, entry.name).slice(on("workstation-nvidia").length),
    link: entry.isSymbolicLink(),
  }))

async function findingsAfter({ path, link }: (typeof changes)[number]): Promise<readonly Finding[]> {
  const place = join(root, path)
  if (link) {
    const target = readlinkSync(place)
    const put = (to: string): void => {
      rmSync(place)
      symlinkSync(to, place)
    }
    put(`${target}-other`)
    try {
      return told(await look())
    } finally {
      put(target)
    }
  }
  const bytes = readFileSync(place)
  writeFileSync(place, altered(bytes))
  try {
    return told(await look())
  } finally {
    writeFileSync(place, bytes)
  }
}

/** What numbers and last letters do not move: one more byte where size and digest are facts, or another word for a word. */
const longer = [
  ...["usr/bin/fwupdmgr", "usr/sbin/bpftool"],
  ...[
    "usr/lib/x86_64-linux-gnu/libcuda.so.550.120",
    "opt/vllm/bin/vllm",
    "srv/llama/llama-server",
    "usr/local/bin/ollama",
  ],
  "usr/local/cuda-12.4/targets/x86_64-linux/lib/libcudart.so.12.4.127",
  ...["opt/vllm/lib/python3.12/site-packages/nvidia/cublas/lib/libcublas.so.12", "srv/models/small.gguf"],
  ...["srv/models/small/config.json", "srv/models/small/more"],
] as const
const open =
  "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.120  Release Build  (d@b)  Fri Sep 13 10:10:01 UTC 2024\n"
const card = "proc/driver/nvidia/gpus/0000:01:00.0/information"
const reworded: readonly (readonly [path: string, from: RegExp, to: string])[] = [
  ["proc/driver/nvidia/version", /^NVRM.*\n/, open],
  ["proc/driver/nvidia/params", /RegistryDwords: ""/, 'RegistryDwords: "a=b"'],
  [card, /PCIe/, "AGP"],
  [card, /No$/m, "Yes"],
  ["sys/bus/pci/devices/0000:01:00.0/class", /0x030000/, "0x030200"],
  ["proc/cpuinfo", /(?<=vendor_id\s*: )\w+/g, "Other"],
  ["sys/firmware/dmi/tables/DMI", /[A-Z](?=[a-z]{3})/, "Q"],
  // one structure more, before the one that ends the table
  ["sys/firmware/dmi/tables/DMI", /(?=\x7f\x04\x7f)/, "\x02\x04\x77\x00\x00\x00"],
  ...["2041", "2077", "812"].map(pid => [`proc/${pid}/cgroup`, /[\w-]+(?=\.service)/, "other"] as const),
  ["proc/2041/environ", /(?<=HF_TOKEN=)\w+/, "another"],
  ["proc/2041/environ", /(?<=LD_LIBRARY_PATH=)[\w/]+/, "/tmp"],
]

/** Facts that no file moves alone, and why. */
const still: readonly (readonly [facts: RegExp, why: string])[] = [
  [/: absent$/, "there is nothing to alter; that something appears is another state of its subject"],
  [/^(?:cuda|runtime) .*\/[^/]+: (?:name|version|package)$/, "from the name of the file, which is its subject too"],
  [/^firmware uefi: boot$/, "that there are any variables: without them the subject is absent"],
  [/^firmware event-log: /, "that there is a log; what it says is replayed against the PCRs, not compared"],
  [/^driver nvidia: attestation$/, "what a card says of confidential computing: sources-driver.test.ts"],
  [/^weights [^:]*: path$/, "from the configuration"],
  [/^weights .*\.gguf: files$/, "a file is one file"],
  [/^loaded [^:]*: weights\//, "a process may have loaded less; what it has loaded besides is unlisted"],
]

/** Files that say nothing of the machine's parts: what they hold is another with every start or use, replayed, or another source's. */
const unmoving =
  /^\/(?:proc\/\d+\/(?:comm|fd|exe|maps|cgroup|environ)|run\/dbus|sys\/module\/[^/]+\/(?:refcnt|initstate|parameters\/time)|sys\/bus\/pci\/(?:devices\/0000:03|drivers|devices\/.*\/new_id)|usr\/local\/cuda-12\.4\/lib64|opt\/vllm\/.*\/__init__\.py|sys\/kernel\/security\/tpm0)/

async function after(path: string, change: (bytes: Buffer) => Buffer): Promise<readonly Finding[]> {
  const place = join(root, path)
  const before = existsSync(place) ? readFileSync(place) : undefined
  const now = change(before ?? Buffer.alloc(0))
  expect(before && now.equals(before), `${path} is not altered`).not.toBe(true)
  writeFileSync(place, now)
  try {
    return told(await look())
  } finally {
    if (before) writeFileSync(place, before)
    else rmSync(place)
  }
}

test("every fact that a verdict compares is named when its source in the machine changes", async () => {
  expect(told(await look())).toEqual([])
  const moved = new Set<string>()
  const silent: string[] = []
  const take = (path: string, found: readonly Finding[]): void => {
    if (found.length === 0) silent.push(path)
    for (const { component } of found) moved.add(component)
  }
  for (const change of changes) take(change.path, await findingsAfter(change))
  expect(
    silent.filter(path => !unmoving.test(path)),
    "a file that nobody looks at",
  ).toEqual([])
  for (const path of longer) take(path, await after(path, bytes => Buffer.concat([bytes, Buffer.from("\n")])))
  for (const [path, from, to] of reworded)
    take(path, await after(path, bytes => Buffer.from(bytes.toString("latin1").replace(from, to), "latin1")))
  for (const [name, value] of Object.entries({
    firmware: "1.2",
    manufacturer: "X",
    vendor: "Y",
    software: false,
    banks: ["sha1"],
  }))
    take(name, told(await look({ tpm: { ...tpm, [name]: value } })))
  const facts = [...new Set(recorded.flatMap(each => each.facts.map(([name]) => `${keyOf(each)}: ${name}`)))]
  const unmoved = facts.filter(each => !moved.has(each))
  expect(
    unmoved.filter(each => !still.some(([pattern]) => pattern.test(each))),
    "alter its source above",
  ).toEqual([])
  expect(still.filter(([pattern]) => !unmoved.some(each => pattern.test(each)))).toEqual([])
  expect(new Set(facts.map(each => each.split(/[ :]/)[0]))).toEqual(new Set(looking.map(({ name }) => name)))
}, 300_000)
