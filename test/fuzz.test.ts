/**
 * C23 C40: does each parser hold against bytes that nobody chose? A bounded run of the fuzzer over every target, properties over
 * bytes and JSON out of fast-check, and every case in test/cases. Longer: npm run fuzz.
 */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import * as fc from "fast-check"
import { beforeAll, describe, expect, test } from "vitest"
import { Malformed } from "../attestation/wire/codec.ts"
import { frame, Unframer } from "../attestation/wire/frame.ts"
import { line, plainLine } from "../attestation/wire/text.ts"
import { readInvitation, writeInvitation } from "../attestation/protocol/invitation.ts"
import { answerOf, type Outcome } from "../scripts/fuzz/fuzz.ts"
import { Lot } from "../scripts/fuzz/lot.ts"
import { mostBytes, mutate } from "../scripts/fuzz/mutate.ts"
import type { Target } from "../scripts/fuzz/target.ts"
import { targets } from "../scripts/fuzz/targets.ts"
import { watched } from "../scripts/fuzz/watch.ts"
import { targets as faulty } from "./fuzz-faulty.ts"

const names = targets.map(each => each.name)
const cases = join(import.meta.dirname, "cases")
const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "utf8"))

async function outcomes(table: URL, wanted: readonly string[], bounds: Parameters<typeof watched>[2], silence: number) {
  const all: Outcome[] = []
  for await (const each of watched(table, wanted, bounds, { silence, mebibytes: 256 })) all.push(each)
  return new Map(all.map(each => [each.tally.target, each]))
}

describe("C40 every parser, under altered input", () => {
  let found: ReadonlyMap<string, Outcome>
  beforeAll(async () => {
    const table = new URL("../scripts/fuzz/targets.ts", import.meta.url)
    found = await outcomes(table, names, { seed: 4, cases: 500, seconds: 30 }, 20_000)
  })

  test.each(names)("%s throws its one error or nothing, and ends", name => {
    const { crash, tally } = found.get(name)!
    expect(crash === "none" ? "none" : `${crash.what}: ${Buffer.from(crash.bytes).toString("hex")}`).toBe("none")
    expect(tally.cases).toBeGreaterThanOrEqual(500)
    expect(tally.accepted).toBeGreaterThan(0)
    expect(tally.answers).toBeGreaterThan(1)
  })
})

describe("C40 every parser, under input of no form at all", () => {
  const holds = (target: Target, bytes: Uint8Array): void => {
    const answer = answerOf(target, bytes)
    if ("crash" in answer) throw new Error(`${target.name}: ${answer.crash}`)
  }
  const bytes = fc.uint8Array({ maxLength: 512 })
  const documents = fc.json({ maxDepth: 6 }).map(utf8)
  const texts = fc.string({ unit: "binary", maxLength: 200 }).map(utf8)

  test.each(targets)("$name", target => {
    const input = target.grammar === "bytes" ? bytes : fc.oneof(bytes, documents, texts)
    fc.assert(
      fc.property(input, each => holds(target, each)),
      { numRuns: 60 },
    )
  })

  test("nesting deeper than any stack", () => {
    const deep = 1 << 15
    for (const target of targets.filter(each => each.grammar !== "bytes"))
      for (const [open, close] of [
        ["[", "]"],
        ['{"a":', "}"],
        ["a=[", ""],
        ["{a=", "}"],
        ["a.", "=1"],
      ] as const)
        holds(target, utf8(`${open.repeat(deep)}1${close.repeat(deep)}`))
  })
})

describe("C40 cases that broke a parser, or might have", () => {
  const files = readdirSync(cases).filter(name => name.endsWith(".hex"))
  const inputOf = (name: string): Uint8Array =>
    new Uint8Array(Buffer.from(readFileSync(join(cases, name), "utf8").trim(), "hex"))

  test.each(files)("%s", name => {
    const target = targets.find(each => each.name === name.split(".")[0])
    expect(target).toBeDefined()
    expect(answerOf(target!, inputOf(name))).not.toHaveProperty("crash")
  })

  test("are named after their target and what they are", () =>
    expect(files.filter(name => !/^[a-z0-9-]+\.[a-z0-9-]+\.hex$/.test(name))).toEqual([]))
})

describe("properties", () => {
  test("C23 frames are the same whatever the chunks that they come in", () => {
    const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 10 })
    fc.assert(
      fc.property(chunks, fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 1 }), (payloads, sizes) => {
        const stream = Buffer.concat(payloads.map(frame))
        const unframer = new Unframer(40)
        const got: Uint8Array[] = []
        for (let at = 0, i = 0; at < stream.length; i++) {
          const size = sizes[i % sizes.length]!
          got.push(...unframer.push(stream.subarray(at, at + size)))
          at += size
        }
        expect(got).toEqual(payloads.map(each => new Uint8Array(each)))
        expect(unframer.pending).toBe(0)
      }),
      { numRuns: 100 },
    )
  })

  test("C23 a frame beyond the limit is refused by its length alone", () =>
    fc.assert(
      fc.property(fc.integer({ min: 41, max: 0xffffffff }), length => {
        const head = Buffer.alloc(4)
        head.writeUInt32BE(length)
        expect(() => new Unframer(40).push(head)).toThrow(Malformed)
      }),
    ))

  test("an invitation comes back as it was written; one altered character is noticed or changes what it says", () => {
    const key = fc.uint8Array({ minLength: 32, maxLength: 32 })
    const host = fc.constantFrom("collector", "a.example", "10.0.0.1", "[fe80::1]")
    fc.assert(
      fc.property(host, fc.integer({ min: 1, max: 65_535 }), key, key, (host, port, pin, token) => {
        const invitation = { host, port, pin: new Uint8Array(pin), token: new Uint8Array(token) }
        expect(readInvitation(writeInvitation(invitation))).toEqual(invitation)
      }),
    )
  })

  test("C39 whatever text is shown as a line is a line", () => {
    const text = fc.string({ unit: "binary" })
    fc.assert(
      fc.property(text, fc.integer({ min: 2, max: 80 }), (each, max) => {
        const shown = plainLine(each, max)
        expect(line(max).safeParse(shown).success).toBe(true)
        expect(shown.isWellFormed()).toBe(true)
      }),
    )
  })
})

/** Parsers that others call for a part of what they read: in which file of scripts/fuzz their callers stand. */
const throughOthers: Readonly<Record<string, string>> = {
  ...{
    readTerms: "readPin",
    readNamed: "readPin",
    readDigest: "readPin",
    readMoment: "readPin",
    readVersion: "readPin",
  },
  ...{ readPersonId: "readPolicy", readWords: "readPin", readExact: "readPayload", readForeign: "readListing" },
  ...{ readLoadOption: "firmwareFacts", readVariable: "firmwareFacts", readGuid: "firmwareFacts" },
  ...{ readSignatureLists: "firmwareFacts", readAuthority: "firmwareFacts", readLast: "readCheckpointText" },
  ...{
    readLine: "openImaLog",
    readBinary: "openImaLog",
    readImaEvent: "eachImaEvent",
    readEntry: "openImaLog",
    readExactText: "readEvent",
  },
  ...{
    readAudit: "verify",
    readBetween: "verify",
    readAgain: "not bytes: reads files again",
    readWalk: "our own file",
  },
  readManifest: "JSON of Ollama under a schema",
}

test("C40 every parser that is exported is fuzzed, or called by one that is", () => {
  const root = join(import.meta.dirname, "..")
  const fuzzed = readdirSync(join(root, "scripts/fuzz"))
    .map(name => readFileSync(join(root, "scripts/fuzz", name), "utf8"))
    .join("\n")
  const sources = ["attestation", "agent/sources", "agent/hash"].flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter(name => name.endsWith(".ts"))
      .map(name => readFileSync(join(root, folder, name), "utf8")),
  )
  const exported = sources.flatMap(source =>
    [...source.matchAll(/^export (?:async )?(?:function|const) ((?:read|parse)[A-Z]\w*)/gm)].map(
      match => match[1] ?? "",
    ),
  )
  expect(exported.length).toBeGreaterThan(40)
  const forgotten = exported.filter(name => !(name in throughOthers) && !new RegExp(`\\b${name}\\b`).test(fuzzed))
  expect(forgotten, "write a target for it in scripts/fuzz").toEqual([])
  const gone = Object.keys(throughOthers).filter(name => !exported.includes(name))
  expect(gone, "a parser that is no more").toEqual([])
})

describe("the fuzzer itself", () => {
  const table = new URL("./fuzz-faulty.ts", import.meta.url)
  let found: ReadonlyMap<string, Outcome>
  beforeAll(async () => {
    const wanted = faulty.map(each => each.name)
    found = await outcomes(table, wanted, { seed: 4, cases: 3000, seconds: 30 }, 1000)
  })

  test.each([
    ["throws another error", /^RangeError: out of range/],
    ["accepts what is broken", /^Broken: accepted/],
    ["writes into its input", /^altered its input$/],
    ["never ends", /^did not end within 1000 ms$/],
    ["eats the heap", /^needs more than 256 MiB of heap$|^did not end/],
    ["keeps buffers", /^grew by more than/],
    ["refuses its seed", /^a seed is refused: nothing is good enough$/],
  ])("finds a parser that %s, and shows the case", (name, what) => {
    const crash = found.get(name)?.crash
    expect(crash).toMatchObject({ target: name, what: expect.stringMatching(what) })
  })

  test("finds nothing in a parser that is sound", () => expect(found.get("is sound")?.crash).toBe("none"))

  test("draws the same from the same seed, and makes nothing larger than it says", () => {
    const run = (): string[] => {
      const lot = new Lot(7)
      const from = utf8('{"a":[1,"b"]}')
      return Array.from({ length: 500 }, () => Buffer.from(mutate("json", from, from, lot)).toString("hex"))
    }
    expect(run()).toEqual(run())
    expect(new Set(run()).size).toBeGreaterThan(200)
    expect(Math.max(...run().map(each => each.length / 2))).toBeLessThanOrEqual(mostBytes)
  })
})
