/** Does each single wrong thing give its own finding, and do all of several give theirs? Over evidence of a real TPM. */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { payloadTypes } from "../attestation/protocol/dsse.ts"
import { type Answer, type Body, type Payload } from "../attestation/protocol/evidence.ts"
import { readCel } from "../attestation/tcg/cel.ts"
import { type Expected, verify } from "../attestation/verify/verify.ts"
import { toBase64, toHex } from "../attestation/wire/text.ts"
import { asked, expectedOf, type Machine, measurement, now, type Options, startMachine } from "./evidence-maker.ts"
import { type Alter, asking, attested as attestedBy, keyPair, later } from "./judge.ts"

let machine: Machine
let other: Machine
let expected: Expected

beforeAll(async () => {
  ;[machine, other] = await Promise.all([startMachine(), startMachine("ecc", "second")])
  await machine.append(measurement("vllm", [["sha256", "aa"]]))
  await machine.append(measurement("größe 𝄞", []))
  expected = expectedOf(machine)
})
afterAll(() => Promise.all([machine.tpm.stop(), other.tpm.stop()]))

const attested = (options: Options, change: Partial<Expected> = {}): Promise<string[]> =>
  attestedBy(machine, options, change)

describe("what nothing is wrong with", () => {
  test("an answer is authentic, and shows what was quoted and logged", async () => {
    const outcome = verify(await machine.attest(), expected)
    if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
    const { evidence } = outcome
    expect(evidence.findings).toEqual([])
    expect(evidence.events.map(event => event.type)).toEqual([
      "assay.epoch.v1",
      "assay.measurement.v1",
      "assay.measurement.v1",
    ])
    const values = await machine.tpm.tool("tpm2_pcrread", "sha256:23")
    expect(toHex(evidence.quotedPcrs.get(23) ?? new Uint8Array(0))).toBe(
      /0x([0-9A-F]{64})/.exec(values)?.[1]?.toLowerCase(),
    )
    expect([...evidence.quotedPcrs.keys()]).toEqual([0, 4, 7, 16, 23])
  })

  test("a report is authentic where nothing was asked", async () =>
    expect(await attested({ kind: "report" }, { asked: { kind: "nothing" } })).toEqual(["authentic"]))

  test("bytes of the log beyond what the evidence names are discarded", async () => {
    const { envelope, logs } = await machine.attest()
    const log = logs.get("assay") ?? new Uint8Array(0)
    const outcome = verify({ envelope, logs: new Map([["assay", Buffer.concat([log, Buffer.from("{\n")])]]) }, expected)
    expect(outcome.authentic && toHex(outcome.evidence.log)).toBe(toHex(log))
  })

  test("a key that is not pinned is taken as the quote binds it", async () => {
    const keys = { ...machine.keys, evidenceKey: "as quoted" as const }
    expect(await attested({}, { keys })).toEqual(["authentic"])
    expect(await attested({ signAs: keyPair() }, { keys })).toEqual(["authentic"])
  })

  test("C13 a recovered secret is bound", async () => {
    const credential = randomBytes(32)
    expect(await attested({ secret: credential }, asking({ credential }))).toEqual(["authentic"])
  })

  test("C8 the firmware version is what the TPM's own property says", async () => {
    const outcome = verify(await machine.attest(), expected)
    const properties = await machine.tpm.tool("tpm2_getcap", "properties-fixed")
    const half = (name: string): bigint =>
      BigInt(new RegExp(`${name}:\\s+raw: (0x[0-9A-F]+)`).exec(properties)?.[1] ?? "")
    const firmware = (half("TPM2_PT_FIRMWARE_VERSION_1") << 32n) | half("TPM2_PT_FIRMWARE_VERSION_2")
    expect(outcome.authentic && outcome.evidence.quote.firmwareVersion).toBe(firmware)
  })

  test("C7 the counters are the TPM's own", async () => {
    const outcome = verify(await machine.attest(), expected)
    const clock = await machine.tpm.tool("tpm2_readclock")
    if (!outcome.authentic) throw new Error("refused")
    expect(clock).toContain(`reset_count: ${outcome.evidence.quote.clock.resetCount}`)
    expect(clock).toContain(`restart_count: ${outcome.evidence.quote.clock.restartCount}`)
  })
})

describe("each single wrong thing has its own finding", () => {
  test("C2 another nonce", async () =>
    expect(await attested({ nonce: randomBytes(32) })).toEqual(["refused", "nonce.mismatch"]))

  test("C2 other qualifying data", async () =>
    expect(await attested({ quoted: { qualifyingData: randomBytes(32) } })).toEqual([
      "refused",
      "quote.qualifying-data",
    ]))

  test("C2 qualifying data of another length", async () =>
    expect(await attested({ quoted: { qualifyingData: randomBytes(31) } })).toEqual([
      "refused",
      "quote.qualifying-data",
    ]))

  test("another channel, and none", async () => {
    expect(await attested({ channel: randomBytes(32) })).toEqual(["refused", "channel.mismatch"])
    expect(await attested({ channel: new Uint8Array(0) })).toEqual(["refused", "channel.mismatch"])
    expect(await attested({}, asking({ channel: new Uint8Array(0) }))).toEqual(["refused", "channel.mismatch"])
  })

  test("a channel that nobody here can compare is said", async () =>
    expect(await attested({}, asking({ channel: "not checkable" }))).toEqual(["authentic", "channel.not-checkable"]))

  test("another verifier's, and another PCR than is demanded", async () => {
    expect(await attested({}, { audience: { named: "collector" } })).toEqual(["authentic"])
    expect(await attested({}, { audience: { named: "anyone" } })).toEqual(["refused", "evidence.audience"])
    expect(await attested({}, { logPcr: 16 })).toEqual(["refused", "log.pcr"])
  })

  test("another attestation key is pinned", async () =>
    expect(await attested({}, { keys: { ...machine.keys, ak: other.keys.ak } })).toEqual([
      "refused",
      "ak.name",
      "quote.signature",
    ]))

  test("another TPM quotes the same qualifying data over the same PCRs", async () => {
    for (const { digests } of readCel(machine.log()))
      await other.tpm.tool("tpm2_pcrextend", `16:${digests.map(each => `${each.hashAlg}=${each.digest}`).join(",")}`)
    const elsewhere: Options = { quoteBy: other.tpm }
    const found = await attested(elsewhere)
    expect(found).toContain("quote.signature")
    expect(found).not.toContain("quote.qualifying-data")
  })

  test("another evidence key", async () => {
    expect(await attested({ signAs: keyPair() })).toEqual(["refused", "evidence.key-unknown"])
    const alterPayload = later(body => ({ ...body, evidenceKey: toBase64(machine.keys.evidenceKey) }))
    expect(await attested({ signAs: keyPair(), alterPayload })).toEqual([
      "refused",
      "evidence.key-unknown",
      "quote.qualifying-data",
    ])
  })

  test("a body that names another key than the pinned one, which signed it", async () => {
    const alterBody: Alter<Body> = body => ({ ...body, evidenceKey: toBase64(randomBytes(32)) })
    expect(await attested({ alterBody })).toEqual(["refused", "evidence.key-unknown"])
  })

  test("a signature by another key under the pinned key's id", async () =>
    expect(await attested({ signAs: { publicKey: machine.keys.evidenceKey, secret: keyPair().secret } })).toEqual([
      "refused",
      "evidence.signature",
    ]))

  test("a key that is not pinned, and is not the quoted one", async () => {
    const signAs = keyPair()
    const alterBody: Alter<Body> = body => ({ ...body, evidenceKey: toBase64(machine.keys.evidenceKey) })
    const keys = { ...machine.keys, evidenceKey: "as quoted" as const }
    expect(await attested({ signAs, alterBody }, { keys })).toEqual(["refused", "evidence.signature"])
  })

  test("another attester", async () => {
    const alterBody: Alter<Body> = body => ({ ...body, attester: other.keys.attester })
    expect(await attested({ alterBody })).toEqual(["refused", "evidence.attester"])
  })

  test("a report where an answer is needed", async () =>
    expect(await attested({ kind: "report" })).toEqual(["refused", "evidence.kind"]))

  test("an answer whose nonce this verifier was not shown is history", async () =>
    expect(await attested({}, { asked: { kind: "nothing" } })).toEqual(["authentic", "nonce.not-checked"]))

  test("C13 a credential that was not recovered, or another one", async () => {
    const credential = randomBytes(32)
    expect(await attested({}, asking({ credential }))).toEqual([
      "refused",
      "credential.missing",
      "quote.qualifying-data",
    ])
    expect(await attested({ secret: randomBytes(32) }, asking({ credential }))).toEqual([
      "refused",
      "quote.qualifying-data",
    ])
  })

  test("C13 a recovered credential that nobody asked for, claimed with an empty secret", async () => {
    const alterBody: Alter<Body> = body => ({ ...(body as Answer), credential: "recovered" })
    expect(await attested({ alterBody })).toEqual(["refused", "credential.missing"])
    expect(await attested({ alterBody }, { asked: { kind: "nothing" } })).toEqual([
      "refused",
      "credential.missing",
      "nonce.not-checked",
    ])
  })

  test("a clock that is ahead", async () => {
    expect(await attested({}, { now: now - 10 * 60_000 })).toEqual(["authentic", "time.ahead"])
    expect(await attested({}, { now: now - 4 * 60_000 })).toEqual(["authentic"])
  })

  test("a clock that is behind: an answer is not made before it was asked for", async () => {
    expect(await attested({}, asking({ issued: now + 10 * 60_000 }))).toEqual(["authentic", "time.behind"])
    expect(await attested({}, asking({ issued: now + 4 * 60_000 }))).toEqual(["authentic"])
  })

  test("a payload of another type", async () =>
    expect(await attested({ payloadType: payloadTypes.result })).toEqual(["refused", "evidence.malformed"]))
})

test("all findings of evidence with many faults are reported", async () => {
  const found = await attested(
    {
      nonce: randomBytes(32),
      channel: randomBytes(32),
      quoted: { pcrs: [0, 7], qualifyingData: randomBytes(32) },
      signAs: { publicKey: machine.keys.evidenceKey, secret: keyPair().secret },
      alterBody: body => ({ ...body, attester: other.keys.attester }),
      log: Buffer.from("{}\n"),
    },
    { keys: { ...machine.keys, ak: other.keys.ak }, now: now - 10 * 60_000 },
  )
  expect(found).toEqual([
    "refused",
    "ak.name",
    "channel.mismatch",
    "evidence.attester",
    "evidence.signature",
    "log.malformed",
    "nonce.mismatch",
    "quote.qualifying-data",
    "quote.selection",
    "quote.signature",
    "time.ahead",
  ])
})

test("a malformed signature does not hide what else is wrong with the quote", async () => {
  const alterPayload: Alter<Payload> = payload => ({ ...payload, quote: { ...payload.quote, signature: "AAAA" } })
  expect(await attested({ alterPayload, quoted: { pcrs: [0, 4, 7, 23], qualifyingData: randomBytes(32) } })).toEqual([
    "refused",
    "quote.malformed",
    "quote.qualifying-data",
    "quote.selection",
  ])
})

test("C32 verifying needs no store: a process that may read attestation/ alone says the same", async () => {
  const { envelope, logs } = await machine.attest()
  const given = {
    envelope: toBase64(envelope),
    log: toBase64(logs.get("assay") ?? new Uint8Array(0)),
    attester: machine.keys.attester,
    ak: toBase64(machine.keys.ak),
    evidenceKey: toBase64(machine.keys.evidenceKey),
    nonce: toBase64(asked.nonce),
    channel: toBase64(asked.channel),
    now,
  }
  const root = resolve(import.meta.dirname, "..")
  const readable = ["attestation", "node_modules/zod", "package.json"].map(path => `--allow-fs-read=${root}/${path}`)
  const script = `
    import { verify } from ${JSON.stringify(`${root}/attestation/verify/verify.ts`)}
    const given = JSON.parse(process.argv[1])
    const bytes = text => new Uint8Array(Buffer.from(text, "base64"))
    const keys = { attester: given.attester, ak: bytes(given.ak), evidenceKey: bytes(given.evidenceKey) }
    const asked = { kind: "nonce", nonce: bytes(given.nonce), channel: bytes(given.channel), credential: bytes("") }
    const untrusted = { envelope: bytes(given.envelope), logs: new Map([["assay", bytes(given.log)]]) }
    console.log(verify(untrusted, { keys, asked, pcrs: [0], logPcr: 23, audience: "anyone", now: given.now }).authentic)`
  const args = ["--permission", ...readable, "--input-type=module", "-e", script, JSON.stringify(given)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env: {} })
  expect(stdout).toBe("true\n")
})
