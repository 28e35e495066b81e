/** Does the script that needs none of our code say what verify() says, on real evidence and on altered evidence? */
import { execFile } from "node:child_process"
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readEnvelope, toPem } from "../attestation/protocol/dsse.ts"
import type { Answer, Body } from "../attestation/protocol/evidence.ts"
import { type Expected, type UntrustedEvidence, verify } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64, toHex } from "../attestation/wire/text.ts"
import { armAudit, asked, expectedOf, type Machine, measurement, sealed, startMachine } from "./evidence-maker.ts"

const script = resolve(import.meta.dirname, "../docs/verify-by-hand.sh")
const run = promisify(execFile)
let machine: Machine
let real: UntrustedEvidence

beforeAll(async () => {
  machine = await startMachine()
  await machine.append(measurement("größe 𝄞 \"quoted\" \\ 'x'", [["sha256", "aa"]]))
  real = await machine.attest()
})
afterAll(() => machine.tpm.stop())

type Folder = { envelope: Uint8Array; log: Uint8Array; ak: Uint8Array; key: Uint8Array }
const folderOf = (evidence: UntrustedEvidence, change: Partial<Folder> = {}): Folder => ({
  envelope: evidence.envelope,
  log: evidence.logs.get("assay") ?? new Uint8Array(0),
  ak: machine.keys.ak,
  key: Buffer.from(toPem(machine.keys.evidenceKey)),
  ...change,
})

/** Exit status and the lines that failed. */
async function byHand(folder: Folder, options: string[] = [], nonce?: string): Promise<[number, string[]]> {
  const path = mkdtempSync(join(tmpdir(), "by-hand-"))
  const files = { "evidence.dsse.json": folder.envelope, "assay.cel": folder.log, "ak.pub": folder.ak }
  for (const [name, bytes] of Object.entries({ ...files, "evidence-key.pem": folder.key }))
    writeFileSync(join(path, name), bytes)
  const args = [script, ...options, path, ...(nonce === undefined ? [] : [nonce])]
  try {
    const { stdout } = await run("sh", args)
    return [0, failures(stdout)]
  } catch (error) {
    const { code, stdout } = error as { code: number; stdout: string }
    return [code, failures(stdout)]
  } finally {
    rmSync(path, { recursive: true })
  }
}
const failures = (stdout: string): string[] =>
  stdout
    .split("\n")
    .filter(line => line.startsWith("FAIL"))
    .map(line => line.slice(6))

const usual = (): string => toBase64(asked.nonce)

describe("real evidence holds", () => {
  test("an answer, with its nonce and channel", async () => {
    const channel = toHex(asked.channel)
    expect(await byHand(folderOf(real), ["-c", channel], usual())).toEqual([0, []])
    expect(await byHand(folderOf(real), [], toHex(asked.nonce))).toEqual([0, []])
    expect(await byHand(folderOf(real))).toEqual([0, []])
  })

  test("of an RSA key, later in a chain, with a recovered secret, and with more log than it names", async () => {
    const rsa = await startMachine("rsa")
    const secret = randomBytes(32)
    const evidence = await rsa.attest({ secret, sequence: 18446744073709551615n, previous: "ab".repeat(32) })
    const log = Buffer.concat([rsa.log(), Buffer.from("{\n")])
    const folder = folderOf(evidence, { log, ak: rsa.keys.ak, key: Buffer.from(toPem(rsa.keys.evidenceKey)) })
    await rsa.tpm.stop()
    expect(await byHand(folder, ["-s", toHex(secret)], usual())).toEqual([0, []])
    expect((await byHand(folder, [], usual()))[1]).toContain("credential: none claimed where no secret is given")
    expect((await byHand(folder, ["-s", "00"], usual()))[0]).toBe(4)
  })

  test("M4 with command audit; and not after a reset", async () => {
    await armAudit(machine)
    expect(await byHand(folderOf(await machine.attest({ audited: true })), [], usual())).toEqual([0, []])
    const other = await machine.attest({ audited: true, auditedOver: new Uint8Array(32) })
    expect((await byHand(folderOf(other), [], usual()))[1]).toEqual([
      "audit: signed by the AK over the nonce and this very quote",
    ])
    await machine.tpm.tool("tpm2_pcrreset", "16")
    expect(await byHand(folderOf(await machine.attest({ audited: true })), [], usual())).toEqual([
      4,
      ["audit: no PCR was reset since it was read last"],
    ])
  })

  test("a report", async () => {
    const report = folderOf(await machine.attest({ kind: "report" }))
    expect(await byHand(report)).toEqual([0, []])
    expect(await byHand(report, [], usual())).toEqual([4, ["nonce: the one that was asked with"]])
  })
})

describe("altered evidence does not", () => {
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ 1)
  const envelopeAt = (member: string): number =>
    Buffer.from(real.envelope).indexOf(`"${member}":"`) + member.length + 10
  const cases: Record<string, [(folder: Folder) => Partial<Folder>, string]> = {
    "the envelope's type": [f => ({ envelope: flipped(f.envelope, envelopeAt("payloadType")) }), "envelope"],
    "the payload": [f => ({ envelope: flipped(f.envelope, envelopeAt("payload") + 2) }), "envelope: signed"],
    "the signature": [f => ({ envelope: flipped(f.envelope, envelopeAt("sig")) }), "envelope: signed"],
    "the key id": [
      f => ({ envelope: flipped(f.envelope, envelopeAt("keyid")) }),
      "evidence key: the envelope names it",
    ],
    "white space": [f => ({ envelope: Buffer.concat([f.envelope, Buffer.from("\n")]) }), "envelope: written"],
    "the log": [f => ({ log: flipped(f.log, f.log.length - 10) }), "log: has the digest"],
    "the log's length": [f => ({ log: f.log.subarray(0, -1) }), "log: as long as"],
    "the AK": [f => ({ ak: flipped(f.ak, f.ak.length - 1) }), "quote: signed by the AK"],
    "the AK's attributes": [f => ({ ak: flipped(f.ak, 5) }), "AK: signs only"],
    "the evidence key": [
      () => ({ key: Buffer.from(generateKeyPairSync("ed25519").publicKey.export({ format: "pem", type: "spki" })) }),
      "envelope: signed",
    ],
  }
  test.each(Object.entries(cases))("%s", async (_, [alter, line]) => {
    const folder = folderOf(real)
    const [code, lines] = await byHand({ ...folder, ...alter(folder) }, [], usual())
    expect(code).toBe(4)
    expect(lines.some(each => each.startsWith(line))).toBe(true)
  })

  test("another nonce or channel than was asked with", async () => {
    const other = toHex(randomBytes(32))
    expect(await byHand(folderOf(real), [], other)).toEqual([4, ["nonce: the one that was asked with"]])
    expect((await byHand(folderOf(real), ["-c", other], usual()))[1]).toEqual(["channel: the one that it was asked on"])
  })

  type Json = { body: Body; quote: { attest: string; signature: string; pcrs: [number, string][] } }
  const resealed = (alter: (payload: Json) => Json): UntrustedEvidence => {
    const payload = JSON.parse(Buffer.from(fromBase64(readEnvelope(real.envelope).payload)).toString()) as Json
    const bytes = Buffer.from(JSON.stringify(alter(payload)))
    return sealed(bytes, machine.keys.evidenceKey, machine.evidenceSecret, machine.log())
  }
  const quoteByte = (member: "attest" | "signature", at: number) => (payload: Json) => ({
    ...payload,
    quote: { ...payload.quote, [member]: toBase64(flipped(fromBase64(payload.quote[member]), at)) },
  })
  const bodyMember = (change: Partial<Answer>) => (payload: Json) => ({
    ...payload,
    body: { ...payload.body, ...change } as Body,
  })
  const bound = "quote: signed by the AK over the qualifying data rebuilt here"
  const signedAnew: Record<string, [(payload: Json) => Json, string]> = {
    "a byte of the quote": [quoteByte("attest", 50), bound],
    "a byte of its signature": [quoteByte("signature", 20), bound],
    "a PCR value": [
      payload => ({
        ...payload,
        quote: {
          ...payload.quote,
          pcrs: payload.quote.pcrs.map(([pcr]) => [pcr, "11".repeat(32)] as [number, string]),
        },
      }),
      "quote: covers this selection, and these values",
    ],
    "the audience": [bodyMember({ audience: "another" }), bound],
    "the selection": [
      bodyMember({ selection: { bank: "sha256", pcrs: [0, 23] } }),
      "quote: the selected PCRs are listed",
    ],
    "the order of members": [({ body, quote }) => ({ quote, body }), "payload: written in the one way"],
    "half a surrogate pair, which jq writes otherwise": [bodyMember({ audience: "\ud834" }), "payload"],
  }
  test.each(Object.entries(signedAnew))(
    "%s, signed anew by whoever holds the evidence key",
    async (_, [alter, line]) => {
      const evidence = resealed(alter)
      const [code, lines] = await byHand(folderOf(evidence), [], usual())
      expect(code).toBe(4)
      expect(lines.some(each => each.startsWith(line))).toBe(true)
      expect(verify(evidence, expectedOf(machine)).authentic).toBe(false)
    },
  )

  test("a foreign extend, and an epoch that the quote does not show", async () => {
    await machine.tpm.tool("tpm2_pcrextend", `23:sha256=${"ab".repeat(32)}`)
    const foreign = await machine.attest()
    expect(await byHand(folderOf(foreign), [], usual())).toEqual([4, ["log: reproduces PCR 23"]])
    await machine.tpm.tool("tpm2_pcrreset", "23")
    machine.forget()
    const epoch = await machine.epoch()
    await machine.append({ ...epoch, restartCount: epoch.restartCount + 1 })
    const other = await machine.attest()
    expect(await byHand(folderOf(other), [], usual())).toEqual([
      4,
      ["log: one record at its beginning, and no other, opens the epoch that the quote shows"],
    ])
    await machine.tpm.tool("tpm2_pcrreset", "23")
    machine.forget()
    await machine.append(measurement("written before a suspend, extended after it"))
    await machine.append({ ...epoch, reason: "resume" })
    const resumed = await machine.attest()
    expect(await byHand(folderOf(resumed), [], usual())).toEqual([0, []])
    const expected: Expected = expectedOf(machine)
    expect(verify(resumed, expected).authentic).toBe(true)
    expect([foreign, other].map(each => verify(each, expected).authentic)).toEqual([false, false])
  })
})

test("wrong use says how it is used", async () => {
  await expect(run("sh", [script])).rejects.toMatchObject({ code: 64 })
  await expect(run("sh", [script, "/nowhere"])).rejects.toMatchObject({ code: 64 })
})
