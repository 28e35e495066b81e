/** Does a quote count only if the pinned key made it, over the PCRs that are judged and all that the body says? */
import { randomBytes } from "node:crypto"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Answer, type Body, type Payload } from "../attestation/protocol/evidence.ts"
import { objectAttributes } from "../attestation/tcg/public.ts"
import { type Expected, type UntrustedEvidence } from "../attestation/verify/verify.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import { expectedOf, type Machine, measurement, type Options, startMachine } from "./evidence-maker.ts"
import { type Alter, attested as attestedBy, judged as judgedBy, later } from "./judge.ts"
import { quotedInSoftware, type SoftwareAk, softwareAk, usualAttributes } from "./software-ak.ts"

let machine: Machine

beforeAll(async () => {
  machine = await startMachine()
  await machine.append(measurement("vllm", [["sha256", "aa"]]))
  await machine.append(measurement("größe 𝄞", []))
})
afterAll(() => machine.tpm.stop())

const judged = (untrusted: UntrustedEvidence, change: Partial<Expected> = {}): string[] =>
  judgedBy(machine, untrusted, change)
const attested = (options: Options, change: Partial<Expected> = {}): Promise<string[]> =>
  attestedBy(machine, options, change)

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
  const usual = usualAttributes
  const software = (attributes: number, hash?: "sha256" | "sha384"): SoftwareAk => softwareAk(machine, attributes, hash)

  const quotedBy = async (ak: SoftwareAk, alter?: Alter<Uint8Array>, hash?: "sha256" | "sha512"): Promise<string[]> =>
    attested(quotedInSoftware(ak, alter, hash), { keys: { ...machine.keys, ak: ak.area } })

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
