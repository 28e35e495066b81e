/** Six machines that were booted in a virtual machine, with quotes by their own TPMs: what do the logs prove, and what is found? */
import { describe, expect, test } from "vitest"
import { bootDifferences, judgeBoot } from "../attestation/appraise/boot.ts"
import { gradesOf } from "../attestation/appraise/grades.ts"
import { placeOf } from "../attestation/appraise/places.ts"
import { propose, type Reference } from "../attestation/pins/reference.ts"
import { type LogEvent, readEvent } from "../attestation/protocol/event.ts"
import { quote as quoteCodec } from "../attestation/tcg/attest.ts"
import { readCertificate } from "../attestation/tcg/certificate.ts"
import { readEkCertificate, whyNotEndorsing } from "../attestation/tcg/ek-certificate.ts"
import { leadsTo } from "../attestation/tcg/ek-chain.ts"
import { compositeDigest } from "../attestation/tcg/pcr.ts"
import { attestedBy, readPublic, whyNoAttestationKey } from "../attestation/tcg/public.ts"
import { signature } from "../attestation/tcg/signature.ts"
import { bootMeasurements } from "../attestation/verify/boot-lines.ts"
import type { Platform } from "../attestation/verify/boot-logs.ts"
import { type Finding, findings } from "../attestation/verify/finding.ts"
import { filesOf } from "../attestation/verify/ima-files.ts"
import { decode } from "../attestation/wire/codec.ts"
import { fromHex, toHex } from "../attestation/wire/text.ts"
import { bootedMachines, certificateOf, fileOf, logsOf, platformOf, valuesOf } from "./booted-machine.ts"

const made = "2026-07-01T00:00:00.000Z"
const [ordinary = "", changedLine = "", secure = "", noStub = "", violations = "", replaced = ""] = bootedMachines

/** TPM2B_PUBLIC without its length. */
const areaOf = (machine: string, name: string): Uint8Array => fileOf(machine, name).subarray(2)

describe.each(bootedMachines)("%s", machine => {
  test.each(["ecc", "rsa"])("its TPM signed the values, with an attestation key: %s", kind => {
    const ak = readPublic(areaOf(machine, `ak-${kind}.pub`))
    const attest = fileOf(machine, `quote-${kind}-sha256.attest`)
    expect(attestedBy(ak, attest, decode(signature, fileOf(machine, `quote-${kind}-sha256.sig`)))).toBe(true)
    expect(
      attestedBy(
        ak,
        attest.with(60, (attest[60] ?? 0) ^ 1),
        decode(signature, fileOf(machine, `quote-${kind}-sha256.sig`)),
      ),
    ).toBe(false)
    expect(whyNoAttestationKey(ak)).toEqual([])
    const { qualifyingData, selections, pcrDigest } = decode(quoteCodec, attest)
    expect(toHex(qualifyingData)).toBe(toHex(fromHex(Buffer.from(fileOf(machine, "nonce.hex")).toString().trim())))
    const [{ bank, pcrs } = { bank: "sha1" as const, pcrs: [] }] = selections
    expect([bank, pcrs.slice(0, 16).join()]).toEqual(["sha256", "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"])
    expect(toHex(compositeDigest("sha256", pcrs, valuesOf(machine)))).toBe(toHex(pcrDigest))
  })

  test("its EK's certificate leads to the root of whoever made the TPM", () => {
    const certificate = readEkCertificate(fileOf(machine, "ek-rsa.crt.der"))
    expect(whyNotEndorsing(certificate, readPublic(areaOf(machine, "ek.pub")))).toEqual([])
    const [roots, intermediates] = ["ekca-root.pem", "ekca-issuer.pem"].map(name => [
      readCertificate(certificateOf(machine, name)),
    ])
    const now = Date.parse("2027-01-01")
    expect(leadsTo(certificate, { roots: roots ?? [], intermediates: intermediates ?? [] }, now)).toMatchObject({
      kind: "anchored",
    })
    expect(leadsTo(certificate, { roots: [], intermediates: intermediates ?? [] }, now)).toMatchObject({
      kind: "unanchored",
    })
  })

  test("both logs account for every value", () => {
    const { platform, found } = platformOf(valuesOf(machine), logsOf(machine))
    expect(found).toEqual([])
    const ids = new Set(platform.findings.map(({ id }) => id))
    const wanted = new Map([
      [noStub, ["firmware.no-log"]],
      [violations, ["ima.violation"]],
    ])
    expect([...ids].toSorted()).toEqual(wanted.get(machine) ?? [])
    expect(platform.ima).toMatchObject({ form: "binary", beyond: 0, elsewhere: 0 })
    expect(filesOf(platform.files).length).toBeGreaterThan(300)
  })
})

const platform = (machine: string): Platform => platformOf(valuesOf(machine), logsOf(machine)).platform

function referenceOf(machine: string, ignored: string[] = []): Reference {
  const { boot, files } = platform(machine)
  return propose("000b" + "0".repeat(64), "0".repeat(64), [], "Ada Lovelace", made, {
    boot: typeof boot === "string" ? [] : bootMeasurements(boot),
    files: filesOf(files).map(([path, digest]) => [path, digest]),
    ignored,
  })
}

const found = (machine: string, reference: Reference): Finding[] =>
  judgeBoot(platform(machine), reference).flatMap(({ findings }) => findings)
const told = (all: readonly Finding[]): [string, string, string, string][] =>
  all.map(({ id, component, seen, wanted }) => [id, component, seen, wanted])

describe("where a finding comes from", () => {
  test("the event of the firmware log, as tpm2_eventlog numbers it, and the entry of IMA's", () => {
    const logs = logsOf(changedLine)
    const [parameter] = found(changedLine, referenceOf(ordinary)).filter(({ id }) => id === "boot.command-line")
    const place = parameter && placeOf(parameter, logs)
    const [, number = "0"] = /^event (\d+) of the firmware log, PCR 8$/.exec(place ?? "") ?? []
    const yaml = Buffer.from(fileOf(changedLine, "eventlog.yaml")).toString()
    const event = yaml.split("- EventNum: ").find(each => each.startsWith(`${number}\n`)) ?? ""
    expect(event).toContain("iommu=off")
    const [violation] = found(violations, referenceOf(violations))
    const [, first = "0", second = "0"] =
      /^entries (\d+), (\d+) of the IMA log/.exec(placeOf(violation!, logsOf(violations)) ?? "") ?? []
    const lines = Buffer.from(fileOf(violations, "ima.ascii")).toString().split("\n")
    for (const each of [first, second]) expect(lines[Number(each) - 1]).toMatch(/^10 0{40} /)
  })

  test("a grade is the kernel's only where the digest stands in its log", () => {
    const { files } = platform(ordinary)
    const [path, spoken] = filesOf(files).find(([each]) => each === "/opt/agent/node") ?? ["", ""]
    expect(path).toBe("/opt/agent/node")
    const [, digest = ""] = spoken.split(":")
    const measured = (sha256: string): LogEvent => ({
      ...{ type: "assay.measurement.v1", source: "agent", subject: "interpreter", state: "present" },
      facts: [["sha256", sha256]],
    })
    const grade = (sha256: string, from: Platform["files"]) =>
      gradesOf({ events: [measured(sha256)], platform: { files: from } })
    expect(grade(digest, files)).toMatchObject({ agent: "kernel-measured", facts: [{ grade: "kernel-measured" }] })
    expect(grade("00".repeat(32), files)).toMatchObject({ agent: "self-reported", facts: [{ grade: "self-reported" }] })
    expect(grade(digest, platform(replaced).files)).toMatchObject({ agent: "self-reported" })
    const graded = JSON.stringify({ ...measured(digest), grade: "kernel-measured" })
    expect(() => readEvent(graded)).toThrow("grade")
  })
})

describe("compared with what was recorded of an ordinary boot", () => {
  test("the same boot is as recorded", () => {
    const [boot, files] = judgeBoot(platform(ordinary), referenceOf(ordinary))
    expect(boot).toEqual({
      name: "boot",
      tier: "warning",
      says: "proven, as recorded, approved by nobody",
      findings: [],
    })
    expect(files).toEqual({
      name: "files",
      tier: "warning",
      says: "proven, as recorded, approved by nobody",
      findings: [],
    })
  })

  test("another command line is named parameter by parameter", () => {
    const about = found(changedLine, referenceOf(ordinary)).filter(({ id }) => id.startsWith("boot."))
    expect(told(about).filter(([id]) => id !== "boot.loader")).toEqual([
      ["boot.command-line", "boot command-line: parameter", "iommu=off", "nothing"],
      ["boot.command-line", "boot command-line: parameter", "mitigations=off", "nothing"],
    ])
    // the file in which the line stood is another too, and nothing else
    expect(
      told(about)
        .filter(([id]) => id === "boot.loader")
        .map(([, component]) => component),
    ).toEqual(["boot loader: file (hd0,gpt1)/EFI/debian/grub.cfg"])
    expect(judgeBoot(platform(changedLine), referenceOf(ordinary))[0]?.tier).toBe("contraindicated")
  })

  test("a module that was replaced is named, with the list and without it", () => {
    const module = "/usr/lib/modules/6.1.0-50-amd64/kernel/drivers/net/dummy.ko"
    const named = found(replaced, referenceOf(ordinary)).filter(({ component }) => component === module)
    expect(named.map(({ id }) => id)).toEqual(["files.replaced", "files.module", "files.module"])
    expect(named[0]?.seen).toMatch(/^sha256:[0-9a-f]{64}, then sha256:[0-9a-f]{64}$/)
    const alone = judgeBoot(platform(replaced), "none recorded").flatMap(({ findings }) => findings)
    expect(alone.map(({ id }) => id)).toContain("files.replaced")
    expect(found(ordinary, referenceOf(ordinary))).toEqual([])
  })

  test("a listed module of another content is named with both", () => {
    const reference = referenceOf(replaced)
    if (reference.type !== "assay.reference.v2") throw new Error("no list")
    const [first] = reference.files.filter(([path]) => path.endsWith("/dummy.ko"))
    const files = reference.files.filter(([path, digest]) => !path.includes("dummy.ko") || digest === first?.[1])
    const differing = found(replaced, { ...reference, files }).filter(({ id }) => id === "files.differs")
    expect(differing.map(({ component, wanted }) => [component, wanted])).toEqual([[first?.[0], first?.[1]]])
  })

  test("a module is not lost among more files than are told", () => {
    const reference = referenceOf(ordinary)
    if (reference.type !== "assay.reference.v2") throw new Error("no list")
    const told = found(replaced, { ...reference, files: reference.files.slice(0, 1) }).filter(({ id }) =>
      /^files\.(module|unlisted)$/.test(id),
    )
    expect(told.at(-1)).toMatchObject({ id: "files.unlisted", seen: expect.stringMatching(/^\d+ more$/) })
    const modules = told.filter(({ id }) => id === "files.module")
    expect(told.slice(0, modules.length)).toEqual(modules)
    expect(modules.map(({ component }) => component)).toContain(
      "/usr/lib/modules/6.1.0-50-amd64/kernel/drivers/net/dummy.ko",
    )
  })

  test("violations are told with the names that the kernel gave", () => {
    const [violation] = found(violations, referenceOf(violations))
    expect(violation).toMatchObject({ id: "ima.violation", component: "ima", wanted: "none" })
    expect(violation?.seen).toMatch(/^2: /)
  })

  test("Secure Boot switched on is another state, other keys, and another authority", () => {
    const ids = new Set(found(secure, referenceOf(ordinary)).map(({ id }) => id))
    for (const id of ["boot.secure-boot", "boot.keys", "boot.firmware"] as const) expect([...ids]).toContain(id)
    const state = found(ordinary, referenceOf(secure)).find(({ component }) => component === "boot secure-boot: state")
    expect(state).toMatchObject({ id: "boot.secure-boot", seen: "off", wanted: "on" })
  })

  test("every fact of every part is named, by its part's own finding, where it is not as recorded", () => {
    const parts = new Set<string>()
    for (const machine of [ordinary, changedLine, secure]) {
      const { boot } = platform(machine)
      const lines = typeof boot === "string" ? [] : bootMeasurements(boot)
      for (const line of lines)
        for (const [at, [name]] of line.facts.entries()) {
          const facts = line.facts.map((fact, i): [string, string] => (i === at ? [name, "other"] : [...fact]))
          const recorded = lines.map(each => (each === line ? { ...line, facts } : each))
          const ids = bootDifferences(lines, { boot: recorded, files: [], ignored: [] })
            .filter(({ component }) => component === `boot ${line.subject}: ${name}`)
            .map(({ id }) => id)
          expect(new Set(ids), `${line.subject}: ${name}`).toEqual(new Set([`boot.${line.subject}`]))
          parts.add(line.subject)
        }
    }
    const known = Object.keys(findings).filter(id => id.startsWith("boot."))
    // of systemd's own log there is none on these machines
    expect([...parts, "userspace"].map(part => `boot.${part}`).toSorted()).toEqual(known.toSorted())
  })

  test("a machine without a log is not as recorded", () => {
    const [boot] = judgeBoot(platform(noStub), referenceOf(ordinary))
    expect(boot).toMatchObject({ tier: "contraindicated", says: "no log" })
    expect(boot?.findings.map(({ id }) => id)).toEqual(["firmware.no-log", "reference.missing"])
  })

  test("what is ignored is ignored by name, and nothing besides", () => {
    const ignored = ["command-line", "loader", "/usr/"]
    const left = found(changedLine, referenceOf(ordinary, ignored))
    expect(left.filter(({ id, component }) => id.startsWith("boot.") || component.startsWith("/usr/"))).toEqual([])
    expect(found(secure, referenceOf(ordinary, ignored)).map(({ id }) => id)).toContain("boot.secure-boot")
  })
})
