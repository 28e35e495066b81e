/** Does each single wrong thing give its own finding, and do all of several give theirs? Over evidence of a real TPM. */
import { execFile } from "node:child_process"
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"
import { resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { payloadTypes } from "../attestation/protocol/dsse.ts"
import { readEvent } from "../attestation/protocol/event.ts"
import { type Answer, type Body, type Payload } from "../attestation/protocol/evidence.ts"
import { celRecord, readCel, writeCelLine } from "../attestation/tcg/cel.ts"
import { nameOf, objectAttributes, readPublic } from "../attestation/tcg/public.ts"
import { signature as signatureCodec } from "../attestation/tcg/signature.ts"
import { type Expected, type Outcome, type UntrustedEvidence, verify } from "../attestation/verify/verify.ts"
import { encode } from "../attestation/wire/codec.ts"
import { fromBase64, toBase64, toHex } from "../attestation/wire/text.ts"
import {
  asked,
  expectedOf,
  logPcr,
  type Machine,
  measurement,
  now,
  type Options,
  startMachine,
} from "./evidence-maker.ts"

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

const idsOf = (outcome: Outcome): string[] => {
  const findings = outcome.authentic ? outcome.evidence.findings : outcome.findings
  return [...new Set(findings.map(each => each.id))].toSorted()
}
const judged = (untrusted: UntrustedEvidence, change: Partial<Expected> = {}): string[] => {
  const outcome = verify(untrusted, { ...expected, ...change })
  return [outcome.authentic ? "authentic" : "refused", ...idsOf(outcome)]
}
const attested = async (options: Options, change: Partial<Expected> = {}): Promise<string[]> =>
  judged(await machine.attest(options), change)

const asking = (change: Partial<Extract<Expected["asked"], { kind: "nonce" }>>): Partial<Expected> => ({
  asked: { kind: "nonce", nonce: asked.nonce, channel: asked.channel, credential: new Uint8Array(0), ...change },
})

type Alter<T> = (value: T) => T
/** Changes the body in the payload, after it was quoted. */
const later =
  (alter: Alter<Body>): Alter<Payload> =>
  payload => ({ ...payload, body: alter(payload.body) })

const keyPair = (): { publicKey: Uint8Array; secret: KeyObject } => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  return {
    publicKey: new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32)),
    secret: privateKey,
  }
}

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

  test("a payload of another type", async () =>
    expect(await attested({ payloadType: payloadTypes.result })).toEqual(["refused", "evidence.malformed"]))
})

describe("PCRs", () => {
  test("C5 a selection that is not the one claimed", async () => {
    expect(await attested({ quoted: { pcrs: [0, 7, 23] } })).toEqual(["refused", "quote.selection"])
    expect(await attested({ quoted: { pcrs: [0, 4, 7, 16, 17, 23] } })).toEqual(["refused", "quote.selection"])
  })

  test("C5 a PCR that is asked for and not covered", async () =>
    expect(await attested({}, { pcrs: [0, 8] })).toEqual(["refused", "quote.selection"]))

  test("C5 the log's PCR must be covered", async () => {
    const alterBody: Alter<Body> = body => ({ ...body, selection: { bank: "sha256", pcrs: [0, 7] } })
    expect(await attested({ alterBody, quoted: { pcrs: [0, 7] } }, { pcrs: [0] })).toEqual([
      "refused",
      "log.replay",
      "quote.selection",
    ])
  })

  test("C5 another bank", async () =>
    expect(await attested({ quoted: { bank: "sha384" } })).toContain("quote.selection"))

  test("C5 a bank that the TPM does not have is quoted empty, and refused", async () =>
    expect(await attested({ quoted: { bank: "sha512" } })).toContain("quote.selection"))

  test("C6 a value that was not quoted", async () => {
    const alterPayload: Alter<Payload> = payload => ({
      ...payload,
      quote: {
        ...payload.quote,
        pcrs: payload.quote.pcrs.map(([pcr, value]) => [pcr, pcr === 7 ? "11".repeat(32) : value]),
      },
    })
    expect(await attested({ alterPayload })).toEqual(["refused", "quote.pcr-digest"])
  })

  test.each([
    ["exchanged", (pcrs: Payload["quote"]["pcrs"]) => pcrs.toReversed()],
    ["one left out", (pcrs: Payload["quote"]["pcrs"]) => pcrs.slice(1)],
    ["one twice", (pcrs: Payload["quote"]["pcrs"]) => [...pcrs, ...pcrs.slice(-1)]],
    ["one more", (pcrs: Payload["quote"]["pcrs"]) => [[3, "00".repeat(32)] as [number, string], ...pcrs]],
  ])("C6 values %s", async (_, alter) => {
    const alterPayload: Alter<Payload> = payload => ({
      ...payload,
      quote: { ...payload.quote, pcrs: alter(payload.quote.pcrs) },
    })
    expect(await attested({ alterPayload })).toEqual(["refused", "quote.pcr-digest"])
  })
})

describe("the log", () => {
  const withLog = async (log: Uint8Array | undefined): Promise<string[]> => {
    const { envelope } = await machine.attest()
    return judged({ envelope, logs: log ? new Map([["assay", log]]) : new Map() })
  }
  const lines = (): Uint8Array[] => readCel(machine.log()).map(writeCelLine)

  test("C9 missing, or cut", async () => {
    expect(await withLog(undefined)).toEqual(["refused", "log.missing"])
    expect(await withLog(machine.log().subarray(0, -1))).toEqual(["refused", "log.missing"])
    expect(await withLog(Buffer.concat(lines().slice(0, -1)))).toEqual(["refused", "log.missing"])
  })

  test("C9 edited, with a digest that fits the edit", async () => {
    const text = Buffer.from(machine.log()).toString().replace("vllm", "vIlm")
    expect(await withLog(Buffer.from(text))).toEqual(["refused", "log.digest", "log.malformed"])
    const records = readCel(machine.log())
    const content = records[1]?.content.replace("vllm", "vIlm") ?? ""
    const edited = records.map((record, i) => (i === 1 ? celRecord(1, logPcr, ["sha256", "sha384"], content) : record))
    expect(await withLog(Buffer.concat(edited.map(writeCelLine)))).toEqual(["refused", "log.digest", "log.replay"])
  })

  test("C9 shorter than the PCR's, and quoted so", async () =>
    expect(await attested({ log: Buffer.concat(lines().slice(0, -1)) })).toEqual(["refused", "log.replay"]))

  test("empty, and quoted so", async () =>
    expect(await attested({ log: new Uint8Array(0) })).toEqual(["refused", "log.epoch", "log.replay"]))

  test("two records exchanged", async () => {
    const [first, second, third] = readCel(machine.log())
    const swapped = [first, third, second].map((record, recnum) => ({ ...record!, recnum }))
    expect(await attested({ log: Buffer.concat(swapped.map(writeCelLine)) })).toEqual(["refused", "log.replay"])
  })

  test("under a name that is not known, and twice", async () => {
    const logs =
      (names: string[]): Alter<Body> =>
      body => ({
        ...body,
        logs: names.map(name => ({ ...body.logs[0]!, name })),
      })
    expect(await attested({ alterBody: logs(["assay", "other"]) })).toEqual(["refused", "log.unknown"])
    expect(await attested({ alterBody: logs(["other"]) })).toEqual(["refused", "log.missing", "log.unknown"])
    expect(await attested({ alterBody: logs(["assay", "assay"]) })).toEqual(["refused", "log.missing"])
  })

  test("another PCR than the log's is named", async () =>
    expect(await attested({ alterBody: body => ({ ...body, logPcr: 16 }) })).toEqual(["refused", "log.malformed"]))

  test("C5 a foreign extend", async () => {
    await machine.tpm.tool("tpm2_pcrextend", `23:sha256=${"ab".repeat(32)}`)
    const found = await attested({})
    await restore()
    expect(found).toEqual(["refused", "log.replay"])
  })

  test("C28 an epoch that the quoted counters do not show, or a second one", async () => {
    const log = machine.log()
    const epoch = await machine.epoch()
    await rewrite([{ ...epoch, resetCount: epoch.resetCount + 1 }])
    const ahead = await attested({})
    await rewrite([measurement("before any epoch")])
    const without = await attested({})
    await rewrite([epoch, epoch])
    const twice = await attested({})
    await rewrite(readCel(log).map(record => readEvent(record.content)))
    expect([ahead, without, twice]).toEqual([ahead, ahead, ahead])
    expect(ahead).toEqual(["refused", "log.epoch"])
    expect(await attested({})).toEqual(["authentic"])
  })

  /** PCR 23 anew: whoever may use the TPM may do this. */
  async function rewrite(events: Parameters<Machine["append"]>[0][]): Promise<void> {
    await machine.tpm.tool("tpm2_pcrreset", "23")
    machine.forget()
    for (const event of events) await machine.append(event)
  }
  const restore = (): Promise<void> => rewrite(readCel(machine.log()).map(record => readEvent(record.content)))
})

describe("C17 the qualifying data binds every part of the body", () => {
  const parts: Record<string, Alter<Body>> = {
    nonce: body => ({ ...(body as Answer), nonce: toBase64(randomBytes(32)) }),
    channel: body => ({ ...(body as Answer), channel: toBase64(randomBytes(32)) }),
    "no channel": body => ({ ...(body as Answer), channel: "" }),
    credential: body => ({ ...(body as Answer), credential: "recovered" }),
    attester: body => ({ ...body, attester: `000b${"00".repeat(32)}` }),
    ak: body => ({ ...body, ak: `000b${"00".repeat(32)}` }),
    selection: body => ({ ...body, selection: { bank: "sha256", pcrs: [0, 4, 7, 23] } }),
    "chain id": body => ({ ...body, chain: { ...body.chain, id: "11".repeat(16) } }),
    sequence: body => ({ ...body, chain: { ...body.chain, sequence: "2" } }),
    previous: body => ({ ...body, chain: { ...body.chain, previous: "22".repeat(32) } }),
    predecessor: body => ({
      ...body,
      chain: { ...body.chain, predecessor: { id: "11".repeat(16), sequence: "0", digest: null } },
    }),
    "log digest": body => ({ ...body, logs: body.logs.map(log => ({ ...log, digest: "33".repeat(32) })) }),
    "log length": body => ({ ...body, logs: body.logs.map(log => ({ ...log, length: log.length - 1 })) }),
    "evidence key": body => ({ ...body, evidenceKey: toBase64(randomBytes(32)) }),
    audience: body => ({ ...body, audience: "somebody else" }),
    made: body => ({ ...body, made: "2026-05-04T03:02:01.001Z" }),
    boot: body => ({ ...body, boot: "c" }),
    "log PCR": body => ({ ...body, logPcr: 16 }),
    kind: body => {
      const { nonce: _nonce, channel: _channel, credential: _credential, ...common } = body as Answer
      return { ...common, kind: "report", after: null }
    },
  }
  test.each(Object.entries(parts))("%s", async (_, alter) =>
    expect(await attested({ alterPayload: later(alter) })).toContain("quote.qualifying-data"),
  )
})

describe("the attestation key", () => {
  /** A key that no TPM made, with the public area that a TPM's would have. */
  const software = (attributes: number, hash: "sha256" | "sha384" = "sha256") => {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
    const jwk = publicKey.export({ format: "jwk" })
    const area = Buffer.from(machine.keys.ak)
    area.writeUInt32BE(attributes, 4)
    area.writeUInt16BE(hash === "sha256" ? 0x000b : 0x000c, 14)
    const point = [jwk.x, jwk.y].map(each => Buffer.from(each ?? "", "base64url"))
    point[0]?.copy(area, area.length - 66)
    point[1]?.copy(area, area.length - 32)
    return { area: new Uint8Array(area), privateKey }
  }
  const usual = Buffer.from([0x00, 0x05, 0x04, 0x72]).readUInt32BE()

  const quotedBy = async (
    { area, privateKey }: { area: Uint8Array; privateKey: KeyObject },
    alterAttest: Alter<Uint8Array> = same => same,
    hash: "sha256" | "sha512" = "sha256",
  ): Promise<string[]> => {
    const alterBody: Alter<Body> = body => ({ ...body, ak: toHex(nameOf(readPublic(area))) })
    const alterPayload: Alter<Payload> = payload => {
      const attest = alterAttest(fromBase64(payload.quote.attest))
      const raw = sign(hash, attest, { key: privateKey, dsaEncoding: "ieee-p1363" })
      const signed = encode(signatureCodec, { kind: "ecdsa", hash, r: raw.subarray(0, 32), s: raw.subarray(32) })
      return { ...payload, quote: { ...payload.quote, attest: toBase64(attest), signature: toBase64(signed) } }
    }
    return attested({ alterBody, alterPayload }, { keys: { ...machine.keys, ak: area } })
  }

  test("C4 the AK that tpm2-tools made has the attributes that are asked for", () =>
    expect(Buffer.from(machine.keys.ak).readUInt32BE(4)).toBe(usual))

  const { restricted, sign: signs, fixedTPM, fixedParent, sensitiveDataOrigin, decrypt } = objectAttributes
  test.each(Object.entries({ restricted, signs, fixedTPM, fixedParent, sensitiveDataOrigin }))(
    "C4 it must have the attribute %s",
    async (_, bit) => expect(await quotedBy(software(usual & ~bit))).toEqual(["refused", "ak.unfit"]),
  )
  test("C4 it must not decrypt", async () =>
    expect(await quotedBy(software(usual | decrypt))).toEqual(["refused", "ak.unfit"]))

  test("C4 its Name is computed from its public area", async () => {
    const ak = Uint8Array.from(machine.keys.ak)
    ak[6] = (ak[6] ?? 0) ^ 0x04 // noDA: still a fit key, of another Name
    expect(await attested({}, { keys: { ...machine.keys, ak } })).toContain("ak.name")
  })

  test("C3 the signature's hash is the one in the AK's public area", async () => {
    expect(await quotedBy(software(usual))).toEqual(["authentic"])
    expect(await quotedBy(software(usual), undefined, "sha512")).toEqual(["refused", "quote.signature"])
  })

  test("C6 PCR values are hashed as the AK's scheme says, not as the signature claims", async () =>
    expect(await quotedBy(software(usual, "sha384"))).toEqual(["refused", "quote.pcr-digest", "quote.signature"]))

  test("C1 magic and type", async () => {
    const altered =
      (at: number): Alter<Uint8Array> =>
      attest =>
        attest.with(at, (attest[at] ?? 0) ^ 1)
    for (const at of [0, 3, 4, 5])
      expect(await quotedBy(software(usual), altered(at))).toEqual(["refused", "quote.malformed"])
  })

  test("C1 a certification of creation is no quote", async () => {
    const attest = toBase64(machine.file("certify.attest"))
    const signature = toBase64(machine.file("certify.sig"))
    const alterPayload: Alter<Payload> = payload => ({ ...payload, quote: { ...payload.quote, attest, signature } })
    expect(await attested({ alterPayload })).toEqual(["refused", "quote.malformed"])
  })

  test("C31 C33 a pin that is no public area is said, and passes nothing", async () => {
    for (const ak of [new Uint8Array(0), randomBytes(40), machine.keys.ak.subarray(1), machine.keys.ak.subarray(0, -1)])
      expect(await attested({}, { keys: { ...machine.keys, ak } })).toEqual(["refused", "ak.unfit"])
  })

  test("C3 an RSA AK", async () => {
    const rsa = await startMachine("rsa")
    try {
      expect(judged(await rsa.attest(), expectedOf(rsa))).toEqual(["authentic"])
      expect(judged(await rsa.attest(), { ...expectedOf(rsa), keys: { ...rsa.keys, ak: machine.keys.ak } })).toEqual([
        "refused",
        "ak.name",
        "quote.signature",
      ])
    } finally {
      await rsa.tpm.stop()
    }
  })
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
    console.log(verify(untrusted, { keys, asked, pcrs: [0], now: given.now }).authentic)`
  const args = ["--permission", ...readable, "--input-type=module", "-e", script, JSON.stringify(given)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, env: {} })
  expect(stdout).toBe("true\n")
})
