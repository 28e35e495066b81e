/** Does the broker measure, quote and sign so that others agree? Judged by tpm2-tools, openssl, jq and coreutils. */
import { createHash, createPublicKey, randomBytes, X509Certificate } from "node:crypto"
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { toPem } from "../attestation/protocol/dsse.ts"
import { qualifyingData } from "../attestation/protocol/qualifying-data.ts"
import { whyNotEndorsement } from "../attestation/tcg/creation.ts"
import { makeCredential } from "../attestation/tcg/credential.ts"
import { keyOf, nameOf, readPublic, whyNoAttestationKey } from "../attestation/tcg/public.ts"
import { fromBase64, fromHex, toBase64, toHex } from "../attestation/wire/text.ts"
import { openCaller } from "../local/call.ts"
import {
  attest,
  type BrokerProcess,
  clockOf,
  findingsOf,
  judge,
  killBrokers,
  logFile,
  logOf,
  measurement,
  payloadOf,
  pcrRead,
  pcrs,
  readLog,
  replayByHand,
  report,
  startBroker,
  stopBroker,
} from "./broker-process.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

let tpm: Swtpm
let broker: BrokerProcess

beforeAll(async () => {
  tpm = await startSwtpm()
  broker = startBroker(tpm)
})

afterAll(async () => {
  await killBrokers()
  await tpm.stop()
})

const sized = (bytes: Uint8Array): Uint8Array => {
  const length = Buffer.alloc(2)
  length.writeUInt16BE(bytes.length)
  return new Uint8Array(Buffer.concat([length, bytes]))
}

const runningLog = async (): Promise<string> => {
  const { log } = await broker.call("identity", {})
  return logFile(broker, log.resetCount, log.restartCount)
}

const answer = (nonce: Uint8Array, credential: { idObject: string; encryptedSecret: string } | null) =>
  attest(broker, {
    asked: { kind: "answer", nonce: toBase64(nonce), channel: toBase64(Buffer.alloc(32, 7)), credential },
    audience: "collector",
    made: new Date().toISOString(),
    pcrs,
  })

describe("who it is", () => {
  it("proves an AK under the endorsement hierarchy, beside an EK with its certificate (C14)", async () => {
    const { identity, ak, banks, tpm: about } = await broker.call("identity", {})
    const area = readPublic(fromBase64(identity.akPublic))
    const [data, attest, signature] = Object.values(identity.creation).map(fromBase64)
    expect(whyNotEndorsement(area, { data: data!, attest: attest!, signature: signature! })).toEqual([])
    expect(whyNoAttestationKey(area)).toEqual([])
    expect(toHex(nameOf(area))).toBe(ak)
    const certificate = new X509Certificate(fromBase64(identity.ekCertificate ?? ""))
    const spki = { format: "der", type: "spki" } as const
    const ek = readPublic(fromBase64(identity.ekPublic))
    expect(keyOf(ek).export(spki)).toEqual(
      createPublicKey(certificate.publicKey.export({ format: "pem", type: "spki" })).export(spki),
    )
    expect(banks).toEqual(["sha256", "sha384"])
    expect(about).toMatchObject({ manufacturer: "IBM", software: true })
  })

  it("has the EK that tpm2_createek computes", async () => {
    await tpm.tool("tpm2_createek", "-c", "ek.ctx", "-G", "rsa", "-u", "ek.pub")
    await tpm.tool("tpm2_flushcontext", "-t").catch(() => "") // takes the AK away as well: what follows must cope
    const { identity } = await broker.call("identity", {})
    expect(fromBase64(identity.ekPublic)).toEqual(
      new Uint8Array(readFileSync(join(tpm.directory, "ek.pub")).subarray(2)),
    )
  })

  it("opens its socket and its files to its own user only", async () => {
    expect(statSync(broker.socket).mode & 0o777).toBe(0o600)
    expect(statSync(broker.state).mode & 0o777).toBe(0o700)
    const files = readdirSync(broker.state).map(name => join(broker.state, name))
    expect(files.length).toBeGreaterThan(3)
    for (const file of files) expect([file, statSync(file).mode & 0o777]).toEqual([file, 0o600])
  })
})

describe("what it measures", () => {
  it("extends what the log says, in every bank, as sha256sum and sha384sum replay it (C22)", async () => {
    for (const value of ["one", "two", "drei ✓"]) await broker.call("append", { event: measurement(value) })
    const { log } = await broker.call("identity", {})
    const path = await runningLog()
    for (const bank of ["sha256", "sha384"] as const)
      expect(await replayByHand(tpm, path, bank)).toBe(await pcrRead(tpm, bank, 23))
    expect(await tpm.tool("sha256sum", path)).toContain(log.digest)
    expect(statSync(path).size).toBe(log.length)
    expect(await logOf(broker)).toEqual(new Uint8Array(readFileSync(path)))
  })

  it("begins with the epoch that the TPM shows", async () => {
    const [first] = readLog(await runningLog())
    const clock = await tpm.tool("tpm2_readclock")
    const event = JSON.parse(first?.content ?? "") as Record<string, unknown>
    expect(event).toMatchObject({ type: "assay.epoch.v1", reason: "join", previous: null })
    expect(clock).toContain(`reset_count: ${String(event["resetCount"])}`)
    expect(clock).toContain(`restart_count: ${String(event["restartCount"])}`)
  })

  it("refuses what is no measurement, and writes nothing", async () => {
    const { log } = await broker.call("identity", {})
    const [epoch] = readLog(await runningLog())
    for (const event of ["", "{}", measurement("x").replace(":", ": "), epoch?.content ?? ""])
      await expect(broker.call("append", { event })).rejects.toMatchObject({ hint: expect.stringContaining("version") })
    expect((await broker.call("identity", {})).log).toEqual(log)
  })
})

describe("what it signs", () => {
  it("is authentic, and tpm2_checkquote and openssl say so too", async () => {
    const { identity } = await broker.call("identity", {})
    const nonce = new Uint8Array(randomBytes(32))
    const { envelope, log } = await answer(nonce, null)
    const asked = { kind: "nonce", nonce, channel: new Uint8Array(32).fill(7), credential: new Uint8Array(0) } as const
    const outcome = await judge(broker, envelope, asked)
    expect([outcome.authentic, findingsOf(outcome)]).toEqual([true, []])
    const { body, quote } = payloadOf(envelope)
    expect(body.logs).toEqual([{ name: "assay", length: log.length, digest: log.digest }])
    const file = (name: string, bytes: string | Uint8Array): void => writeFileSync(join(tpm.directory, name), bytes)
    file("ak.pub", sized(fromBase64(identity.akPublic)))
    file("quote", fromBase64(quote.attest))
    file("signature", fromBase64(quote.signature))
    const bound = toHex(qualifyingData(body, new Uint8Array(0)))
    await tpm.tool("tpm2_checkquote", "-u", "ak.pub", "-m", "quote", "-s", "signature", "-q", bound)
    await expect(
      tpm.tool("tpm2_checkquote", "-u", "ak.pub", "-m", "quote", "-s", "signature", "-q", "00"),
    ).rejects.toThrow()
    file("envelope", fromBase64(envelope))
    file("key.pem", toPem(fromBase64(identity.evidenceKey)))
    const script = `jq -r .payload envelope | base64 -d > payload; type=$(jq -r .payloadType envelope)
{ printf 'DSSEv1 %s %s %s ' \${#type} "$type" $(stat -c %s payload); cat payload; } > pae
jq -r '.signatures[0].sig' envelope | base64 -d > sig
openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in pae -sigfile sig`
    expect(await tpm.tool("sh", "-c", script)).toContain("Verified Successfully")
  })

  it("quotes the log's PCR also when it was not asked for", async () => {
    const asked = { kind: "report", after: null } as const
    const request = { asked, audience: "a", made: new Date().toISOString(), pcrs: [7, 0, 7] }
    const { envelope } = await attest(broker, request)
    expect(payloadOf(envelope).body.selection.pcrs).toEqual([0, 7, 23])
  })

  it("puts a secret that only this TPM can recover into the quote", async () => {
    const { identity, ak } = await broker.call("identity", {})
    const secret = new Uint8Array(randomBytes(32))
    const chance = { kind: "rsa", seed: randomBytes(64), mask: randomBytes(64) } as const
    const { idObject, encryptedSecret } = makeCredential(
      readPublic(fromBase64(identity.ekPublic)),
      fromHex(ak),
      secret,
      chance,
    )
    const nonce = new Uint8Array(randomBytes(32))
    const { envelope } = await answer(nonce, {
      idObject: toBase64(idObject),
      encryptedSecret: toBase64(encryptedSecret),
    })
    const asked = { kind: "nonce", nonce, channel: "not checkable", credential: secret } as const
    expect((await judge(broker, envelope, asked)).authentic).toBe(true)
    const another = { ...asked, credential: new Uint8Array(32) }
    expect(findingsOf(await judge(broker, envelope, another))).toContain("quote.qualifying-data")
  })

  it("opens what tpm2_makecredential made, and refuses what is for another key", async () => {
    const { identity, ak } = await broker.call("identity", {})
    writeFileSync(join(tpm.directory, "ek.tpm2b"), sized(fromBase64(identity.ekPublic)))
    writeFileSync(join(tpm.directory, "secret"), "sesame, open: this is secret")
    const made = async (name: string) => {
      await tpm.tool(
        "tpm2_makecredential",
        "-T",
        "none",
        "-u",
        "ek.tpm2b",
        "-s",
        "secret",
        "-n",
        name,
        "-o",
        "credential",
      )
      const bytes = readFileSync(join(tpm.directory, "credential")).subarray(8) // magic and version of tpm2-tools
      const split = 2 + bytes.readUInt16BE()
      return { idObject: toBase64(bytes.subarray(0, split)), encryptedSecret: toBase64(bytes.subarray(split)) }
    }
    const { secret } = await broker.call("activate", { credential: await made(ak) })
    expect(Buffer.from(secret, "base64").toString()).toBe("sesame, open: this is secret")
    const foreign = await made(`000b${"00".repeat(32)}`)
    await expect(broker.call("activate", { credential: foreign })).rejects.toThrow("TPM_RC_INTEGRITY")
    await expect(answer(randomBytes(32), foreign)).rejects.toThrow("TPM_RC_INTEGRITY")
    await expect(answer(randomBytes(32), { ...foreign, idObject: "AAAA" })).rejects.toThrow("TPM2B")
  })

  it("keeps one chain for each audience, and each names what came before (M14)", async () => {
    const first = await report(broker, "north")
    const second = await report(broker, "north")
    const other = await report(broker, "south")
    const [a, b, c] = [first, second, other].map(({ envelope }) => payloadOf(envelope).body.chain)
    expect(a).toMatchObject({ sequence: "1", previous: null, predecessor: null })
    expect(b).toEqual({ id: a?.id, sequence: "2", previous: first.evidence, predecessor: null })
    expect(c).toMatchObject({ sequence: "1", previous: null })
    expect(c?.id).not.toBe(a?.id)
    expect(
      createHash("sha256")
        .update(JSON.stringify(payloadOf(first.envelope)))
        .digest("hex"),
    ).toBe(first.evidence)
  })

  it("gives many callers at once evidence that replays", async () => {
    const calls = Array.from({ length: 15 }, (_, i) => i)
    const appends = calls.flatMap(i => [0, 1, 2].map(j => broker.call("append", { event: measurement(`${i}.${j}`) })))
    const reports = async (caller: string, most: number) => {
      const made = []
      while (made.length < most) made.push(await report(broker, caller))
      return made
    }
    const evidence = (await Promise.all(["one", "another"].map(caller => reports(caller, 7)))).flat()
    await Promise.all(appends)
    const log = await logOf(broker)
    for (const { envelope } of evidence)
      expect(findingsOf(await judge(broker, envelope, { kind: "nothing" }, log))).toEqual([])
    expect(new Set(evidence.map(({ envelope }) => clockOf(envelope).resetCount)).size).toBe(1)
  })
})

it("a quote is sealed once, and not after the next for its audience", async () => {
  const request = { asked: { kind: "report", after: null } as const, made: new Date().toISOString(), pcrs }
  const quote = (audience: string) => broker.call("attest", { ...request, audience })
  const [first, other, second] = [await quote("one"), await quote("another"), await quote("one")]
  const sealed = (ticket: string) => broker.call("seal", { ticket, logs: [] })
  await expect(sealed(first.ticket)).rejects.toThrow("waits no more")
  for (const { ticket } of [second, other]) expect((await sealed(ticket)).evidence).toHaveLength(64)
  await expect(sealed(second.ticket)).rejects.toThrow("waits no more")
})

describe("who disturbs it", () => {
  const send = (bytes: Uint8Array): Promise<Buffer> =>
    new Promise(resolve => {
      const got: Buffer[] = []
      const socket = connect(broker.socket, () => socket.end(bytes))
      socket.on("data", piece => got.push(Buffer.from(piece))).on("error", () => undefined)
      socket.on("close", () => resolve(Buffer.concat(got)))
    })
  const framed = (text: string): Buffer => {
    const head = Buffer.alloc(4)
    head.writeUInt32BE(Buffer.byteLength(text))
    return Buffer.concat([head, Buffer.from(text)])
  }

  it("does not get in the way of others: unknown verbs, noise, huge frames", async () => {
    const calm = await openCaller(broker.socket, { ...(await import("../agent/broker/verbs.ts")).verbs }, 10_000)
    const before = (await calm.call("identity", {})).log
    const answers = await Promise.all([
      send(framed('{"verb":"reset","with":{"pcr":23}}')),
      send(framed('{"verb":"__proto__","with":{}}')),
      send(framed("{}")),
      send(framed('{"verb":"append","with":{"event":1}}')),
      send(new Uint8Array(randomBytes(4096)).fill(0xff, 0, 4)),
      send(Buffer.concat([Buffer.from([0x06, 0x40, 0, 0]), Buffer.alloc(1 << 20)])),
    ])
    const texts = answers.map(bytes => bytes.subarray(4).toString())
    expect(texts[0]).toContain("there is no verb")
    expect(texts[1]).toContain("there is no verb")
    for (const text of texts.slice(0, 4)) expect(Object.keys(JSON.parse(text))).toEqual(["error", "hint"])
    expect(texts.slice(4)).toEqual(["", ""])
    expect((await calm.call("identity", {})).log).toEqual(before)
    calm.close()
  })

  it("shows when somebody else extends the PCR: the verifier refuses the log, and people are told (C28)", async () => {
    await tpm.tool("tpm2_pcrextend", `23:sha256=${"ab".repeat(32)}`)
    const { envelope } = await report(broker)
    expect(findingsOf(await judge(broker, envelope))).toEqual(["log.replay"])
    expect(broker.said()).toMatch(/assay: broker: PCR 23 holds [0-9a-f]{64}, its log gives .*\nassay: hint: .*reboot/)
  })

  it("ends at SIGTERM: what is asked is answered, the socket is gone, and the next start is the same attester", async () => {
    const { identity, ak } = await broker.call("identity", {})
    const asked = broker.call("append", { event: measurement("the last") })
    await broker.call("identity", {}).catch(() => undefined)
    await stopBroker(broker)
    await asked
    expect(await broker.ended).toEqual({ code: 0, signal: null })
    expect(existsSync(broker.socket)).toBe(false)
    broker = startBroker(tpm)
    const again = await broker.call("identity", {})
    expect([again.ak, again.identity.attester, again.identity.evidenceKey]).toEqual([
      ak,
      identity.attester,
      identity.evidenceKey,
    ])
  })
})
