/** What does an IMA log prove of a quoted PCR 10: every form, every template, every alteration? Real machines, a real TPM, fsverity. */
import { hash } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type HashAlgorithm, hashAlgorithms } from "../attestation/tcg/algorithm.ts"
import { imaLimits } from "../attestation/tcg/ima/entry.ts"
import { type ImaEvent, spokenDigest } from "../attestation/tcg/ima/event.ts"
import { openImaLog } from "../attestation/tcg/ima/log.ts"
import { alteredEntries, eachImaEvent, imaStart, measuredIn, replayImaLog } from "../attestation/tcg/ima/replay.ts"
import { compositeDigest, type PcrValues } from "../attestation/tcg/pcr.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromHex, toHex } from "../attestation/wire/text.ts"
import { replayFirmware } from "../attestation/verify/firmware-log.ts"
import { imaProgress, replayIma } from "../attestation/verify/ima-log.ts"
import { ascii, le } from "./firmware-maker.ts"
import { output } from "./foreign.ts"
import { aggregate, binary, binaryLog, dataOf, digestOf, extension, file, type Made, name, named } from "./ima-maker.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"
import { pcrsOf, vector, vectorsIn } from "./vectors.ts"

const booted = vectorsIn("qemu-ovmf").filter(each => each !== "README.md")
const unreached = new Uint8Array(32).fill(7)

/** All that the whole log says. */
function eventsOf(bytes: Uint8Array): ImaEvent[] {
  const log = openImaLog(bytes)
  const events: ImaEvent[] = []
  eachImaEvent(log, log.bytes.length, event => events.push(event))
  return events
}

const passed = (bytes: Uint8Array, bank: HashAlgorithm = "sha256") =>
  replayImaLog(openImaLog(bytes), bank, unreached, imaStart(bank, "own algorithm"))

/** Entries whose digest is not of their data. */
const altered = (bytes: Uint8Array): number[] => alteredEntries(openImaLog(bytes), imaStart("sha256", "own algorithm"))

function quotedOf(machine: string, bank: HashAlgorithm): PcrValues {
  const pcrs = pcrsOf(vector("qemu-ovmf", machine, "pcrread.yaml")).get(bank) ?? new Map<number, string>()
  return new Map([...pcrs].map(([pcr, value]) => [pcr, fromHex(value)]))
}

describe("C27 machines booted in a virtual machine", () => {
  const matrix: string[] = []
  afterAll(() => {
    process.stderr.write(`IMA logs of booted machines, to the PCR 10 that tpm2_pcrread printed\n${matrix.join("\n")}\n`)
  })
  const handoverOf = (machine: string, bank: HashAlgorithm) => {
    const firmware = vectorsIn("qemu-ovmf", machine).includes("eventlog.bin")
      ? vector("qemu-ovmf", machine, "eventlog.bin")
      : "none"
    return replayFirmware({ firmware, userspace: "none" }, bank, quotedOf(machine, bank), []).handover
  }

  test.each(booted)("%s: both forms, three banks, and the boot that they belong to", machine => {
    for (const form of ["ima.bin", "ima.ascii"])
      for (const [bank, hashing] of [
        ["sha1", "own algorithm"],
        ["sha256", "own algorithm"],
        ["sha384", "padded sha1"],
      ] as const) {
        const quoted = quotedOf(machine, bank)
        const log = vector("qemu-ovmf", machine, form)
        const { facts, findings } = replayIma(log, bank, quoted, handoverOf(machine, bank), "the beginning")
        if (typeof facts === "string") throw new Error(JSON.stringify(findings))
        expect([facts.covered.hashing, facts.beyond, facts.covered.bytes]).toEqual([hashing, 0, log.length])
        const judged = bank === "sha256" ? "matches" : "not checkable"
        expect(facts.aggregate.judged).toBe(judged)
        const wanted = [
          ...(bank === "sha256" ? [] : ["ima.unbound"]),
          ...(hashing === "padded sha1" ? ["ima.padded"] : []),
          ...(machine.includes("violations") ? ["ima.violation"] : []),
        ]
        expect(findings.map(({ id }) => id).toSorted()).toEqual(wanted.toSorted())
        matrix.push(`  ${machine.padEnd(30)} ${form.padEnd(9)} ${bank} ${facts.covered.entries} entries, ${hashing}`)
      }
  })

  test("both forms say the same", () => {
    for (const machine of booted)
      expect(eventsOf(vector("qemu-ovmf", machine, "ima.ascii"))).toEqual(
        eventsOf(vector("qemu-ovmf", machine, "ima.bin")),
      )
  })

  test("violations are counted and named, as the kernel counts them", () => {
    const machine = "8-sboff-violations"
    const { facts, findings } = replayIma(
      vector("qemu-ovmf", machine, "ima.bin"),
      "sha256",
      quotedOf(machine, "sha256"),
      handoverOf(machine, "sha256"),
      "the beginning",
    )
    expect(facts).toMatchObject({ covered: { violations: 2 }, claimedViolations: ["/root/f", "/root/g"] })
    expect(vector("qemu-ovmf", machine, "ima.violations").toString().trim()).toBe("2")
    expect(findings.map(({ seen }) => seen)).toEqual(["2: /root/f, /root/g"])
  })

  test("a replaced module is there twice, with two digests", () => {
    const events = eventsOf(vector("qemu-ovmf", "9-sboff-module-replaced", "ima.bin"))
    const modules = events.flatMap(each =>
      each.kind === "measurement" && each.path.endsWith("dummy.ko") ? [each] : [],
    )
    expect(new Set(modules.map(each => each.digest.value)).size).toBe(2)
    const [first] = modules
    const wanted = new Set([spokenDigest(first!.digest), `sha256:${"0".repeat(64)}`])
    const log = openImaLog(vector("qemu-ovmf", "9-sboff-module-replaced", "ima.bin"))
    expect([...measuredIn(log, log.bytes.length, wanted)]).toEqual([[spokenDigest(first!.digest), first!.path]])
    expect(measuredIn(log, 0, wanted).size).toBe(0)
  })

  test("a log of another boot of the same machine: PCR 10 fits, the boot does not", () => {
    const quoted = quotedOf("2-sboff-cmdline-changed", "sha256")
    const log = vector("qemu-ovmf", "2-sboff-cmdline-changed", "ima.bin")
    const other = handoverOf("3-sbon-shim-grub", "sha256")
    const { findings } = replayIma(log, "sha256", quoted, other, "the beginning")
    expect(findings.map(({ id }) => id)).toEqual(["ima.boot-aggregate"])
    const swapped = replayIma(vector("qemu-ovmf", booted[0]!, "ima.bin"), "sha256", quoted, other, "the beginning")
    expect(swapped.findings.map(({ id }) => id)).toEqual(["ima.replay"])
  })

  test("without a firmware log, a boot aggregate that differs says nothing", () => {
    const machine = booted[0]!
    const quoted = new Map([...quotedOf(machine, "sha256"), [9, unreached]])
    const log = vector("qemu-ovmf", machine, "ima.bin")
    const { facts, findings } = replayIma(log, "sha256", quoted, "unknown", "the beginning")
    expect(facts).toMatchObject({ aggregate: { judged: "not checkable" } })
    expect(findings.map(({ id }) => id)).toEqual(["ima.unbound"])
  })
})

describe("C27 logs of other projects", () => {
  test("rust-keylime's 826 entries fit their digests", () => {
    const bytes = vector("rust-keylime", "keylime-agent__ima_ascii_runtime_measurements")
    expect(passed(bytes)).toMatchObject({ beyond: 0, state: { entries: 826, violations: 0 } })
    expect(altered(bytes)).toEqual([])
    expect(eventsOf(bytes).every(each => each.kind === "measurement")).toBe(true)
  })

  test("an empty log is one without entries; what is none is refused", () => {
    expect(passed(vector("rust-keylime", "keylime__empty_ima_log.txt"))).toMatchObject({
      state: { entries: 0 },
      beyond: 0,
    })
    expect(() => openImaLog(vector("rust-keylime", "keylime__invalid_ima_log.txt"))).toThrow(Malformed)
    for (const each of ["keylime__ima_log.txt", "keylime-push-model-agent__ima_log.txt"])
      expect(altered(vector("rust-keylime", each))).toEqual([])
  })

  test.each(["sha1", "sha256", "sha384", "sha512"])(
    "keylime's %s entries and the digest that its list allows",
    algorithm => {
      const bytes = vector("keylime", "create-runtime-policy", `ima-log-${algorithm}`)
      expect(altered(bytes)).toEqual([])
      const [digest, path] = vector("keylime", "create-runtime-policy", `allowlist-${algorithm}`)
        .toString()
        .trim()
        .split("  ")
      expect(eventsOf(bytes)[1]).toMatchObject({ path: `/${path}`, digest: { algorithm, value: digest } })
    },
  )

  test("digests of SM3 are read, an algorithm that no kernel has is refused", () => {
    const events = eventsOf(vector("keylime", "create-runtime-policy", "ima-log-sm3_256"))
    expect(events[1]).toMatchObject({ digest: { algorithm: "sm3_256" } })
    expect(() => eventsOf(vector("keylime", "create-runtime-policy", "ima-log-unknown"))).toThrow(
      "no digest: unknown:00",
    )
  })

  test("signatures and keys", () => {
    const signed = eventsOf(vector("keylime", "ima-verification", "SIGNATURES.txt"))
    expect(altered(vector("keylime", "ima-verification", "SIGNATURES.txt"))).toEqual([])
    for (const each of signed) expect(each.kind === "measurement" && each.signature[0]).toBe(3)
    expect(altered(vector("keylime", "ima-verification", "MEASUREMENTS.txt"))).toEqual([])
    // its signature was altered after the entry was made
    expect(altered(vector("keylime", "ima-verification", "BAD_SIGNATURES.txt"))).toEqual([0])
  })

  test("buffers: device mapper tables and keyrings", () => {
    const bytes = vector("keylime-tests", "keylime-policy-commands__ima_log.txt")
    const events = eventsOf(bytes)
    const buffers = events.flatMap(each => (each.kind === "measurement" && each.buffer.length > 0 ? [each] : []))
    expect(buffers.map(each => each.path)).toEqual(["dm_table_load", ".ima", ".test"])
    // the digest of a buffer is over the buffer: coreutils agree
    for (const { buffer, digest } of buffers)
      expect(output("sha256sum", [], buffer).toString().slice(0, 64)).toBe(digest.value)
  })
})

describe("every template, against a TPM that was extended with it", () => {
  let tpm: Swtpm
  let folder: string
  beforeAll(async () => {
    tpm = await startSwtpm({ endorsed: false })
    folder = mkdtempSync(join(tmpdir(), "ima-"))
  })
  afterAll(async () => {
    rmSync(folder, { recursive: true })
    await tpm.stop()
  })

  const boot: PcrValues = new Map(Array.from({ length: 10 }, (_, pcr) => [pcr, new Uint8Array(32).fill(pcr)]))
  const first = aggregate(compositeDigest("sha256", [...boot.keys()], boot))

  test("ima, ima-ng, ima-sig, ima-buf, ima-ngv2, ima-sigv2, a custom one, an unknown one and a violation", async () => {
    const content = "x".repeat(10_000)
    writeFileSync(join(folder, "file"), content)
    const [verity = ""] = output("fsverity", ["digest", "--compact", join(folder, "file")])
      .toString()
      .trim()
      .split("\n")
    const entries: readonly Made[] = [
      first,
      { template: "ima", fields: [digestOf("sha1", content), ascii("/oldest with spaces")] },
      file("/bin/ng", content),
      {
        template: "ima-sig",
        fields: [named("sha384", digestOf("sha384", content)), name("/bin/sig"), ascii("\u0003signature")],
      },
      { template: "ima-buf", fields: [named("sha256", digestOf("sha256", "key")), name(".ima"), ascii("key")] },
      { template: "ima-ngv2", fields: [named("ima:sha256", digestOf("sha256", content)), name("/bin/ngv2")] },
      { template: "ima-ngv2", fields: [named("verity:sha256", fromHex(verity)), name("/bin/verity")] },
      {
        template: "ima-sigv2",
        fields: [named("verity:sha512", digestOf("sha512", "?")), name("/bin/sigv2"), ascii("s")],
      },
      { template: "d-ng|n-ng|iuid", fields: [named("sha256", digestOf("sha256", "c")), name("/custom"), le(4, 1000)] },
      { template: "future", fields: [ascii("anything")] },
      { template: "ima-ng", fields: [named("sha256", Buffer.alloc(32)), name("/written")], violation: true },
    ]
    const before = await pcr10()
    expect(before).toEqual(new Uint8Array(32))
    for (const each of entries) await tpm.tool("tpm2_pcrextend", `10:sha256=${toHex(extension("sha256", each))}`)
    const quoted = new Map([...boot, [10, await pcr10()]])
    for (const shows of hashAlgorithms) {
      const { facts, findings } = replayIma(binaryLog(entries, shows), "sha256", quoted, boot, "the beginning")
      expect(findings.map(({ id, seen }) => `${id} ${seen}`)).toEqual([
        "ima.violation 1: /written",
        "ima.template future",
      ])
      expect(facts).toMatchObject({ covered: { entries: 11, violations: 1 }, aggregate: { judged: "matches" } })
    }
    expect(eventsOf(binaryLog(entries))).toMatchObject([
      { path: "boot_aggregate" },
      { path: "/oldest with spaces", digest: { algorithm: "sha1", of: "contents" } },
      { path: "/bin/ng" },
      { path: "/bin/sig", digest: { algorithm: "sha384" }, signature: { length: 10 } },
      { path: ".ima", buffer: { length: 3 } },
      { path: "/bin/ngv2", digest: { of: "contents" } },
      { path: "/bin/verity", digest: { of: "fs-verity", algorithm: "sha256", value: verity } },
      { path: "/bin/sigv2", digest: { of: "fs-verity", algorithm: "sha512" } },
      { path: "/custom" },
      { kind: "unknown", template: "future" },
      { kind: "violation", claimedPath: "/written" },
    ])
    const log = openImaLog(binaryLog(entries))
    const enforced = `verity:sha256:${verity}`
    expect([...measuredIn(log, log.bytes.length, new Set([enforced]))]).toEqual([[enforced, "/bin/verity"]])
  })

  async function pcr10(): Promise<Uint8Array> {
    const pcrs = pcrsOf(Buffer.from(await tpm.tool("tpm2_pcrread", "sha256:10"))).get("sha256")
    return fromHex(pcrs?.get(10) ?? "")
  }
})

/** PCR 10 after these entries, by the rule that the machines above were judged by. */
function valueAfter(entries: readonly Made[], bank: HashAlgorithm = "sha256"): Uint8Array {
  return replayImaLog(openImaLog(binaryLog(entries)), bank, unreached, imaStart(bank, "own algorithm")).state.value
}

describe("C21 a growing log", () => {
  const entries = Array.from({ length: 40 }, (_, i) => file(`/bin/${i}`, `${i}`))
  const bytes = binaryLog(entries)
  const judge = (log: Uint8Array, after: number, from: Parameters<typeof replayIma>[4] = "the beginning") =>
    replayIma(log, "sha256", new Map([[10, valueAfter(entries.slice(0, after))]]), "unknown", from)

  test("is believed as far as the quote covers it, and no further", () => {
    for (let after = 0; after <= entries.length; after++) {
      const { facts, findings } = judge(bytes, after)
      if (typeof facts === "string") throw new Error(facts)
      expect([facts.covered.entries, facts.beyond]).toEqual([
        after,
        bytes.length - binaryLog(entries.slice(0, after)).length,
      ])
      expect(findings.map(({ id }) => id)).toEqual(["ima.unbound"])
      let last = -1
      eachImaEvent(openImaLog(bytes), facts.covered.bytes, (_, number) => (last = number))
      expect(last).toBe(after - 1)
    }
  })

  test("what comes later may be cut or garbage", () => {
    const { facts } = judge(Buffer.concat([bytes, Buffer.alloc(100, 0xee)]), 40)
    expect(facts).toMatchObject({ covered: { entries: 40 }, beyond: 100 })
    expect(judge(bytes.subarray(0, -1), 39).facts).toMatchObject({ covered: { entries: 39 } })
  })

  test("a quote that was made after the log was read is not reproduced", () => {
    const { facts, findings } = judge(bytes.subarray(0, -1), 40)
    expect([facts, findings.map(({ id }) => id)]).toEqual(["nothing proven", ["ima.replay"]])
    expect(findings[0]?.seen).toMatch(/after 39 entries, then \d+ bytes of an entry without end$/)
  })

  test("only what is new is passed again, and comes to the same", () => {
    const { facts: before } = judge(bytes, 10)
    if (typeof before === "string") throw new Error(before)
    const { facts: after } = judge(bytes, 30, before.covered)
    const { facts: whole } = judge(bytes, 30)
    expect(after).toEqual(whole)
    // a suffix alone, from a stored value
    const suffix = bytes.subarray(before.covered.bytes)
    const { facts: trimmed } = judge(suffix, 30, { ...before.covered, bytes: 0 })
    expect(trimmed).toMatchObject({ covered: { entries: 30 }, beyond: (whole as typeof before).beyond })
    // a log that does not reach where the pass stopped proves nothing, whatever was quoted
    expect(judge(bytes.subarray(0, 50), 10, before.covered).facts).toBe("nothing proven")
    expect(judge(bytes.subarray(0, 50), 30, before.covered).facts).toBe("nothing proven")
  })

  test("no progress is told, and standing still is none", () => {
    const [a, b] = [judge(bytes, 10).facts, judge(bytes, 20).facts]
    if (typeof a === "string" || typeof b === "string") throw new Error("not reproduced")
    expect(imaProgress(a, b)).toEqual([])
    expect(imaProgress(a, a).map(({ id }) => id)).toEqual(["ima.no-progress"])
    expect(imaProgress(b, a).map(({ id }) => id)).toEqual(["ima.no-progress"])
    const idle = { ...b, beyond: 0 }
    expect(imaProgress(idle, idle)).toEqual([])
  })

  test("entries of other PCRs are passed over", () => {
    const mixed = entries.map((each, i) => (i % 2 === 0 ? each : { ...each, pcr: 11 }))
    const own = mixed.filter(each => each.pcr === undefined)
    const { facts } = replayIma(
      binaryLog(mixed),
      "sha256",
      new Map([[10, valueAfter(own)]]),
      "unknown",
      "the beginning",
    )
    expect(facts).toMatchObject({ covered: { entries: 39 }, elsewhere: 19 })
    let told = 0
    eachImaEvent(openImaLog(binaryLog(mixed)), binaryLog(mixed).length, () => told++)
    expect(told).toBe(20)
  })

  test("half a million entries, each measured in turn", () => {
    const many = 500_000
    const library = (i: number): Made => file(`/usr/lib/x86_64-linux-gnu/library-${i}.so`, `${i}`)
    const some = Buffer.concat(Array.from({ length: 1000 }, (_, i) => binary(library(i))))
    const log = Buffer.alloc((some.length * many) / 1000, some)
    const digests = Array.from({ length: 1000 }, (_, i) => extension("sha256", library(i)))
    let value = Buffer.alloc(32)
    for (let i = 0; i < many; i++) value = hash("sha256", Buffer.concat([value, digests[i % 1000]!]), "buffer")
    const { facts } = replayIma(log, "sha256", new Map([[10, value]]), "unknown", "the beginning")
    expect(facts).toMatchObject({ covered: { entries: many, bytes: log.length }, beyond: 0 })
  })
})

describe("C9 altered logs", () => {
  const machine = "3-sbon-shim-grub"
  const quoted = quotedOf(machine, "sha256")
  const judge = (log: Uint8Array) => replayIma(log, "sha256", quoted, "unknown", "the beginning")
  const whole = vector("qemu-ovmf", machine, "ima.bin")
  const honest = eventsOf(whole)
  const ids = (log: Uint8Array): string[] => judge(log).findings.map(({ id, component }) => `${id} ${component}`)

  test("the altered entry is named", () => {
    const entries = Array.from({ length: 30 }, (_, i) => file(`/bin/${i}`, `${i}`))
    const log = binaryLog(entries)
    const place = binaryLog(entries.slice(0, 17)).length + 60
    log[place]! ^= 1
    const { facts, findings } = replayIma(
      log,
      "sha256",
      new Map([[10, valueAfter(entries)]]),
      "unknown",
      "the beginning",
    )
    expect([facts, findings.map(({ id, component }) => `${id} ${component}`)]).toEqual([
      "nothing proven",
      ["ima.entry entry 17", "ima.replay PCR 10"],
    ])
  })

  test("removed, doubled, exchanged: not reproduced", () => {
    const lines = vector("qemu-ovmf", machine, "ima.ascii").toString("latin1").slice(0, -1).split("\n")
    const log = (all: readonly string[]): Buffer => ascii(`${all.join("\n")}\n`)
    expect(judge(log(lines)).facts).toMatchObject({ covered: { entries: lines.length } })
    for (const altered of [
      lines.toSpliced(100, 1),
      lines.toSpliced(100, 0, lines[100]!),
      lines.toSpliced(100, 2, lines[101]!, lines[100]!),
      lines.slice(0, -1),
      lines.slice(1),
    ])
      expect(ids(log(altered))).toEqual(["ima.replay PCR 10"])
  })

  test("any byte altered: not reproduced, or malformed, or it says the same", () => {
    fc.assert(
      fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (place, flip) => {
        const altered = Uint8Array.from(whole)
        altered[place]! ^= flip
        // nothing depends on the digests that the log shows: with another one there, it says and proves the same
        if (judge(altered).findings.every(({ id }) => id === "ima.unbound")) expect(eventsOf(altered)).toEqual(honest)
      }),
      { numRuns: 150 },
    )
  })

  test("bytes and lines at random: Malformed or an answer", () => {
    const seeds = [whole.subarray(0, 4000), vector("qemu-ovmf", machine, "ima.ascii").subarray(0, 4000)]
    const alteration = fc.tuple(fc.nat(3999), fc.integer({ min: 0, max: 255 }), fc.boolean())
    fc.assert(
      fc.property(fc.constantFrom(...seeds), fc.array(alteration, { minLength: 1, maxLength: 6 }), (seed, changes) => {
        let bytes = Buffer.from(seed)
        for (const [place, value, cut] of changes)
          if (cut) bytes = Buffer.concat([bytes.subarray(0, place), bytes.subarray(place + value)])
          else bytes.fill(value, place % (bytes.length + 1), (place % (bytes.length + 1)) + 1)
        expect(judge(bytes).facts).toBe(bytes.length === 0 ? "no log" : "nothing proven")
        try {
          eventsOf(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed)
        }
      }),
      { numRuns: 300 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), bytes => {
        try {
          eventsOf(bytes)
        } catch (error) {
          expect(error).toBeInstanceOf(Malformed)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe("C23 bounds", () => {
  const entry = binary(file("/bin/x", "x"))
  const withData = (template: string, data: Uint8Array): Buffer =>
    Buffer.concat([le(4, 10), Buffer.alloc(20, 1), le(4, template.length), ascii(template), le(4, data.length), data])
  const field = (value: Uint8Array): Buffer => Buffer.concat([le(4, value.length), value])

  test.each([
    ["no entry", Buffer.alloc(30), "names no template"],
    ["a line without digest", ascii("10 abc ima-ng x y\n"), "no PCR and template digest"],
    ["a PCR that there is not", Buffer.concat([entry, le(4, 24), entry.subarray(4)]), "no PCR 24"],
    [
      "a template's name too long",
      Buffer.concat([entry, entry.subarray(0, 24), le(4, 256), Buffer.alloc(400, 65)]),
      "name of 256",
    ],
    [
      "data beyond the bound",
      Buffer.concat([entry, entry.subarray(0, 34), le(4, imaLimits.data + 1), Buffer.alloc(9)]),
      "bytes of data",
    ],
    [
      "a name too long for the oldest template",
      Buffer.concat([
        entry,
        le(4, 10),
        Buffer.alloc(20, 1),
        le(4, 3),
        ascii("ima"),
        Buffer.alloc(20),
        le(4, 256),
        Buffer.alloc(300),
      ]),
      "name of 256",
    ],
    ["a line of too few fields", ascii(`10 ${"a".repeat(40)} ima-ng x\n`), "1 fields of 2"],
    ["a line whose digest is none", ascii(`10 ${"a".repeat(40)} ima-ng sha1:xy /\n`), "not hex"],
    ["a line of another digest size", ascii(`10 ${"a".repeat(40)} ima-ng sha256:00 /\n`), "no digest"],
    [
      "a template that a line does not carry",
      ascii(`10 ${"a".repeat(40)} ima-modsig x y z a b\n`),
      "only a binary log",
    ],
  ])("%s", (_, bytes, why) => {
    expect(() => eventsOf(bytes)).toThrow(Malformed)
    expect(() => eventsOf(bytes)).toThrow(why)
  })

  test.each([
    ["a field that is cut", withData("ima-ng", Buffer.concat([le(4, 99), ascii("sha256:")])), "d-ng is cut short"],
    [
      "a field too many",
      withData("ima-ng", Buffer.concat([field(named("sha1", Buffer.alloc(20))), field(name("/")), field(name("/"))])),
      "after the last field",
    ],
    [
      "a digest of another size",
      withData("ima-ng", Buffer.concat([field(named("sha256", Buffer.alloc(20))), field(name("/"))])),
      "digest sha256 of 20",
    ],
    [
      "a digest without algorithm",
      withData("ima-ng", Buffer.concat([field(Buffer.alloc(32)), field(name("/"))])),
      "no digest",
    ],
    [
      "a digest of no known type",
      withData("ima-ngv2", Buffer.concat([field(named("x:sha1", Buffer.alloc(20))), field(name("/"))])),
      "no digest",
    ],
  ])("%s: measured, and silent", (_, bytes, why) => {
    expect(eventsOf(bytes)).toMatchObject([{ kind: "unknown", why: expect.stringContaining(why) as string }])
  })

  test("more bytes than a log may have", () => {
    expect(() => openImaLog(new Uint8Array(imaLimits.log + 1))).toThrow("exceeds")
  })

  test("no log and no quoted PCR 10 are states of their own", () => {
    const value = new Map([[10, unreached]])
    for (const log of ["none", new Uint8Array(0)] as const)
      expect(replayIma(log, "sha256", value, "unknown", "the beginning")).toMatchObject({
        facts: "no log",
        findings: [{ id: "ima.no-log" }],
      })
    expect(replayIma(entry, "sha256", new Map(), "unknown", "the beginning")).toMatchObject({
      findings: [{ id: "ima.not-quoted" }],
    })
    expect(replayIma(Buffer.alloc(30), "sha256", value, "unknown", "the beginning")).toMatchObject({
      findings: [{ id: "ima.malformed" }],
    })
    expect(dataOf({ template: "ima", fields: [Buffer.alloc(20), name("/x")] }).length).toBe(276)
  })
})
