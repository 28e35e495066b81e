/**
 * Do the logs of a boot come through whole, from the kernel's files to the verdict? A real software TPM, extended as the boots of
 * six machines extended theirs; our agent and our collector; and each real source changed, with the finding that appears.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { Attester, type Evidence } from "../agent/attester.ts"
import { bootLogFiles, bootLogPaths } from "../agent/boot-logs.ts"
import { stayConnected } from "../agent/connect.ts"
import { enrol } from "../agent/enrol.ts"
import { Host } from "../agent/host.ts"
import { KnownPrefix } from "../agent/outbox.ts"
import { Spool } from "../agent/spool.ts"
import { Standing } from "../agent/standing.ts"
import { Wishes } from "../agent/wishes.ts"
import { judgeBoot } from "../attestation/appraise/boot.ts"
import { readResult } from "../attestation/appraise/result.ts"
import { propose, type Reference } from "../attestation/pins/reference.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import type { BootLogName } from "../attestation/protocol/evidence.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { bootMeasurements } from "../attestation/verify/boot-lines.ts"
import type { Finding } from "../attestation/verify/finding.ts"
import { filesOf } from "../attestation/verify/ima-files.ts"
import { type VerifiedEvidence, verify } from "../attestation/verify/verify.ts"
import { fromBase64, fromHex } from "../attestation/wire/text.ts"
import { writeBundle } from "../cli/bundle.ts"
import { bootedMachines, fileOf, logsOf } from "./booted-machine.ts"
import { type BrokerProcess, cycle, killBrokers, startBroker } from "./broker-process.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { imaEntries, PlayedKernel } from "./played-kernel.ts"
import { record } from "./recorder.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 23]
const [ordinary = "", changedLine = "", secure = "", noStub = "", violations = "", replaced = ""] = bootedMachines

let tpm: Swtpm
let kernel: PlayedKernel
let broker: BrokerProcess
let attester: Attester
const folder = mkdtempSync(join(tmpdir(), "played-"))

beforeAll(async () => {
  tpm = await startSwtpm()
  kernel = new PlayedKernel(tpm, join(folder, "root"))
  broker = startBroker(tpm)
  attester = newAttester()
})
afterAll(async () => {
  await attester.close()
  await killBrokers()
  await tpm.stop()
  rmSync(folder, { recursive: true, force: true })
})

function newAttester(): Attester {
  const tpmSettings = {
    broker: "own",
    tcti: "",
    ek_certificate: "",
    software: true,
    pcr: 23 as const,
    pcrs,
    deadline: 10,
  }
  return new Attester({
    broker,
    host: new Host(kernel.root),
    configuration: { weights: [], tpm: tpmSettings, state: kernel.root },
    now: Date.now,
  })
}

/** Power off and on, and the boot of one of the machines. */
async function boot(machine: string): Promise<void> {
  await cycle(tpm, "reboot")
  kernel.clear()
  await attester.close()
  attester = newAttester()
  const logs = logsOf(machine)
  const firmware = logs.get("firmware")
  if (firmware) await kernel.firmware(firmware)
  await kernel.measure(imaEntries(logs.get("ima") ?? new Uint8Array(0)))
}

const report = (): Promise<Evidence> =>
  attester.answer(
    { asked: { kind: "report", after: null }, audience: "test", depth: "quick" },
    new AbortController().signal,
  )

/** What {@link verify} makes of evidence; the findings where it is not authentic. */
async function judged({ envelope, log, bootLogs }: Evidence): Promise<VerifiedEvidence | readonly Finding[]> {
  const { identity } = await broker.call("identity", {})
  const [ak, evidenceKey] = [fromBase64(identity.akPublic), fromBase64(identity.evidenceKey)]
  const outcome = verify(
    { envelope, logs: new Map([["assay", log], ...bootLogs]) },
    {
      keys: { attester: identity.attester, ak, evidenceKey },
      ...{ asked: { kind: "nothing" }, pcrs, logPcr: 23, audience: "anyone", now: Date.now() },
    },
  )
  return outcome.authentic ? outcome.evidence : outcome.findings
}

async function authentic(evidence: Evidence): Promise<VerifiedEvidence> {
  const verified = await judged(evidence)
  if (!("platform" in verified)) throw new Error(JSON.stringify(verified))
  return verified
}

function referenceOf({ platform: { boot, files }, body, digest, events }: VerifiedEvidence): Reference {
  return propose(body.attester, digest, events, "Ada Lovelace", body.made, {
    boot: typeof boot === "string" ? [] : bootMeasurements(boot),
    files: filesOf(files).map(([path, each]) => [path, each]),
    ignored: [],
  })
}

const found = ({ platform }: VerifiedEvidence, reference: Reference | "none recorded"): Finding[] =>
  judgeBoot(platform, reference).flatMap(({ findings }) => findings)
const idsOf = (all: readonly Finding[]): string[] => [...new Set(all.map(({ id }) => id))].toSorted()

let reference: Reference

describe("each machine, quoted by a TPM that was extended as it was", () => {
  test.each(bootedMachines)("%s", async machine => {
    await boot(machine)
    const verified = await authentic(await report())
    reference ??= referenceOf(verified)
    const wanted: Readonly<Record<string, readonly string[]>> = {
      [ordinary]: [],
      [changedLine]: ["boot.command-line", "boot.loader"],
      [secure]: ["boot.chain", "boot.firmware", "boot.keys", "boot.loader", "boot.secure-boot"],
      [noStub]: ["firmware.no-log", "ima.unbound", "reference.missing"],
      [violations]: ["ima.violation"],
      [replaced]: ["files.module", "files.replaced"],
    }
    const ids = idsOf(found(verified, reference)).filter(id => id !== "files.unlisted" && id !== "files.differs")
    expect(ids).toEqual(wanted[machine])
    expect(verified.platform.ima).toMatchObject({ beyond: 0 })
  })
})

describe("each real source, changed", () => {
  const firmware = fileOf(ordinary, "eventlog.bin")
  const ima = imaEntries(fileOf(ordinary, "ima.bin"))
  beforeAll(() => boot(ordinary))

  /** What is found while the files hold something else; a new agent each time, that read nothing before. */
  async function whileShown(files: {
    firmware?: Uint8Array
    ima?: Uint8Array
    userspace?: Uint8Array
  }): Promise<Finding[]> {
    const whole = { firmware, ima: Buffer.concat(ima), ...files }
    for (const name of ["firmware", "ima", "userspace"] as const) {
      const bytes = whole[name]
      if (bytes) kernel.show(name, bytes)
    }
    await attester.close()
    attester = newAttester()
    const all = found(await authentic(await report()), reference)
    rmSync(join(kernel.root, bootLogPaths.userspace), { force: true })
    return all
  }
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ 1)
  const digestAt = (text: string): number => Buffer.from(firmware).indexOf(Buffer.from(text, "hex"))

  test("nothing: nothing is found", async () => expect(await whileShown({})).toEqual([]))

  test("a digest in the firmware log: the PCR that it was of", async () => {
    // GRUB's image, in PCR 4
    const at = digestAt("a68f6d71ebddaa19751ff8d729f67d11b0df8e4c49400c3e7e90de16119e1265")
    const all = await whileShown({ firmware: flipped(firmware, at) })
    expect(all).toContainEqual(expect.objectContaining({ id: "firmware.replay", component: "PCR 4" }))
    expect(idsOf(all)).toContain("boot.chain")
  })

  test("words in the firmware log: they are no longer what was measured", async () => {
    const at = Buffer.from(firmware).lastIndexOf("ima_policy=tcb")
    const all = await whileShown({ firmware: flipped(firmware, at) })
    expect(idsOf(all).some(id => id.startsWith("boot.") || id.startsWith("firmware."))).toBe(true)
  })

  test("an event cut off the firmware log's end", async () => {
    const all = await whileShown({ firmware: firmware.subarray(0, -1) })
    expect(all[0]).toMatchObject({ id: "firmware.malformed" })
  })

  test("a firmware log that is gone, or may not be read", async () => {
    rmSync(join(kernel.root, bootLogPaths.firmware))
    expect(idsOf(found(await authentic(await report()), reference))).toEqual(["firmware.no-log", "reference.missing"])
    mkdirSync(join(kernel.root, bootLogPaths.firmware))
    const closed = await report()
    expect(idsOf(found(await authentic(closed), reference))).toEqual(["firmware.unreadable", "reference.missing"])
    expect(closed.remarks.map(({ message }) => message)).toEqual([
      "cannot read /sys/kernel/security/tpm0/binary_bios_measurements: not a regular file",
    ])
    rmSync(join(kernel.root, bootLogPaths.firmware), { recursive: true })
  })

  test.each<[string, (entries: Uint8Array[]) => Uint8Array[], readonly string[]]>([
    [
      "one byte of a path",
      all => all.with(100, flipped(all[100]!, all[100]!.length - 12)),
      ["ima.entry", "ima.replay"],
    ],
    ["an entry left out", all => all.toSpliced(100, 1), ["ima.replay"]],
    ["an entry put in", all => all.toSpliced(100, 0, all[50]!), ["ima.replay"]],
    ["two entries exchanged", all => all.with(100, all[101]!).with(101, all[100]!), ["ima.replay"]],
    ["the beginning left out", all => all.slice(10), ["ima.replay"]],
    ["the end left out", all => all.slice(0, -10), ["ima.replay"]],
  ])("the IMA log, %s", async (_, alter, ids) => {
    const all = await whileShown({ ima: Buffer.concat(alter([...ima])) })
    expect(idsOf(all)).toEqual([...ids, "reference.missing"])
  })

  test("an IMA log of another boot", async () => {
    const all = await whileShown({ ima: fileOf(violations, "ima.bin") })
    expect(idsOf(all)).toEqual(["ima.replay", "reference.missing"])
  })

  test("no IMA log, or one that may not be read", async () => {
    const place = join(kernel.root, bootLogPaths.ima)
    rmSync(place)
    await attester.close()
    attester = newAttester()
    expect(idsOf(found(await authentic(await report()), reference))).toEqual(["ima.no-log", "reference.missing"])
    mkdirSync(place)
    await attester.close()
    attester = newAttester()
    expect(idsOf(found(await authentic(await report()), reference))).toEqual(["ima.unreadable", "reference.missing"])
    rmSync(place, { recursive: true })
  })

  test("C21 entries that were added after the quote are not believed, and not sent", async () => {
    const more = imaEntries(fileOf(replaced, "ima.bin")).slice(-3)
    kernel.show("ima", Buffer.concat([...ima, ...more]))
    await attester.close()
    attester = newAttester()
    const evidence = await report()
    expect(evidence.bootLogs.get("ima")?.length).toBe(Buffer.concat(ima).length)
    expect(found(await authentic(evidence), reference)).toEqual([])
  })

  test("C26 a log that does not belong to the evidence refuses it", async () => {
    kernel.show("ima", Buffer.concat(ima))
    const evidence = await report()
    for (const [name, bytes] of evidence.bootLogs) {
      const other = { ...evidence, bootLogs: new Map([...evidence.bootLogs, [name, flipped(bytes, bytes.length - 1)]]) }
      expect(await judged(other)).toMatchObject([{ id: "log.digest", component: name }])
      const shorter = { ...evidence, bootLogs: new Map([...evidence.bootLogs, [name, bytes.subarray(0, -1)]]) }
      expect(await judged(shorter)).toMatchObject([{ id: "log.missing", component: name }])
    }
  })

  test("last, a PCR extended by somebody else: of the firmware, of systemd, and IMA's", async () => {
    await kernel.extend(4, "11".repeat(32))
    const four = found(await authentic(await report()), reference)
    expect(four).toContainEqual(expect.objectContaining({ id: "firmware.replay", component: "PCR 4" }))
    await kernel.extend(15, "22".repeat(32))
    const fifteen = found(await authentic(await report()), reference)
    expect(fifteen).toContainEqual(expect.objectContaining({ id: "firmware.unaccounted", component: "PCR 15" }))
    await kernel.extend(10, "33".repeat(32))
    const evidence = await report()
    expect(idsOf(found(await authentic(evidence), reference))).toContain("ima.replay")
    expect(evidence.remarks[0]?.message).toMatch(/^no part of the \d+ bytes of the IMA log comes to the quoted PCR 10$/)
    expect((await report()).remarks).toEqual([])
  })
})

describe("through a collector", () => {
  let house: House
  const place = temporaryFolder()
  const over = new AbortController()
  let running: Promise<void> = Promise.resolve()
  beforeAll(async () => {
    house = await startHouse(place)
    await boot(ordinary)
    const enrolment = await enrol(
      { broker, label: "played", now: Date.now, proxy: "none" },
      readInvitation(await invitationFrom(house)),
      over.signal,
    )
    const say = (): void => undefined
    const { host, port, pin, ak } = enrolment
    const parts = {
      ...{
        attester,
        say,
        random: () => 0,
        known: new KnownPrefix(),
        standing: new Standing(Date.now),
        wishes: new Wishes(),
      },
      spool: await Spool.open(join(folder, "spool"), { evidence: 10, bytes: 1 << 26, horizon: 86_400_000 }, say),
      who: { attester: enrolment.attester, ak },
      endpoint: { host, port, pin: fromHex(pin), proxy: "none" as const },
      succeeded: async () => undefined,
    }
    running = stayConnected(parts, over.signal)
    while (!(await house.admin.call("attesters", { after: "" })).attesters[0]?.connected) await delay(20)
  })
  afterAll(async () => {
    over.abort()
    await running
    await house.stop()
    removeFolder(place)
  })

  const one = async () => (await house.admin.call("attesters", { after: "" })).attesters[0]?.attester ?? ""
  async function challenged() {
    const answer = await house.admin.call("challenge", { attester: await one(), depth: "quick" })
    if (answer.kind !== "judged") throw new Error(JSON.stringify(answer))
    const { components } = readResult(fromBase64(readEnvelope(fromBase64(answer.result)).payload))
    const parts = components.filter(({ name }) => name === "boot" || name === "files")
    return parts.map(({ name, tier, says, findings }) => [name, tier, says, findings.map(({ id }) => id)])
  }

  test("the logs are proven, recorded, found as recorded, and continued from where they were verified", async () => {
    expect(await challenged()).toEqual([
      ["boot", "none", "proven, compared with nothing", ["reference.none"]],
      ["files", "none", "proven, compared with nothing", ["reference.none"]],
    ])
    const recorded = await house.admin.call("reference-record", { attester: await one(), by: "Olga", ignore: [] })
    expect(recorded).toMatchObject({ boot: 8, files: 318 })
    const asRecorded = "proven, as recorded, approved by nobody"
    const same = [
      ["boot", "warning", asRecorded, []],
      ["files", "warning", asRecorded, []],
    ]
    expect(await challenged()).toEqual(same)
    await kernel.measure(imaEntries(fileOf(ordinary, "ima.bin")).slice(-2))
    expect(await challenged()).toEqual(same)
    const modules = imaEntries(fileOf(replaced, "ima.bin")).filter(each => Buffer.from(each).includes("dummy.ko\0"))
    await kernel.measure(modules)
    const [boot_, files] = await challenged()
    expect(boot_).toEqual(same[0])
    expect(files?.slice(0, 3)).toEqual(["files", "contraindicated", "proven, not as recorded"])
    expect(files?.[3]).toEqual(expect.arrayContaining(["files.module", "files.replaced"]))
  })

  test("why it is red is told as differences, with the entries that say so", async () => {
    const kept = await house.admin.call("export", { attester: await one(), evidence: "newest" })
    const bundle = join(folder, "bundle")
    const whole = async (name: BootLogName) =>
      fromBase64((await house.admin.call("boot-log", { evidence: kept.evidence, name, offset: 0 })).bytes)
    const own = fromBase64((await house.admin.call("log", { evidence: kept.evidence, offset: 0 })).bytes)
    const logs = new Map([
      ["assay", own],
      ["firmware", await whole("firmware")],
      ["ima", await whole("ima")],
    ])
    await writeBundle(bundle, { envelope: fromBase64(kept.envelope), logs }, kept.identity)
    writeFileSync(join(bundle, "result.dsse.json"), fromBase64(kept.result))
    const { exit, out } = await record(["explain", bundle])
    expect(exit).toBe(0)
    expect(out).toMatch(/verdict +contraindicated/)
    const entries = imaEntries(await whole("ima")).length
    const module = "/usr/lib/modules/6.1.0-50-amd64/kernel/drivers/net/dummy.ko"
    expect(out.replace(/\s+/g, " ")).toMatch(
      new RegExp(
        `files.module a kernel module .*${module} expected a file of the list came sha256:[0-9a-f]+ where entry \\d+ of the IMA log`,
      ),
    )
    const { findings } = JSON.parse((await record(["explain", bundle, "--json"])).out) as {
      findings: { id: string; place: string }[]
    }
    const places = findings.filter(({ id }) => id === "files.module").map(({ place }) => place)
    expect(places).toContain(`entry ${entries} of the IMA log, PCR 10`)
  })

  test("a stranger with tpm2_eventlog, sha256sum and a shell comes to the quoted values too, and not with another log", async () => {
    const bundle = join(folder, "bundle")
    const script = join(import.meta.dirname, "../docs/verify-by-hand.sh")
    const byHand = async (): Promise<string> =>
      tpm.tool("sh", script, bundle).catch((error: { stdout: string }) => error.stdout)
    const good = await byHand()
    expect(good).toContain("ok    firmware log: comes to the quoted PCR 4\n")
    expect(good).toContain("ok    ima log: comes to the quoted PCR 10\n")
    expect(good).not.toContain("FAIL")
    for (const name of ["firmware", "ima"] as const) {
      const path = join(bundle, bootLogFiles[name])
      const bytes = readFileSync(path)
      writeFileSync(path, bytes.with(bytes.length - 20, (bytes[bytes.length - 20] ?? 0) ^ 1))
      expect(await byHand()).toContain(`FAIL  ${name} log: the bytes that the evidence names\n`)
      writeFileSync(path, bytes)
    }
  }, 240_000)

  test("what is exported holds the logs, byte for byte", async () => {
    const kept = await house.admin.call("export", { attester: await one(), evidence: "newest-answer" })
    expect(kept.bootLogs).toEqual(["firmware", "ima"])
    const bytes = await house.admin.call("boot-log", { evidence: kept.evidence, name: "firmware", offset: 0 })
    expect(Buffer.from(fromBase64(bytes.bytes))).toEqual(Buffer.from(fileOf(ordinary, "eventlog.bin")))
    const log = await house.admin.call("boot-log", { evidence: kept.evidence, name: "ima", offset: 0 })
    expect(Buffer.from(fromBase64(log.bytes)).subarray(0, 1000)).toEqual(
      Buffer.from(fileOf(ordinary, "ima.bin").subarray(0, 1000)),
    )
    expect(log.length).toBeGreaterThan(fileOf(ordinary, "ima.bin").length)
  })
})
