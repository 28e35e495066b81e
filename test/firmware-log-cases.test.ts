/** Do the logs of real machines and of other projects come to the PCR values that their makers assert, in every bank? */
import { join } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import type { HashAlgorithm } from "../attestation/tcg/algorithm.ts"
import { measuredEvents } from "../attestation/tcg/firmware/content.ts"
import { firmwareFacts } from "../attestation/tcg/firmware/facts.ts"
import { type FirmwareLog, readFirmwareLog } from "../attestation/tcg/firmware/log.ts"
import { replayFirmwareLog, startupOf, valuesUnder } from "../attestation/tcg/firmware/replay.ts"
import { subjectOf } from "../attestation/tcg/firmware/variable.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromHex, toHex } from "../attestation/wire/text.ts"
import { replayFirmware } from "../attestation/verify/firmware-log.ts"
import { output } from "./foreign.ts"
import { agile, le, specId } from "./firmware-maker.ts"
import { type Banks, banksOf, pcrsOf, vector, vectors, vectorsIn } from "./vectors.ts"

/** What the log says of these PCRs, as if they had been quoted. */
const factsOf = (log: FirmwareLog, bank: HashAlgorithm, proven: ReadonlySet<number>) =>
  firmwareFacts(log, measuredEvents(log, bank), proven)

type Case = { readonly name: string; readonly log: Buffer; readonly asserted: Banks }

const eventlog = JSON.parse(vector("go-eventlog", "expected_pcrs.json").toString()) as Record<
  string,
  {
    readonly log: string
    readonly pcrs: Record<string, Record<string, string>>
    readonly efi_app_digests: Record<string, readonly string[]>
  }
>

/** A go-attestation dump: the quoted SHA-1 PCRs beside the log. */
function dump(...path: readonly string[]): Case {
  const { Log } = JSON.parse(vector(...path).toString()) as {
    readonly Log: {
      readonly Raw: string
      readonly PCRs: readonly { readonly Index: number; readonly Digest: string }[]
    }
  }
  const values = Log.PCRs.map(({ Index, Digest }) => [Index, Buffer.from(Digest, "base64").toString("hex")] as const)
  return {
    name: path.join("/"),
    log: Buffer.from(Log.Raw, "base64"),
    asserted: new Map([["sha1", new Map(values.filter(([pcr]) => pcr < 8))]]),
  }
}

const decodedBy = (...path: readonly string[]): Banks => pcrsOf(output("tpm2_eventlog", [join(vectors, ...path)]))

/** PCRs that a firmware log accounts for: what the running system extends is left out. */
const withoutIma = (banks: Banks): Banks =>
  new Map([...banks].map(([bank, pcrs]) => [bank, new Map([...pcrs].filter(([pcr]) => pcr < 16 && pcr !== 10))]))

const booted = vectorsIn("qemu-ovmf").filter(each => each !== "README.md")
const withLog = booted.filter(each => vectorsIn("qemu-ovmf", each).includes("eventlog.bin"))
const decoded = vectorsIn("tpm2-tools", "event-raw").map(each => each.replace(/\.yaml$/, ""))

const cases: readonly Case[] = [
  ...Object.values(eventlog).map(each => ({
    name: `go-eventlog/${each.log}`,
    log: vector("go-eventlog", each.log),
    asserted: banksOf(each.pcrs),
  })),
  ...decoded.map(each => ({
    name: `tpm2-tools/${each}`,
    log: vector("tpm2-tools", each),
    asserted: pcrsOf(vector("tpm2-tools", "event-raw", `${each}.yaml`)),
  })),
  ...["event.bin", "specid-vendordata.bin"].map(each => ({
    name: `tpm2-tools/${each}`,
    log: vector("tpm2-tools", each),
    asserted: pcrsOf(vector("tpm2-tools", `${each}.yaml`)),
  })),
  ...withLog.map(each => ({
    name: `qemu-ovmf/${each}`,
    log: vector("qemu-ovmf", each, "eventlog.bin"),
    asserted: withoutIma(pcrsOf(vector("qemu-ovmf", each, "pcrread.yaml"))),
  })),
  dump("go-attestation", "windows_gcp_shielded_vm.json"),
  dump("go-eventlog", "legacydata", "windows_gcp_shielded_vm.json"),
  dump("go-eventlog", "legacydata", "linux_tpm12.json"),
  ...["sample-binary_bios_measurements-pcrs-8-9", "test_binary_bios_measurements"].map(each => ({
    name: `ima-evm-utils/${each}`,
    log: vector("ima-evm-utils", each),
    asserted: decodedBy("ima-evm-utils", each),
  })),
]

const matrix: string[] = []
afterAll(() => {
  process.stderr.write(`firmware logs that nobody here wrote\n${matrix.join("\n")}\n`)
})

/** How many values were compared; a PCR that no event extends holds zeroes, or ones from 17 to 22. */
function compare({ log: bytes, asserted }: Case): number {
  const log = readFirmwareLog(bytes)
  let compared = 0
  for (const [bank, pcrs] of asserted) {
    const { values } = replayFirmwareLog(log, bank, startupOf(log))
    for (const [pcr, wanted] of pcrs) {
      const untouched = pcr >= 17 && pcr <= 22 ? "f" : "0"
      expect(toHex(values.get(pcr) ?? fromHex(untouched.repeat(wanted.length))), `${bank} PCR ${pcr}`).toBe(wanted)
      compared++
    }
  }
  return compared
}

describe("C25 replay to the asserted values", () => {
  test.each(cases)("$name", each => {
    const banks = [...each.asserted].map(([bank, pcrs]) => `${bank} ${pcrs.size}`)
    const compared = compare(each)
    matrix.push(`  ${each.name.padEnd(72)} ${`${compared}`.padStart(3)} values (${banks.join(", ")})`)
  })

  test("not one of them is empty but those without events", () => {
    const empty = cases.filter(each => [...each.asserted.values()].every(pcrs => pcrs.size === 0))
    expect(empty.map(each => each.name)).toEqual(["tpm2-tools/specid-vendordata.bin"])
  })
})

describe("tpm2_eventlog reads them the same", () => {
  const others = [
    ["keylime", "create-mb-policy", "binary_bios_measurements-secureboot"],
    ["keylime-tests", "keylime-policy-commands__mb_log.bin"],
    ["keylime-tests", "keylime-policy-commands__mb_log_secureboot.bin"],
    ["rust-keylime", "keylime__uefi_log.bin"],
    ["go-attestation", "crypto_agile_eventlog"],
    ["go-attestation", "coreos_36_shielded_vm_no_secure_boot_eventlog"],
    ["go-attestation", "sb_cert_eventlog"],
  ].map(path => ({ name: path.join("/"), path }))

  test.each(others)("$name", ({ name, path }) => {
    const log = vector(...path)
    const asserted = decodedBy(...path)
    const compared = compare({ name, log, asserted })
    expect(compared).toBeGreaterThan(5)
    matrix.push(`  ${name.padEnd(72)} ${`${compared}`.padStart(3)} values (tpm2_eventlog)`)
  })

  test("keylime/create-mb-policy/binary_bios_measurements, but for PCR 0: 5.4 extends it with StartupLocality", () => {
    const path = ["keylime", "create-mb-policy", "binary_bios_measurements"] as const
    expect(startupOf(readFirmwareLog(vector(...path)))).toEqual({ locality: 3, source: "logged" })
    const others = [...decodedBy(...path)].map(
      ([bank, pcrs]) => [bank, new Map([...pcrs].filter(([pcr]) => pcr > 0))] as const,
    )
    expect(compare({ name: path.join("/"), log: vector(...path), asserted: new Map(others) })).toBe(20)
  })

  test("keylime's log in base64, and four copies of one log", () => {
    expect(readFirmwareLog(Buffer.from(vector("keylime", "mb_log.b64").toString(), "base64")).events.length).toBe(101)
    for (const each of vectorsIn("keylime-tests").filter(name => name.endsWith("binary_bios_measurements")))
      expect(readFirmwareLog(vector("keylime-tests", each)).events.length).toBe(94)
  })
})

describe("confidential virtual machines: the same format, other registers", () => {
  const expected = JSON.parse(vector("go-eventlog", "expected_rtmrs.json").toString()) as Record<
    string,
    { readonly rtmr: Record<string, string> }
  >
  test.each(Object.keys(expected))("%s", name => {
    const log = readFirmwareLog(vector("go-eventlog", name))
    const { values } = replayFirmwareLog(log, "sha384", startupOf(log))
    const rtmrs = Object.entries(expected[name]?.rtmr ?? {})
    for (const [rtmr, wanted] of rtmrs) expect(toHex(values.get(Number(rtmr) + 1) ?? new Uint8Array(0))).toBe(wanted)
    matrix.push(`  ${`go-eventlog/${name}`.padEnd(72)} ${`${rtmrs.length}`.padStart(3)} RTMRs`)
  })

  test("C24 the copy with a second separator is named", () => {
    const log = vector("go-eventlog", "eventlogs", "ccel", "cos-113-intel-tdx-dupe-separator.bin")
    const quoted = new Map([
      ...replayFirmwareLog(readFirmwareLog(log), "sha384", { locality: 0, source: "default" }).values,
    ])
    const { findings } = replayFirmware({ firmware: log, userspace: "none" }, "sha384", quoted, [])
    expect(findings.filter(({ id }) => id === "firmware.grammar").map(({ seen }) => seen)).toContain(
      "event 16, SEPARATOR, after that of event 8",
    )
  })
})

describe("C23 malformed logs are refused", () => {
  const header = (body: Uint8Array): Buffer =>
    Buffer.concat([le(4, 0), le(4, 3), Buffer.alloc(20), le(4, body.length), body])
  const malformed = (name: string): Buffer => vector("go-attestation", "malformed", name)

  test.each([
    ["an event of three gigabytes", malformed("event_size_3GB.bin"), "there is no PCR"],
    [
      "the size alone",
      Buffer.concat([Buffer.alloc(28), malformed("event_size_3GB.bin").subarray(28)]),
      "exceeds 4194304",
    ],
    ["a version that is none", header(malformed("specid_invalid_version.bin")), "of version 1.2"],
    ["2^32 - 1 algorithms", header(malformed("specid_malicious_numalgs.bin")), "4294967295 algorithms"],
    [
      "keylime's bogus log",
      vector("keylime", "create-mb-policy", "binary_bios_measurements-bogus"),
      "event 0 at byte 0",
    ],
    ["an empty log", vector("keylime", "create-mb-policy", "binary_bios_measurements-empty"), "is empty"],
    ["a table that is no log", vector("go-eventlog", "eventlogs", "ccel", "CCEL.bin"), "there is no PCR"],
  ])("%s", (_, bytes, why) => {
    expect(() => readFirmwareLog(bytes)).toThrow(Malformed)
    expect(() => readFirmwareLog(bytes)).toThrow(why)
    if (bytes.length === 0) return
    const { findings, facts } = replayFirmware({ firmware: bytes, userspace: "none" }, "sha256", new Map(), [])
    expect([findings.map(({ id }) => id), facts]).toEqual([["firmware.malformed"], "nothing proven"])
  })

  test("and what is only odd is read", () => {
    expect(readFirmwareLog(header(malformed("specid_sha1_ok.bin"))).banks).toEqual(["sha1"])
    expect(readFirmwareLog(header(malformed("specid_sha1_sha256_ok.bin"))).banks).toEqual(["sha1", "sha256"])
    expect(readFirmwareLog(malformed("event_size_zero_tpm12.bin")).events).toMatchObject([{ pcr: 4, claimedType: 13 }])
    const one = Buffer.concat([specId(["sha256"]), malformed("event2_size_zero_sha256.bin")])
    expect(readFirmwareLog(one).events).toMatchObject([{ pcr: 0, claimedType: 7, data: { length: 0 } }])
    const short = readFirmwareLog(vector("go-attestation", "short_no_action_eventlog"))
    expect([short.format, short.events.length]).toEqual(["sha1 only", 1])
    expect(agile(["sha1"], { pcr: 0, type: 3, data: new Uint8Array(0) }).length).toBe(38)
  })
})

describe("what other projects read in them", () => {
  test.each(Object.entries(eventlog).filter(([, each]) => "sha1" in each.efi_app_digests))(
    "the programs that %s loaded",
    (_, { log: path, efi_app_digests: wanted }) => {
      const log = readFirmwareLog(vector("go-eventlog", path))
      for (const [bank, digests] of Object.entries(wanted)) {
        const { images } = factsOf(log, bank as HashAlgorithm, new Set([4]))
        const loaded = images.filter(each => each.claimedKind === "application").map(each => each.digest)
        expect(new Set(loaded)).toEqual(new Set(digests))
      }
    },
  )

  test.each([
    ["Rhel8GCE", "on"],
    ["Ubuntu2104NoSecureBootGCE", "off"],
    ["GlinuxNoSecureBootLaptop", "off"],
    ["ArchLinuxWorkstation", "absent"],
  ])("whether Secure Boot was on: %s, %s", (name, state) => {
    const log = readFirmwareLog(vector("go-eventlog", eventlog[name]?.log ?? ""))
    expect(factsOf(log, "sha256", new Set([7])).secureBoot.state).toBe(state)
    expect(factsOf(log, "sha256", new Set([0])).secureBoot.state).toBe("unknown")
  })
})

describe("C25 a firmware that does not log ExitBootServices", () => {
  const bytes = vector("go-attestation", "ebs_event_missing_eventlog")
  const expected = JSON.parse(vector("go-attestation", "expected.json").toString()) as {
    readonly ebs_event_missing_eventlog: { readonly pcr5: { readonly sha1: string } }
  }
  const quoted = new Map([[5, fromHex(expected.ebs_event_missing_eventlog.pcr5.sha1)]])
  const judged = (quirks: readonly "exit-boot-services"[]) =>
    replayFirmware({ firmware: bytes, userspace: "none" }, "sha1", quoted, quirks)

  test("differs, until the defect is admitted, and is reported then", () => {
    expect(judged([]).findings.map(({ id }) => id)).toContain("firmware.replay")
    expect(judged([]).facts).toMatchObject({ proven: [], quirks: [] })
    const ids = judged(["exit-boot-services"]).findings.map(({ id }) => id)
    expect(ids).toContain("firmware.quirk")
    expect(ids).not.toContain("firmware.replay")
    expect(judged(["exit-boot-services"]).facts).toMatchObject({ proven: [5], quirks: ["exit-boot-services"] })
    expect(valuesUnder("exit-boot-services", readFirmwareLog(bytes), "sha1", 4)).toEqual([])
  })
})

describe("machines booted in a virtual machine", () => {
  test.each(withLog)("C24 every PCR is proven, with nothing to complain of: %s", name => {
    const pcrs = withoutIma(pcrsOf(vector("qemu-ovmf", name, "pcrread.yaml")))
    for (const bank of ["sha1", "sha256", "sha384"] as const) {
      const quoted = new Map([...(pcrs.get(bank) ?? [])].map(([pcr, value]) => [pcr, fromHex(value)]))
      const logs = { firmware: vector("qemu-ovmf", name, "eventlog.bin"), userspace: "none" } as const
      const { facts, findings } = replayFirmware(logs, bank, quoted, [])
      expect(findings).toEqual([])
      expect(facts).toMatchObject({ proven: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15], quirks: [] })
      if (typeof facts === "string") throw new Error(facts)
      const on = vector("qemu-ovmf", name, "efivar-SecureBoot.bin")[4] === 1
      expect(facts.secureBoot.state).toBe(on ? "on" : "off")
      // what the kernel says of itself: BOOT_IMAGE=/vmlinuz root=…
      const [line] = facts.grub.claimedCommandLines
      expect(`BOOT_IMAGE=${line}`).toBe(vector("qemu-ovmf", name, "proc-cmdline").toString().trim())
      expect(facts.grub.kernels.map(each => each.claimedPath)).toEqual(["/vmlinuz"])
      expect(facts.grub.initrds.map(each => each.claimedPath)).toEqual(["/initrd.img"])
      expect(facts.mokLists.map(each => each.claimedPath)).toEqual(["MokList", "MokListX", "MokListTrusted"])
      expect(facts.exitedBootServices).toBe(true)
    }
  })

  test("a changed command line is in the facts, and in no PCR below 8", () => {
    const proven = new Set([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    const of = (name: string) => factsOf(readFirmwareLog(vector("qemu-ovmf", name, "eventlog.bin")), "sha256", proven)
    const [before, after] = [of("1-sboff-shim-grub"), of("2-sboff-cmdline-changed")]
    expect(after.images).toEqual(before.images)
    expect(after.secureBoot).toEqual(before.secureBoot)
    expect(after.grub.claimedCommandLines.join()).toContain("iommu=off mitigations=off")
    expect(before.grub.claimedCommandLines.join()).not.toContain("iommu=off")
  })

  test("with Secure Boot on: who vouched for shim and for the kernel", () => {
    const log = readFirmwareLog(vector("qemu-ovmf", "3-sbon-shim-grub", "eventlog.bin"))
    const { secureBoot, images } = factsOf(log, "sha256", new Set([4, 7]))
    expect(secureBoot.authorities.map(each => [each.variable, subjectOf(each.certificate!)?.split("CN=")[1]])).toEqual([
      ["db", "Microsoft Corporation UEFI CA 2011"],
      ["MokListRT", "Debian Secure Boot CA"],
    ])
    expect(secureBoot.allowed?.signatures?.map(each => each.kind)).toEqual(["x509", "x509"])
    expect(secureBoot.forbidden?.signatures?.length).toBe(1)
    expect(secureBoot.sbatLevel).toContain("sbat,1,2025021800")
    expect(images.map(each => each.claimedPath.split("/").at(-1))).toContain("\\EFI\\BOOT\\BOOTX64.EFI")
  })

  test("no log is a state of its own", () => {
    const none = "5-sboff-grub-no-efi-stub"
    expect(booted.filter(each => !withLog.includes(each))).toEqual([none])
    const pcrs = pcrsOf(vector("qemu-ovmf", none, "pcrread.yaml")).get("sha256") ?? new Map<number, string>()
    const quoted = new Map([...pcrs].map(([pcr, value]) => [pcr, fromHex(value)]))
    for (const firmware of ["none", new Uint8Array(0)] as const) {
      const { facts, findings, handover } = replayFirmware({ firmware, userspace: "none" }, "sha256", quoted, [])
      expect([facts, findings.map(({ id }) => id), handover]).toEqual(["no log", ["firmware.no-log"], "unknown"])
    }
  })
})
