/** Does the agent speak the protocol as docs/the-protocol.md has it, with a peer that is not ours, and keep what is not acknowledged? */
import { createHash, randomBytes } from "node:crypto"
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import { Attester } from "../agent/attester.ts"
import { openChannel } from "../agent/channel.ts"
import { type ConnectionParts, pauseAfter, stayConnected } from "../agent/connect.ts"
import { enrol } from "../agent/enrol.ts"
import { readEnrolment, writeEnrolment } from "../agent/enrolment.ts"
import { Host } from "../agent/host.ts"
import { KnownPrefix } from "../agent/outbox.ts"
import { Spool } from "../agent/spool.ts"
import { Standing } from "../agent/standing.ts"
import { Wishes } from "../agent/wishes.ts"
import type { Challenge, Identity } from "../attestation/protocol/message.ts"
import { makeCredential } from "../attestation/tcg/credential.ts"
import { nameOf, type PublicArea, readPublic } from "../attestation/tcg/public.ts"
import { type Asked, verify, type VerifiedEvidence } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { type BrokerProcess, killBrokers, startBroker } from "./broker-process.ts"
import { type PeerCollector, type PeerConnection, startPeer } from "./peer-collector.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

let tpm: Swtpm
let broker: BrokerProcess
let peer: PeerCollector
let identity: Identity
let ak: string
const folder = mkdtempSync(join(tmpdir(), "assay-connect-"))
const weights = join(folder, "weights")

beforeAll(async () => {
  tpm = await startSwtpm()
  broker = startBroker(tpm)
  peer = await startPeer(folder)
  ;({ identity, ak } = await broker.call("identity", {}))
  writeFileSync(weights, "weights")
})
afterAll(async () => {
  await peer.stop()
  await killBrokers()
  await tpm.stop()
  rmSync(folder, { recursive: true, force: true })
})

/** One agent's side of connections, as main.ts puts it together. */
type Side = ConnectionParts & { readonly said: string[]; readonly stop: () => Promise<void>; readonly state: string }
let side: Side
let runs = 0
beforeEach(async () => {
  side = await newSide()
})
afterEach(() => side.stop())

async function newSide(): Promise<Side> {
  const said: string[] = []
  const say = (message: string): void => void said.push(message)
  const state = join(folder, `state-${runs++}`)
  const tpmSettings = {
    broker: "own",
    tcti: "",
    ek_certificate: "",
    software: true,
    pcr: 23 as const,
    pcrs: [0, 7, 23],
    deadline: 10,
  }
  const configuration = { weights: [{ name: "m", path: "/weights", links: "own" as const }], tpm: tpmSettings, state }
  const attester = new Attester({ broker, host: new Host(folder), configuration, now: Date.now })
  const over = new AbortController()
  let running: Promise<void> = Promise.resolve()
  return {
    ...{
      attester,
      said,
      say,
      state,
      random: () => 0.01,
      known: new KnownPrefix(),
      standing: new Standing(Date.now),
      wishes: new Wishes(),
    },
    spool: await Spool.open(state, { evidence: 10, bytes: 1 << 24, horizon: 86_400_000 }, say),
    who: { attester: identity.attester, ak },
    endpoint: { host: "127.0.0.1", port: peer.port, pin: peer.pin, proxy: "none" as const },
    succeeded: async () => undefined,
    get signal() {
      return over.signal
    },
    connect() {
      running = stayConnected(side, over.signal)
    },
    async stop() {
      over.abort()
      await running
      await attester.close()
    },
  } as Side
}

/** Connects the agent, and gives the peer's end after its hello. */
async function greeted(): Promise<PeerConnection> {
  ;(side as Side & { connect: () => void }).connect()
  return next()
}

async function next(): Promise<PeerConnection> {
  const connection = await peer.connection()
  expect(await connection.next("hello")).toEqual({ type: "hello", attester: identity.attester, ak, version: "0.1.0" })
  return connection
}

function challenge(more: Partial<Challenge> = {}): Challenge {
  const [id, nonce] = [randomBytes(16).toString("hex"), randomBytes(32).toString("base64")]
  const common = { type: "challenge", id, nonce, depth: "quick", deadlineSeconds: 60, credential: null } as const
  return { ...common, audience: "collector", ...more }
}

/** What {@link verify} makes of it, with the peer's own idea of nonce and channel. */
function judged(envelope: Uint8Array, log: Uint8Array, asked: Asked): VerifiedEvidence {
  const keys = {
    attester: identity.attester,
    ak: fromBase64(identity.akPublic),
    evidenceKey: fromBase64(identity.evidenceKey),
  }
  const outcome = verify(
    { envelope, logs: new Map([["assay", log]]) },
    { keys, asked, pcrs: [0, 7, 23], logPcr: 23, audience: "anyone", now: Date.now() },
  )
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  return outcome.evidence
}

const nonceOf = ({ nonce }: Challenge, { binding }: PeerConnection, credential = new Uint8Array(0)): Asked => ({
  ...{ kind: "nonce", nonce: fromBase64(nonce), channel: binding, credential },
})

function credentialFor(ek: PublicArea, akName: Uint8Array, secret: Uint8Array) {
  const chance = { kind: "rsa", seed: randomBytes(64), mask: randomBytes(64) } as const
  const { idObject, encryptedSecret } = makeCredential(ek, akName, secret, chance)
  return { idObject: toBase64(idObject), encryptedSecret: toBase64(encryptedSecret) }
}

const acknowledge = (connection: PeerConnection, evidence: string): void =>
  connection.say({ type: "acknowledged", evidence, tier: "warning", nextSeconds: 300 })

/** Waits until something holds that the agent does on its own. */
async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 1000; i++) {
    if (holds()) return
    await new Promise(resolve => setTimeout(resolve, 5))
  }
  throw new Error(`never: ${String(holds)}`)
}

describe("a channel", () => {
  it("is not used when the peer's key is another (nothing is sent)", async () => {
    const before = peer.requests()
    const endpoint = { host: "127.0.0.1", port: peer.port, pin: new Uint8Array(32), proxy: "none" as const }
    await expect(openChannel(endpoint, new AbortController().signal)).rejects.toMatchObject({
      message: expect.stringContaining("channel-differs"),
      hint: expect.stringContaining("somebody is between"),
    })
    expect(peer.requests()).toBe(before)
  })

  it("is not used below TLS 1.3 (C18)", async () => {
    const old = await startPeer(folder, "old", "TLSv1.2")
    const endpoint = { host: "127.0.0.1", port: old.port, pin: old.pin, proxy: "none" as const }
    await expect(openChannel(endpoint, new AbortController().signal)).rejects.toThrow("cannot reach the collector")
    expect(old.requests()).toBe(0)
    await old.stop()
  })

  it("says so when nobody listens", async () => {
    const gone = { host: "127.0.0.1", port: 1, pin: peer.pin, proxy: "none" as const }
    await expect(openChannel(gone, new AbortController().signal)).rejects.toThrow("ECONNREFUSED")
  })

  it("is given up at once when the agent stops, whatever the peer does", async () => {
    const silent = createServer(socket => socket.on("error", () => undefined)).listen(0, "127.0.0.1")
    await new Promise(resolve => silent.once("listening", resolve))
    const stop = new AbortController()
    const opening = openChannel(
      { host: "127.0.0.1", port: (silent.address() as AddressInfo).port, pin: peer.pin, proxy: "none" as const },
      stop.signal,
    )
    setTimeout(() => stop.abort(), 50)
    await expect(opening).rejects.toThrow("stopped")
    silent.close()
  })

  it("has the same binding at both ends (RFC 9266)", async () => {
    const endpoint = { host: "127.0.0.1", port: peer.port, pin: peer.pin, proxy: "none" as const }
    const { socket, binding } = await openChannel(endpoint, new AbortController().signal)
    expect((await peer.connection()).binding).toEqual(binding)
    socket.terminate()
  })
})

describe("joining", () => {
  const invited = () => ({ host: "127.0.0.1", port: peer.port, pin: peer.pin, token: new Uint8Array(32).fill(7) })
  const joinPeer = () =>
    enrol({ broker, label: "ws-7", proxy: "none", now: Date.now }, invited(), new AbortController().signal)

  it("shows its keys and the token, and opens the credential that is made for them", async () => {
    const joining = joinPeer()
    const connection = await peer.connection()
    const asked = await connection.next("enrol")
    expect(asked).toEqual({ type: "enrol", invitation: toBase64(new Uint8Array(32).fill(7)), identity, label: "ws-7" })
    const secret = new Uint8Array(randomBytes(32))
    const ek = readPublic(fromBase64(asked.identity.ekPublic))
    const akName = nameOf(readPublic(fromBase64(asked.identity.akPublic)))
    connection.say({ type: "credential", credential: credentialFor(ek, akName, secret) })
    expect(await connection.next("activated")).toMatchObject({
      ...{ type: "activated", secret: toBase64(secret), audit: { commands: [0x13d, 0x140] } },
    })
    connection.say({
      type: "enrolled",
      attester: identity.attester,
      resultKey: toBase64(new Uint8Array(32)),
      audience: "collector",
    })
    const enrolment = await joining
    expect(enrolment).toMatchObject({ attester: identity.attester, ak, port: peer.port })
    await writeEnrolment(side.state, enrolment)
    expect(await readEnrolment(side.state)).toEqual(enrolment)
    await writeEnrolment(side.state, { ...enrolment, host: "elsewhere" })
    expect(readdirSync(side.state)).toContain(`enrolment.${enrolment.joined}.json`)
  })

  it("says why when it is not let in", async () => {
    const joining = joinPeer()
    const connection = await peer.connection()
    await connection.next("enrol")
    connection.say({ type: "goodbye", reason: "the invitation was used", retryAfterSeconds: 0 })
    await expect(joining).rejects.toThrow("does not let this machine in: the invitation was used")
  })

  it("refuses an answer out of order, and an enrolment of another", async () => {
    for (const attester of [identity.attester, `000b${"0".repeat(64)}`]) {
      const joining = joinPeer()
      const connection = await peer.connection()
      await connection.next("enrol")
      connection.say({ type: "enrolled", attester, resultKey: toBase64(new Uint8Array(32)), audience: "collector" })
      await expect(joining).rejects.toThrow('"enrolled" in place of "credential"')
    }
  })
})

describe("a challenge", () => {
  it("is answered with evidence that verifies for its nonce on this channel, and the log from its beginning", async () => {
    const connection = await greeted()
    const asked = challenge()
    connection.say(asked)
    const { message, envelope, log } = await connection.evidence()
    expect(message).toMatchObject({ challenge: asked.id, logs: [{ name: "assay", offset: 0, length: log.length }] })
    const evidence = judged(envelope, log, nonceOf(asked, connection))
    expect(evidence.body).toMatchObject({ kind: "answer", audience: "collector", credential: "none" })
    const model = evidence.events.find(event => event.type === "assay.measurement.v1" && event.source === "weights")
    const digest = createHash("sha256").update("weights").digest("hex")
    expect(JSON.stringify(model)).toContain(digest)
    expect(side.spool.waiting).toHaveLength(1)
    acknowledge(connection, evidence.digest)
    await until(() => side.spool.acknowledged.length === 1)
    expect(side.spool.waiting).toHaveLength(0)
    expect(side.standing.acknowledged).toMatchObject({ evidence: evidence.digest, tier: "warning" })
  })

  it("after an acknowledgement is answered with what the log has more; from 0 when the collector lacks it", async () => {
    const connection = await greeted()
    const first = challenge()
    connection.say(first)
    const one = await connection.evidence()
    const digest = judged(one.envelope, one.log, nonceOf(first, connection)).digest
    acknowledge(connection, digest)
    writeFileSync(weights, `weights ${runs}`)
    const second = challenge()
    connection.say(second)
    const two = await connection.evidence()
    expect(two.message.logs).toEqual([{ name: "assay", offset: one.log.length, length: two.log.length }])
    expect(two.log.length).toBeGreaterThan(0)
    const whole = Buffer.concat([one.log, two.log])
    const again = judged(two.envelope, whole, nonceOf(second, connection))
    expect(again.body.chain.previous).toBe(digest)
    const lacking = { id: "log.missing", component: "log", seen: "no log", wanted: "one log" }
    connection.say({ type: "refused", evidence: again.digest, findings: [lacking] })
    const resent = await connection.evidence()
    expect(resent.message.logs).toEqual([{ name: "assay", offset: 0, length: whole.length }])
    expect(resent.log.equals(whole)).toBe(true)
    expect(resent.envelope.equals(two.envelope)).toBe(true)
    acknowledge(connection, again.digest)
    await until(() => side.spool.acknowledged.length === 2)
  })

  it("of an outside verifier is answered to it: recovered secret, whole log, nothing kept", async () => {
    const connection = await greeted()
    const own = challenge()
    connection.say(own)
    const first = await connection.evidence()
    acknowledge(connection, judged(first.envelope, first.log, nonceOf(own, connection)).digest)
    const secret = new Uint8Array(randomBytes(32))
    const [ek, akArea] = [readPublic(fromBase64(identity.ekPublic)), readPublic(fromBase64(identity.akPublic))]
    const asked = challenge({
      audience: "verifier:auditor",
      credential: credentialFor(ek, nameOf(akArea), secret),
    })
    connection.say(asked)
    const { message, envelope, log } = await connection.evidence()
    expect(message).toMatchObject({ challenge: asked.id, logs: [{ offset: 0 }] })
    const evidence = judged(envelope, log, nonceOf(asked, connection, secret))
    expect(evidence.body).toMatchObject({ audience: "verifier:auditor", credential: "recovered" })
    expect(side.spool.waiting).toHaveLength(0)
  })

  it("that cannot be met in time, or at all, is declined", async () => {
    const connection = await greeted()
    const soon = challenge({ deadlineSeconds: 0 })
    connection.say(soon)
    expect(await connection.next("declined")).toEqual({
      ...{ type: "declined", challenge: soon.id, reason: "not measured within 0 seconds" },
    })
    const strange = challenge({
      credential: { idObject: toBase64(new Uint8Array(50)), encryptedSecret: toBase64(new Uint8Array(256)) },
    })
    connection.say(strange)
    expect(await connection.next("declined")).toMatchObject({ challenge: strange.id })
    expect(side.said.join()).toContain("cannot answer a challenge")
  })
})

describe("evidence that is not acknowledged", () => {
  it("is sent again on the next connection, before anything is forgotten", async () => {
    const connection = await greeted()
    const asked = challenge()
    connection.say(asked)
    const first = await connection.evidence()
    connection.socket.terminate()
    const again = await next()
    const second = await again.evidence()
    expect(second.envelope.equals(first.envelope)).toBe(true)
    expect(second.message.challenge).toBe(asked.id)
    const { digest } = judged(second.envelope, second.log, nonceOf(asked, connection))
    acknowledge(again, digest)
    await until(() => side.spool.acknowledged.some(entry => entry.digest === digest))
  })

  it("is set aside when it is refused, and not sent again", async () => {
    const connection = await greeted()
    const asked = challenge()
    connection.say(asked)
    await connection.evidence()
    const strange = { id: "evidence.key-unknown", component: "envelope", seen: "these keys", wanted: "others" }
    connection.say({ type: "refused", evidence: null, findings: [strange] })
    await until(() => side.spool.waiting.length === 0)
    expect(readdirSync(join(side.state, "refused"))).toHaveLength(1)
    expect(side.standing.refused?.findings).toEqual(["evidence.key-unknown"])
    connection.socket.terminate()
    const later = await next()
    const fresh = challenge()
    later.say(fresh)
    expect((await later.evidence()).message.challenge).toBe(fresh.id)
  })

  it("was a report: it is sent as one, after hello", async () => {
    const asked = { kind: "report", after: null } as const
    const report = await side.attester.answer(
      { asked, audience: "collector", depth: "quick" },
      new AbortController().signal,
    )
    await side.spool.add({ ...report, challenge: null })
    const connection = await greeted()
    const { message, envelope, log } = await connection.evidence()
    expect(message.challenge).toBeNull()
    expect(judged(envelope, log, { kind: "nothing" }).digest).toBe(report.digest)
    acknowledge(connection, report.digest)
    await until(() => side.spool.waiting.length === 0)
  })
})

describe("a collector that misbehaves", () => {
  it.each<[string, (connection: PeerConnection) => void]>([
    ["sends a binary frame", ({ socket }) => socket.send(Buffer.from("x"))],
    ["sends what is no message", ({ socket }) => socket.send('{"type":"nothing"}')],
    ["sends a message in another spelling", ({ socket }) => socket.send('{ "type": "goodbye" }')],
    ["floods", connection => Array.from({ length: 200 }, () => connection.socket.send("{}"))],
  ])("is told goodbye, and is dialled again: %s", async (_, misbehave) => {
    const connection = await greeted()
    misbehave(connection)
    expect(await connection.next("goodbye")).toMatchObject({ type: "goodbye", retryAfterSeconds: 0 })
    await next()
    expect(side.said.join()).toContain("does not keep to the protocol")
  })

  it("is left when it says what means nothing here, or too large a frame", async () => {
    const connection = await greeted()
    connection.say({
      type: "enrolled",
      attester: identity.attester,
      resultKey: toBase64(new Uint8Array(32)),
      audience: "collector",
    })
    await connection.closed()
    const again = await next()
    again.socket.send("x".repeat((1 << 18) + 1))
    await again.closed()
    await next()
  })

  it("cannot make the agent collect challenges without end", async () => {
    const connection = await greeted()
    for (let i = 0; i < 20; i++) connection.say(challenge({ audience: `verifier:${i}` }))
    const reason = "too many challenges wait already"
    expect(await connection.next("declined")).toMatchObject({ reason })
  })
})

describe("goodbye", () => {
  it("is said when the agent stops", async () => {
    const connection = await greeted()
    await side.stop()
    expect(await connection.next("goodbye")).toMatchObject({ reason: "the agent stops" })
  })

  it("is taken at its word: not before retryAfterSeconds", async () => {
    const connection = await greeted()
    connection.say({ type: "goodbye", reason: "maintenance", retryAfterSeconds: 3600 })
    await until(() => side.standing.connection.state === "waiting")
    const { connection: waiting } = side.standing
    if (waiting.state !== "waiting") throw new Error(waiting.state)
    expect(Date.parse(waiting.until) - Date.parse(waiting.since)).toBeGreaterThanOrEqual(3_600_000)
    expect(waiting.problem).toBe("the collector says goodbye: maintenance")
  })

  it("or its absence is followed by a random part of a pause that doubles up to five minutes", () => {
    const longest = [0, 1, 2, 8, 9, 60].map(failures => pauseAfter(failures, () => 1, 0))
    expect(longest).toEqual([1000, 2000, 4000, 256_000, 300_000, 300_000])
    expect(pauseAfter(60, () => 0, 0)).toBe(0)
    expect(pauseAfter(3, () => 0.5, 10)).toBe(14_000)
  })
})
