/** C26: does systemd's log continue the firmware's in the same PCRs, as far as a TPM quoted it? A real TPM is extended with both. */
import * as fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { measuredEvents } from "../attestation/tcg/firmware/content.ts"
import { firmwareFacts } from "../attestation/tcg/firmware/facts.ts"
import { readFirmwareLog } from "../attestation/tcg/firmware/log.ts"
import { readMeasureLog, replayTogether } from "../attestation/tcg/measure-log.ts"
import type { PcrValues } from "../attestation/tcg/pcr.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromHex, toHex } from "../attestation/wire/text.ts"
import { replayFirmware } from "../attestation/verify/firmware-log.ts"
import { agileLog, boot } from "./firmware-maker.ts"
import { digestBy } from "./foreign.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"
import { pcrsOf } from "./vectors.ts"

type Said = { readonly pcr: number; readonly text: string; readonly type: string; readonly measured?: string }

/** What systemd measures in a boot of a unified kernel image. A volume's key is not in its log, only what it is of. */
const said: readonly Said[] = [
  { pcr: 11, text: "enter-initrd", type: "phase" },
  { pcr: 9, text: "nvpcr-init:hardware:0x1d10200:000bff27", type: "nvpcr-init" },
  { pcr: 9, text: "nvpcr-separator", type: "nvpcr-separator" },
  { pcr: 15, text: "cryptsetup:root:5e47a9db", type: "volume-key", measured: "an HMAC of the key" },
  { pcr: 11, text: "leave-initrd", type: "phase" },
  { pcr: 15, text: "machine-id:0123456789abcdef0123456789abcdef", type: "machine-id" },
  { pcr: 11, text: "ready", type: "phase" },
]

/** A record as systemd writes it, its digests by coreutils. */
function record({ pcr, text, type, measured }: Said, more: object = {}): string {
  const digests = (["sha256", "sha384"] as const).map(bank => ({
    hashAlg: bank,
    digest: digestBy(bank, measured ?? text),
  }))
  const content = { string: text, bootId: "189c18dd7ba245f38cf49d9ac154b525", timestamp: 1515761, eventType: type }
  return JSON.stringify({ pcr, digests, content_type: "systemd", content, ...more })
}

const sequence = (...records: readonly string[]): Buffer =>
  Buffer.from(records.map(each => `\u001e${each}\n`).join(""), "utf8")
const records = said.map(each => record(each))
const userspace = sequence(...records)
const firmware = agileLog(["sha256", "sha384"], boot)

describe("replayed together", () => {
  let tpm: Swtpm
  let bootOnly: PcrValues
  let quoted: PcrValues
  beforeAll(async () => {
    tpm = await startSwtpm({ endorsed: false })
    await tpm.tool("tpm2_startup", "-c").catch(() => undefined)
    const { digests } = firmwareFacts(
      readFirmwareLog(firmware),
      measuredEvents(readFirmwareLog(firmware), "sha256"),
      new Set(Array.from({ length: 16 }, (_, i) => i)),
    )
    for (const [pcr, digest] of digests) await tpm.tool("tpm2_pcrextend", `${pcr}:sha256=${digest}`)
    bootOnly = await readPcrs()
    for (const { pcr, text, measured } of said)
      await tpm.tool("tpm2_pcrextend", `${pcr}:sha256=${digestBy("sha256", measured ?? text)}`)
    quoted = await readPcrs()
  })
  afterAll(() => tpm.stop())

  async function readPcrs(): Promise<PcrValues> {
    const text = await tpm.tool("tpm2_pcrread", "sha256:0,1,2,3,4,5,6,7,8,9,11,12,13,14,15")
    const pcrs = pcrsOf(Buffer.from(text)).get("sha256") ?? new Map<number, string>()
    return new Map([...pcrs].map(([pcr, value]) => [pcr, fromHex(value)]))
  }
  const judge = (log: Uint8Array | "none", values: PcrValues) =>
    replayFirmware({ firmware, userspace: log }, "sha256", values, [])

  test("a TPM that both extended holds what both come to", () => {
    const { facts, findings, handover } = judge(userspace, quoted)
    expect(findings).toEqual([])
    if (typeof facts === "string") throw new Error(facts)
    expect(facts.proven.length).toBe(15)
    expect(facts.userspace.map(each => [each.pcr, each.claimedText])).toEqual(said.map(each => [each.pcr, each.text]))
    expect(facts.userspace.map(each => each.textIsMeasured)).toEqual(said.map(each => each.measured === undefined))
    if (handover === "unknown") throw new Error(handover)
    // IMA's boot aggregate is over what the kernel found, before systemd extended PCR 9
    expect(handover.get(9)).toEqual(new Uint8Array(32))
    expect(toHex(handover.get(11) ?? new Uint8Array(0))).toBe(toHex(bootOnly.get(11) ?? new Uint8Array(0)))
  })

  test("records that came after the quote are not believed", () => {
    const early = judge(userspace, bootOnly)
    expect(early.findings).toEqual([])
    expect(early.facts).toMatchObject({ userspace: [] })
    const grown = sequence(...records, record({ pcr: 11, text: "shutdown", type: "phase" }))
    const later = judge(grown, quoted)
    expect(later.findings).toEqual([])
    expect(later.facts).toMatchObject({ userspace: { length: said.length } })
  })

  test("without systemd's log: PCRs that only it extends are unaccounted for, those it shares differ", () => {
    const told = judge("none", quoted).findings.map(({ id, component }) => `${id} ${component}`)
    expect(told.toSorted()).toEqual([
      "firmware.replay PCR 11",
      "firmware.unaccounted PCR 15",
      "firmware.unaccounted PCR 9",
    ])
  })

  test.each([
    ["a record removed", sequence(...records.slice(1)), "PCR 11"],
    [
      "records exchanged",
      sequence(...records.slice(0, 1), ...records.slice(1, 3).toReversed(), ...records.slice(3)),
      "PCR 9",
    ],
    [
      "a digest of another text",
      sequence(...records.map((each, i) => (i === 5 ? record({ ...said[5]!, measured: "x" }) : each))),
      "PCR 15",
    ],
    [
      "a record moved to another PCR",
      sequence(...records.map((each, i) => (i === 0 ? record({ ...said[0]!, pcr: 13 }) : each))),
      "PCR 11",
    ],
    [
      "no digest of the quoted bank",
      sequence(...records.map((each, i) => (i === 6 ? record(said[6]!, { digests: [] }) : each))),
      "PCR 11",
    ],
  ])("%s", (_, log, component) => {
    const { findings, facts } = judge(log, quoted)
    expect(findings.map(each => `${each.id} ${each.component}`)).toContain(`firmware.replay ${component}`)
    expect(facts).toMatchObject({ userspace: { length: expect.any(Number) as number } })
    if (typeof facts === "string") throw new Error(facts)
    expect(facts.userspace.some(each => `PCR ${each.pcr}` === component)).toBe(false)
  })

  test("a record without digest tells nothing, though the TPM holds what came before it", () => {
    const { facts, findings } = judge(sequence(...records, record(said[6]!, { digests: [] })), quoted)
    expect(findings).toEqual([])
    expect(facts).toMatchObject({ userspace: { length: said.length } })
  })

  test("a text that was changed is no longer what was measured", () => {
    const forged = sequence(...records.map(each => each.replace('"ready"', '"never"')))
    const { facts, findings } = judge(forged, quoted)
    expect(findings).toEqual([])
    if (typeof facts === "string") throw new Error(facts)
    expect(facts.userspace.at(-1)).toMatchObject({ claimedText: "never", textIsMeasured: false })
  })

  test("a log that is none", () => {
    const { findings } = judge(Buffer.from("{}"), bootOnly)
    expect(findings.map(({ id }) => id)).toEqual(["userspace.malformed"])
  })
})

test("a record that systemd wrote comes to the PCR that it left", () => {
  const line =
    '{"pcr":7,"digests":[{"hashAlg":"sha256","digest":"ff5b9d73dad709633ae76adf444012b57e913a12ed7403c3931145862f35f841"}],"content_type":"systemd","content":{"string":"os-separator","bootId":"189c18dd7ba245f38cf49d9ac154b525","timestamp":1515761,"eventType":"os-separator"}}'
  const { records: own } = readMeasureLog(sequence(line))
  expect(own).toMatchObject([{ register: { pcr: 7 }, claimedType: "os-separator", textIsMeasured: true }])
  const before = new Map([[7, fromHex("b5710bf57d25623e4019027da116821fa99f5c81e9e38b87671cc574f9281439")]])
  const after = new Map([[7, fromHex("03f359c6155efb9c42dd82c470c66f3579ea5721690787e6b1d3b0ac199ff501")]])
  expect(replayTogether(before, own, "sha256", after)).toMatchObject({ records: 1, differing: [] })
})

describe("C23 the format", () => {
  const one = record(said[0]!)
  test("an unfinished record at the end waits for its rest", () => {
    const bytes = sequence(one, one)
    for (let cut = 1; cut < one.length + 2; cut++) {
      const { records: own, unfinished } = readMeasureLog(bytes.subarray(0, bytes.length - cut))
      expect([own.length, unfinished]).toEqual([1, one.length + 2 - cut])
    }
    expect(readMeasureLog(Buffer.alloc(0))).toEqual({ records: [], unfinished: 0 })
  })

  test("an NvPCR is no PCR, unknown members and algorithms are let be", () => {
    const { pcr, ...rest } = JSON.parse(one) as { pcr: number; digests: object[] }
    const nv = JSON.stringify({ ...rest, nv_index: 0x1d10200, new: pcr })
    const other = JSON.stringify({ pcr, digests: [...rest.digests, { hashAlg: "sm3_256", digest: "00".repeat(32) }] })
    const { records: own } = readMeasureLog(sequence(nv, other))
    expect(own.map(each => each.register)).toEqual([{ nvIndex: 0x1d10200 }, { pcr: 11 }])
    expect(own[1]?.digests.size).toBe(2)
    expect(replayTogether(new Map(), own, "sha256", new Map()).values.size).toBe(1)
  })

  test.each([
    ["no separator", Buffer.from(`${one}\n`), "record separator"],
    ["a line that is no JSON", sequence("{"), "no JSON"],
    ["bytes that are no UTF-8", Buffer.from([0x1e, 0x22, 0xff, 0x22, 0x0a]), "no JSON"],
    ["a PCR that there is not", sequence(record({ ...said[0]!, pcr: 24 })), "record 0"],
    ["neither PCR nor NV index", sequence(JSON.stringify({ digests: [] })), "names no PCR"],
    ["both", sequence(record(said[0]!, { nv_index: 1 })), "names no PCR"],
    [
      "a digest of another size",
      sequence(record(said[0]!, { digests: [{ hashAlg: "sha256", digest: "00".repeat(20) }] })),
      "of 20 bytes",
    ],
    [
      "a bank twice",
      sequence(record(said[0]!, { digests: [0, 1].map(() => ({ hashAlg: "sha256", digest: "00".repeat(32) })) })),
      "twice",
    ],
    ["a record of its prototype", sequence('{"__proto__":{"pcr":1,"digests":[]}}'), "record 0"],
    ["too many records", Buffer.alloc(3 * 10_001, "\u001e{\n"), "record 0"],
    ["too many bytes", Buffer.alloc((1 << 22) + 1), "exceeds"],
  ])("%s", (_, bytes, why) => {
    expect(() => readMeasureLog(bytes)).toThrow(Malformed)
    expect(() => readMeasureLog(bytes)).toThrow(why)
  })

  test("altered at random: Malformed or records", () => {
    fc.assert(
      fc.property(fc.nat(userspace.length - 1), fc.nat(255), fc.nat(40), (place, value, gap) => {
        const bytes = Buffer.concat([
          userspace.subarray(0, place),
          Buffer.from([value]),
          userspace.subarray(place + gap),
        ])
        try {
          expect(readMeasureLog(bytes).records.length).toBeLessThanOrEqual(said.length + 1)
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed)
        }
      }),
      { numRuns: 300 },
    )
  })
})
