/** Does a firmware log that somebody altered prove anything else than before, and is each alteration told by its finding? */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import type { HashAlgorithm } from "../attestation/tcg/algorithm.ts"
import { measuredEvents } from "../attestation/tcg/firmware/content.ts"
import { devicePathText } from "../attestation/tcg/firmware/device-path.ts"
import { type FirmwareFacts, firmwareFacts } from "../attestation/tcg/firmware/facts.ts"
import { firmwareLimits, readFirmwareLog } from "../attestation/tcg/firmware/log.ts"
import { type FirmwareQuirk, replayFirmwareLog, startupOf } from "../attestation/tcg/firmware/replay.ts"
import { readSignatureLists, readVariable } from "../attestation/tcg/firmware/variable.ts"
import type { PcrValues } from "../attestation/tcg/pcr.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { toHex } from "../attestation/wire/text.ts"
import { replayFirmware } from "../attestation/verify/firmware-log.ts"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { output } from "./foreign.ts"
import {
  action,
  agile,
  agileLog,
  ascii,
  boot,
  image,
  le,
  type MadeEvent,
  policy,
  separator,
  sha1Log,
  specId,
  wide,
} from "./firmware-maker.ts"
import { pcrsOf, vector, vectorsIn } from "./vectors.ts"

const banks = ["sha1", "sha256"] as const
const all = new Set(Array.from({ length: 16 }, (_, pcr) => pcr))

/** What a TPM would hold after these events: what the log of the same events is judged against. */
function quoteOf(events: readonly MadeEvent[], bank: HashAlgorithm = "sha256"): PcrValues {
  const log = readFirmwareLog(agileLog([bank], events))
  return replayFirmwareLog(log, bank, startupOf(log)).values
}

const judge = (
  log: Uint8Array,
  quoted: PcrValues,
  quirks: readonly FirmwareQuirk[] = [],
  bank: HashAlgorithm = "sha256",
) => replayFirmware({ firmware: log, userspace: "none" }, bank, quoted, quirks)

/** The log `shown` of a machine that did `done`. */
const found = (shown: readonly MadeEvent[], done: readonly MadeEvent[] = shown): string[] =>
  judge(agileLog(banks, shown), quoteOf(done)).findings.map(({ id, seen }) => `${id}: ${seen}`)

const at = (type: MadeEvent["type"], pcr: number): number =>
  boot.findIndex(each => each.type === type && each.pcr === pcr)
const changed = (index: number, change: Partial<MadeEvent>): MadeEvent[] =>
  boot.map((each, i) => (i === index ? { ...each, measured: each.measured ?? each.data, ...change } : each))

describe("a log as firmware writes it", () => {
  test("tpm2_eventlog comes to the same values", () => {
    const folder = mkdtempSync(join(tmpdir(), "firmware-log-"))
    try {
      writeFileSync(join(folder, "log"), agileLog(banks, boot))
      for (const [bank, pcrs] of pcrsOf(output("tpm2_eventlog", [join(folder, "log")])))
        expect(new Map([...quoteOf(boot, bank)].map(([pcr, value]) => [pcr, toHex(value)]))).toEqual(pcrs)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  test("its facts", () => {
    expect(found(boot)).toEqual([])
    const { facts } = judge(agileLog(banks, boot), quoteOf(boot))
    expect(facts).toMatchObject({
      crtmVersion: "made here",
      secureBoot: { state: "on", allowed: { signatures: [] } },
      images: [{ claimedPath: "\\EFI\\BOOT\\BOOTX64.EFI", phase: "after" }],
      sections: [{ name: ".linux" }, { name: ".cmdline" }],
      loaded: [{ pcr: 12, text: "quiet debug" }],
      exitedBootServices: true,
    })
  })

  test.each([
    [[1], "on"],
    [[0], "off"],
    [[], "absent"],
    [[1, 0], "unknown"],
  ])("Secure Boot %j is %s", (value, state) => {
    const events = changed(2, { data: policy("SecureBoot", Buffer.from(value)).data })
    const measured = events.map((each, i) => (i === 2 ? { pcr: each.pcr, type: each.type, data: each.data } : each))
    expect(judge(agileLog(banks, measured), quoteOf(measured)).facts).toMatchObject({ secureBoot: { state } })
  })

  test("every other foreign log is read, and drivers are told from programs", () => {
    const names = vectorsIn("go-eventlog", "legacydata").filter(name => name.endsWith("eventlog"))
    for (const name of names)
      expect(readFirmwareLog(vector("go-eventlog", "legacydata", name)).events.length).toBeGreaterThan(0)
    for (const name of ["CCEL_unpadded.data.bin", "event_log.bin"])
      expect(readFirmwareLog(vector("go-eventlog", "eventlogs", "ccel", name)).banks).toEqual(["sha384"])
    const rom = readFirmwareLog(vector("go-attestation", "option_rom_eventlog"))
    const { images } = firmwareFacts(rom, measuredEvents(rom, "sha1"), all)
    expect(images.map(each => [each.pcr, each.claimedKind, each.phase])).toEqual([
      [2, "boot services driver", "firmware"],
      [4, "application", "after"],
    ])
  })
})

describe("C24 types are claims", () => {
  const secureBoot = at("EFI_VARIABLE_DRIVER_CONFIG", 7)
  test.each([
    [
      "the value of Secure Boot changed",
      changed(secureBoot, { data: policy("SecureBoot", Buffer.from([0])).data }),
      "is not of its data",
    ],
    [
      "Secure Boot's event renamed",
      changed(secureBoot, { type: "EVENT_TAG", data: ascii("tag 1234") }),
      "is not of its data",
    ],
    ["an authority renamed", changed(secureBoot, { type: "NONHOST_INFO" }), "NONHOST_INFO"],
    ["a separator renamed", changed(at("SEPARATOR", 4), { type: "EFI_ACTION" }), "with a separator's digest"],
    ["a separator's data changed", changed(at("SEPARATOR", 4), { data: Buffer.alloc(4, 0xff) }), "is not of its data"],
    ["an action's text changed", changed(at("EFI_ACTION", 5), { data: ascii("nothing") }), "is not of its data"],
  ])("%s", (_, shown, why) => {
    const told = found(shown, boot)
    expect(told.join("\n")).toContain(why)
    expect(told.every(each => /^firmware\.(grammar|unrecognised)/.test(each))).toBe(true)
    const { facts } = judge(agileLog(banks, shown), quoteOf(boot))
    expect(["on", "unknown"]).toContain((facts as FirmwareFacts).secureBoot.state)
  })

  test.each([
    ["a second separator", [separator(4)], "SEPARATOR, after that of event"],
    ["Secure Boot on, said later", [policy("SecureBoot", Buffer.from([1]))], "SecureBoot, after the separator"],
    ["another list of what is forbidden, later", [policy("dbx", Buffer.from([]))], "dbx, after the separator"],
    ["a separator that reports an error", [{ pcr: 6, type: "SEPARATOR", data: le(4, 1) } as const], "reports an error"],
    [
      "an event of a PCR where it does not belong",
      [{ ...image("x", ascii("x")), pcr: 0 }],
      "EFI_BOOT_SERVICES_APPLICATION",
    ],
    ["an event of no known type", [{ pcr: 2, type: 0x8401, data: ascii("x") }], "0x8401"],
  ])("%s, extended by whoever may use the TPM", (_, more, why) => {
    const events: MadeEvent[] = [...boot, ...more]
    const told = found(events)
    expect(told.length).toBeGreaterThan(0)
    expect(told.join("\n")).toContain(why)
  })

  test("policy twice before the separator, and none at all", () => {
    const twice = [...boot.slice(0, 3), ...boot.slice(2)]
    expect(found(twice).join()).toContain("SecureBoot again")
    expect(judge(agileLog(banks, twice), quoteOf(twice)).facts).toMatchObject({ secureBoot: { state: "unknown" } })
    const late = [...boot.filter((_, i) => i !== 2), policy("SecureBoot", Buffer.from([1]))]
    expect(judge(agileLog(banks, late), quoteOf(late)).facts).toMatchObject({ secureBoot: { state: "unknown" } })
    const without = boot.filter((_, i) => i !== 2)
    expect(judge(agileLog(banks, without), quoteOf(without)).facts).toMatchObject({ secureBoot: { state: "unknown" } })
  })

  test("a PCR without separator", () => {
    expect(found(boot.filter((_, i) => i !== at("SEPARATOR", 3)).concat(action(3, "late")))).toEqual([
      "firmware.unrecognised: no separator",
    ])
  })

  test("a unified kernel's sections keep their digests, whatever the log calls its events", () => {
    const digests = (events: readonly MadeEvent[]) => {
      const { facts } = judge(agileLog(banks, events), quoteOf(boot))
      return facts as FirmwareFacts
    }
    const honest = digests(boot)
    const content = at("IPL", 11) + 1
    const renamed = boot.map((each, i) =>
      i === content || i === content + 1 ? { ...each, measured: each.measured ?? each.data, type: 5 } : each,
    )
    const forged = renamed.map((each, i) => (i === content + 2 ? { ...each, data: wide(".linux\0") } : each))
    expect(digests(forged).sections.filter(each => each.name === ".linux")).toEqual(honest.sections.slice(0, 1))
    expect(digests(forged).digests).toEqual(honest.digests)
  })

  test("a thousand faults are told in a few findings", () => {
    const many = Array.from({ length: 1000 }, () => separator(6))
    const told = found([...boot, ...many])
    expect(told.filter(each => each.startsWith("firmware.grammar")).length).toBeLessThan(20)
    const odd = Array.from({ length: 1000 }, (_, i): MadeEvent => ({ pcr: 2, type: 0x9000 + i, data: le(4, i + 1) }))
    expect(found([...boot, ...odd]).at(-1)).toBe("firmware.unrecognised: 984 more")
  })
})

describe("C25 where PCR 0 began", () => {
  const locality = (value: number): MadeEvent => ({
    pcr: 0,
    type: "NO_ACTION",
    data: Buffer.concat([ascii("StartupLocality\0"), Buffer.from([value])]),
  })
  const hcrtm: MadeEvent = { pcr: 0, type: "EFI_HCRTM_EVENT", data: ascii("HCRTM"), measured: ascii("module") }

  test.each([
    ["at 0", [], { locality: 0, source: "default" }],
    ["at 3", [locality(3)], { locality: 3, source: "logged" }],
    ["at 4, by H-CRTM, as logged", [locality(4), hcrtm], { locality: 4, source: "logged" }],
    ["at 4, since there is an H-CRTM event", [hcrtm], { locality: 4, source: "H-CRTM event" }],
  ])("%s", (_, first, startup) => {
    const log = readFirmwareLog(agileLog(banks, [...first, ...boot]))
    expect(startupOf(log)).toEqual(startup)
    const own = judge(agileLog(banks, [...first, ...boot]), quoteOf([...first, ...boot]))
    expect(own.findings).toEqual([])
    expect(own.facts).toMatchObject({ startup })
    if (startup.locality > 0) expect(quoteOf([...first, ...boot]).get(0)).not.toEqual(quoteOf(boot).get(0))
  })

  test.each([
    ["twice", [locality(3), locality(3), ...boot]],
    ["late", [...boot, locality(3)]],
    ["a locality that starts no TPM", [locality(2), ...boot]],
  ])("%s is malformed", (_, events) => {
    const { findings } = judge(agileLog(banks, events), quoteOf(boot))
    expect(findings.map(({ id }) => id)).toEqual(["firmware.malformed"])
  })

  test("a firmware that does not say so: only where it is admitted", () => {
    const quoted = quoteOf([locality(3), ...boot])
    expect(judge(agileLog(banks, boot), quoted).findings.map(({ id }) => id)).toEqual(["firmware.replay"])
    const { findings, facts } = judge(agileLog(banks, boot), quoted, ["startup-locality"])
    expect(findings.map(({ id, component }) => [id, component])).toEqual([["firmware.quirk", "PCR 0"]])
    expect(facts).toMatchObject({ quirks: ["startup-locality"] })
    expect(judge(agileLog(banks, boot), quoteOf(boot), ["startup-locality", "exit-boot-services"]).findings).toEqual([])
  })
})

describe("what the quote says otherwise", () => {
  const ids = (shown: readonly MadeEvent[], quoted: PcrValues): string[] =>
    judge(agileLog(banks, shown), quoted).findings.map(({ id, component }) => `${id} ${component}`)

  test.each([
    ["an event removed", boot.filter((_, i) => i !== at("IPL", 12)), "firmware.unaccounted PCR 12"],
    ["an image removed", boot.filter((_, i) => i !== at("EFI_BOOT_SERVICES_APPLICATION", 4)), "firmware.replay PCR 4"],
    [
      "an image exchanged",
      changed(at("EFI_BOOT_SERVICES_APPLICATION", 4), { measured: ascii("?") }),
      "firmware.replay PCR 4",
    ],
    ["an event added", [...boot, image("\\x", ascii("x"))], "firmware.replay PCR 4"],
    [
      "two events of one PCR exchanged",
      [...boot.slice(0, -2), ...boot.slice(-2).toReversed()],
      "firmware.replay PCR 5",
    ],
    ["all events of a PCR removed", boot.filter(each => each.pcr !== 3), "firmware.replay PCR 3"],
  ])("%s", (_, shown, wanted) => {
    expect(ids(shown, quoteOf(boot))).toContain(wanted)
    const { facts } = judge(agileLog(banks, shown), quoteOf(boot))
    const pcr = Number(wanted.split(" ").at(-1))
    expect((facts as FirmwareFacts).proven).not.toContain(pcr)
    expect((facts as FirmwareFacts).digests.some(([each]) => each === pcr)).toBe(false)
  })

  test("PCRs that were not quoted prove nothing, and that is said", () => {
    const some = new Map([...quoteOf(boot)].filter(([pcr]) => pcr < 7))
    expect(ids(boot, some)).toEqual(["firmware.not-quoted firmware"])
    const { facts } = judge(agileLog(banks, boot), some)
    expect(facts).toMatchObject({ secureBoot: { state: "unknown" }, sections: [], proven: [0, 1, 2, 3, 4, 5, 6] })
  })

  test("a log without the quoted bank, and an event without its digest", () => {
    const quoted = quoteOf(boot)
    expect(judge(agileLog(["sha1"], boot), quoted).findings.map(({ id }) => id)).toEqual(["firmware.bank"])
    expect(judge(sha1Log(boot), quoted).findings.map(({ id }) => id)).toEqual(["firmware.bank"])
    expect(judge(sha1Log(boot), quoteOf(boot, "sha1"), [], "sha1").findings).toEqual([])
    const lacking = Buffer.concat([agileLog(banks, boot), agile(["sha1"], action(5, "x"))])
    expect(judge(lacking, quoted).findings.map(({ id }) => id)).toEqual(["firmware.replay"])
  })
})

describe("C23 bounds", () => {
  const event = agile(["sha256"], separator(0))
  const header = specId(["sha256"])
  const numbered = (algorithms: Buffer, count: number): Buffer => {
    const body = Buffer.concat([header.subarray(32, 56), le(4, count), algorithms, Buffer.alloc(1)])
    return Buffer.concat([header.subarray(0, 28), le(4, body.length), body])
  }
  test.each([
    ["more digests than announced", Buffer.concat([header, le(4, 0), le(4, 4), le(4, 2)]), "2 digests where 1"],
    ["no digest", Buffer.concat([header, le(4, 1), le(4, 4), le(4, 0), le(4, 0)]), "0 digests where 1"],
    [
      "an algorithm that is not announced",
      Buffer.concat([header, agile(["sha1"], separator(0))]),
      "0x4 is not announced",
    ],
    [
      "an algorithm twice",
      Buffer.concat([specId(["sha1", "sha256"]), agile(["sha1", "sha1"], separator(0))]),
      "0x4 twice",
    ],
    ["a known algorithm of another size", numbered(Buffer.from("0b001400", "hex"), 1), "0xb of 20 bytes"],
    ["an unknown algorithm", numbered(Buffer.from("99002000", "hex"), 1), "0x99 of 32 bytes"],
    ["an algorithm announced twice", numbered(Buffer.from("0b0020000b002000", "hex"), 2), "0xb of 32 bytes"],
    ["no algorithm", numbered(Buffer.alloc(0), 0), "0 algorithms"],
    ["a PCR that there is not", Buffer.concat([header, le(4, 24), event.subarray(4)]), "no PCR 24"],
    ["an event that ends early", Buffer.concat([header, event.subarray(0, -5)]), "bytes at byte"],
    [
      "bytes behind the padding",
      Buffer.concat([header, event, Buffer.alloc(64), Buffer.from([1])]),
      "0 digests where 1",
    ],
    [
      "a header that is too long",
      Buffer.concat([header.subarray(0, 28), le(4, 38), header.subarray(32), Buffer.alloc(5)]),
      "bytes too many",
    ],
  ])("%s", (_, bytes, why) => {
    expect(() => readFirmwareLog(bytes)).toThrow(Malformed)
    expect(() => readFirmwareLog(bytes)).toThrow(why)
  })

  test("padding of one value ends a log", () => {
    for (const value of [0x00, 0xff])
      expect(readFirmwareLog(Buffer.concat([header, event, Buffer.alloc(5000, value)])).events.length).toBe(1)
    expect(readFirmwareLog(Buffer.concat([header, Buffer.alloc(100)])).events).toEqual([])
    for (const value of [0x00, 0xff]) expect(() => readFirmwareLog(Buffer.alloc(5000, value))).toThrow("is empty")
  })

  test("a log in a bank that is not known here alone is read, and nothing is said of it", () => {
    const sm3 = numbered(Buffer.from("12002000", "hex"), 1)
    const digest = Buffer.concat([le(2, 0x12), Buffer.alloc(32, 7)])
    const one = Buffer.concat([le(4, 0), le(4, 4), le(4, 1), digest, le(4, 4), Buffer.alloc(4)])
    expect(readFirmwareLog(Buffer.concat([sm3, one]))).toMatchObject({ banks: [], events: [{ pcr: 0 }] })
    expect(judge(Buffer.concat([sm3, one]), quoteOf(boot)).findings).toMatchObject([
      { id: "firmware.bank", seen: "no bank that is known here" },
    ])
    // sha1, sha256, sha384, sha512 and SM3, each in an event of its own order
    const five = numbered(Buffer.from("040014000b0020000c0030000d00400012002000", "hex"), 5)
    const ordered = agile(["sha512", "sha1", "sha384", "sha256"], separator(0))
    const whole = Buffer.concat([ordered.subarray(0, 8), le(4, 5), digest, ordered.subarray(12)])
    expect([...(readFirmwareLog(Buffer.concat([five, whole])).events[0]?.digests.keys() ?? [])]).toEqual(
      readFirmwareLog(Buffer.concat([five, ordered])).events.flatMap(each => [...each.digests.keys()]),
    )
  })

  test("more events than a machine has, more bytes than a log", () => {
    const many = Buffer.alloc(event.length * (firmwareLimits.events + 1), event)
    expect(() => readFirmwareLog(Buffer.concat([header, many]))).toThrow(`more than ${firmwareLimits.events} events`)
    expect(() => readFirmwareLog(Buffer.alloc(firmwareLimits.log + 1))).toThrow(`exceeds ${firmwareLimits.log}`)
    // each of these events could be the beginning of padding
    const zeroes = Buffer.concat([Buffer.alloc(32 * 60_000), Buffer.from([1])])
    expect(() => readFirmwareLog(zeroes)).toThrow("event 60000")
  })

  test("a device path, a variable and a signature list that do not end", () => {
    const empty = Buffer.from("04040400", "hex")
    expect(devicePathText(Buffer.alloc(4 * 64, empty))).toBe("/".repeat(63))
    expect(() => devicePathText(Buffer.alloc(4 * 65, empty))).toThrow("more than 64 nodes")
    const short = Buffer.from(policy("PK", Buffer.alloc(5)).data).subarray(0, -1)
    expect(() => readVariable(short)).toThrow("a variable of 5 bytes in")
    expect(() => devicePathText(Buffer.from("01010300", "hex"))).toThrow("node of 3 bytes")
    expect(() => devicePathText(Buffer.from("0101ffff", "hex"))).toThrow(Malformed)
    const list = (size: number, header_: number, each: number): Buffer =>
      Buffer.concat([Buffer.alloc(16), le(4, size), le(4, header_), le(4, each), Buffer.alloc(64)])
    for (const bad of [list(0, 0, 48), list(92, 0, 0), list(92, 0, 16), list(92, 100, 32), list(1 << 30, 0, 17)])
      expect(() => readSignatureLists(bad)).toThrow(Malformed)
  })
})

describe("C9 altered logs", () => {
  const log = agileLog(["sha256"], boot)
  const quoted = quoteOf(boot)
  const honest = judge(log, quoted).facts as FirmwareFacts
  const words = (facts: FirmwareFacts): string[] => [
    ...facts.grub.commands,
    ...facts.loaded.flatMap(each => each.text ?? []),
    ...facts.secureBoot.actions,
    facts.crtmVersion ?? "",
  ]

  /** Proves nothing that the honest log does not: a subset of its digests, in order, and of its words. */
  function provesNoMore(facts: FirmwareFacts): void {
    expect([honest.secureBoot.state, "unknown"]).toContain(facts.secureBoot.state)
    for (const pcr of facts.proven)
      expect(facts.digests.filter(([each]) => each === pcr)).toEqual(honest.digests.filter(([each]) => each === pcr))
    const known = new Set([...words(honest), ""])
    for (const word of words(facts)) expect(known.has(word) || known.has(`${word}\0`), word).toBe(true)
    for (const section of facts.sections)
      expect(honest.digests.some(([pcr, digest]) => pcr === 11 && digest === section.digest)).toBe(true)
  }

  test("every byte altered: refused, or nothing more is proven", () => {
    for (let i = 0; i < log.length; i++) {
      const altered = Uint8Array.from(log)
      altered[i]! ^= 1 << (i % 8)
      const { facts, findings } = judge(altered, quoted)
      if (typeof facts === "string") expect(findings.length).toBeGreaterThan(0)
      else provesNoMore(facts)
    }
  })

  test("every length cut: never whole", () => {
    for (let length = 1; length < log.length; length++) {
      const { findings } = judge(log.subarray(0, length), quoted)
      expect(findings.length, `${length} of ${log.length}`).toBeGreaterThan(0)
    }
  })

  test("bytes of foreign logs, altered at random: Malformed or an answer", () => {
    const seeds = [
      vector("qemu-ovmf", "3-sbon-shim-grub", "eventlog.bin"),
      vector("tpm2-tools", "event-uefi-sha1-log.bin"),
      vector("tpm2-tools", "event-sd-boot-fedora37.bin"),
      vector("go-eventlog", "eventlogs", "tpm", "glinux-alex.bin"),
    ]
    const alteration = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.constantFrom("set", "cut", "double"))
    fc.assert(
      fc.property(fc.constantFrom(...seeds), fc.array(alteration, { minLength: 1, maxLength: 8 }), (seed, changes) => {
        let bytes = Buffer.from(seed)
        for (const [where, value, how] of changes) {
          const place = where % bytes.length
          if (how === "set") bytes[place] = value
          else if (how === "cut") bytes = Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + value)])
          else
            bytes = Buffer.concat([
              bytes.subarray(0, place),
              bytes.subarray(place, place + value),
              bytes.subarray(place),
            ])
          if (bytes.length === 0) return
        }
        expect(judge(bytes, quoted).findings.length).toBeGreaterThan(0)
      }),
      { numRuns: 300 },
    )
  })

  test("bytes without any form: Malformed or an answer", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 300 }), fc.boolean(), (bytes, headed) => {
        expect(judge(headed ? Buffer.concat([specId(banks), bytes]) : bytes, quoted).findings.length).toBeGreaterThan(0)
      }),
      { numRuns: 500 },
    )
  })
})
