/** Does the collector admit, ask, judge, keep and show as it says? With a real TPM's evidence over real sockets. */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest"
import { readResult } from "../attestation/appraise/result.ts"
import { readEnvelope, signedEnvelope } from "../attestation/protocol/dsse.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { paths } from "../attestation/protocol/message.ts"
import { makeCredential } from "../attestation/tcg/credential.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import { verify } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64, toHex } from "../attestation/wire/text.ts"
import { verbs } from "../collector/verbs.ts"
import { openCaller } from "../local/call.ts"
import { activate, enrol, hello, identityOf, Line, submit } from "./collector-attester.ts"
import { Attester, digestOf } from "./collector-chain.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { measurement } from "./evidence-maker.ts"

let folder: string
let house: House
let one: Attester

beforeAll(async () => {
  one = await Attester.start()
  await one.machine.append(measurement("a"))
})
afterAll(() => one.stop())

beforeEach(async () => {
  folder = temporaryFolder()
  house = await startHouse(folder)
  onTestFinished(async () => {
    await house.stop()
    removeFolder(folder)
  })
})

const attester = (): string => one.attester
const standing = async () => (await house.admin.call("status", { attester: attester() })).standing
const findingsOf = async () =>
  (await house.admin.call("status", { attester: attester() })).answer?.findings.map(each => each.id) ?? []

/** Asks as an operator does, and answers on `line`. */
async function challenged(line: Line, options = {}, offset = 0) {
  const asking = house.admin.call("challenge", { attester: attester(), depth: "quick" })
  const challenge = await line.next("challenge")
  const evidence = await one.answer(line, challenge, options)
  await submit(line, challenge.id, evidence, offset)
  return { challenge, evidence, judged: await asking }
}

test("an attester joins, answers, and is shown as no better than warning", async () => {
  const invitation = await invitationFrom(house)
  const line = await enrol(one.machine, invitation)
  expect(line.pin).toBe(toHex(readInvitation(invitation).pin))
  expect(await standing()).toMatchObject({ state: "unknown", stale: true, fresh: null, connected: false })
  const evidence = await one.prove(line)
  expect(await standing()).toMatchObject({ state: "warning", stale: false, connected: true, label: "gpu-1" })
  expect(await findingsOf()).toEqual(expect.arrayContaining(["root.unendorsed", "pin.none", "reference.none"]))
  const { judged, evidence: second } = await challenged(line)
  expect(judged).toMatchObject({ kind: "judged", tier: "warning", evidence: digestOf(second) })
  expect(digestOf(second)).not.toBe(digestOf(evidence))
})

test("C32 the result is signed by the key that enrolment told, which is not the TLS key, and names evidence, verifier and build", async () => {
  const line = await one.join(house)
  const { judged } = await challenged(line)
  if (judged.kind !== "judged") throw new Error(judged.kind)
  const identity = await house.admin.call("identity", {})
  const envelope = readEnvelope(fromBase64(judged.result))
  expect(signedEnvelope(fromBase64(identity.resultKey), envelope)).toBe(true)
  expect(readResult(fromBase64(envelope.payload))).toMatchObject({
    ...{ attester: attester(), evidence: judged.evidence, tier: "warning", kind: "answer", reference: null },
    verifier: { version: identity.version, build: identity.build },
  })
})

test("what is exported verifies elsewhere", async () => {
  const line = await one.join(house)
  const { challenge, evidence } = await challenged(line)
  const exported = await house.admin.call("export", { attester: attester(), evidence: "newest-answer" })
  expect(exported.evidence).toBe(digestOf(evidence))
  const log = await house.admin.call("log", { evidence: exported.evidence, offset: 0 })
  const { akPublic, evidenceKey } = exported.identity
  const keys = { attester: attester(), ak: fromBase64(akPublic), evidenceKey: fromBase64(evidenceKey) }
  const asked = { nonce: fromBase64(challenge.nonce), channel: line.channel, credential: new Uint8Array(0) }
  const untrusted = { envelope: fromBase64(exported.envelope), logs: new Map([["assay", fromBase64(log.bytes)]]) }
  const outcome = verify(untrusted, {
    keys,
    asked: { kind: "nonce", ...asked },
    pcrs: [0, 7, 23],
    logPcr: 23,
    audience: "anyone",
    now: Date.now(),
  })
  expect(outcome).toMatchObject({ authentic: true })
})

test("a log is sent from where it was acknowledged; what the collector lacks it asks for", async () => {
  const line = await one.join(house)
  const boundary = one.machine.log().length
  await one.machine.append(measurement("b"))
  expect((await challenged(line, {}, boundary)).judged).toMatchObject({ kind: "judged" })
  await line.next("acknowledged")

  await one.machine.append(measurement("c"))
  const asking = house.admin.call("challenge", { attester: attester(), depth: "quick" })
  const challenge = await line.next("challenge")
  const evidence = await one.answer(line, challenge)
  await submit(line, challenge.id, { ...evidence, logs: new Map([["assay", new Uint8Array(99_999)]]) }, 99_000)
  expect((await line.next("refused")).findings.map(each => each.id)).toContain("log.missing")
  await submit(line, challenge.id, evidence)
  expect(await asking).toMatchObject({ kind: "judged" })
})

test("C29 C6 C32 a difference from the recorded reference contraindicates until a named person clears it", async () => {
  const line = await one.join(house)
  const recorded = await house.admin.call("reference-record", { attester: attester(), by: "Olga", ignore: [] })
  expect(recorded).toMatchObject({ attester: attester() })
  const shown = await house.admin.call("reference-show", { attester: attester(), offset: 0 })
  expect(JSON.parse(Buffer.from(shown.bytes, "base64").toString())).toMatchObject({
    by: "Olga",
    evidence: recorded.evidence,
  })
  const { judged } = await challenged(line)
  expect(judged).toMatchObject({ tier: "warning" })
  const { payload } = readEnvelope(fromBase64(judged.kind === "judged" ? judged.result : ""))
  expect(readResult(fromBase64(payload)), "C32").toMatchObject({ reference: recorded.reference })
  await line.next("acknowledged")
  await one.machine.append(measurement("a", [["sha256", "bb"]]))
  expect((await challenged(line)).judged).toMatchObject({ tier: "contraindicated" })
  await line.next("acknowledged")
  await one.machine.append(measurement("a"))
  expect((await challenged(line)).judged, "M5: every event is appraised").toMatchObject({ tier: "contraindicated" })
  expect(await standing()).toMatchObject({ state: "contraindicated", stale: false })
  const cleared = await house.admin.call("clear", { attester: attester(), by: "Olga", reason: "test" })
  expect(cleared.was).toBe("contraindicated")
  expect(await standing()).toMatchObject({ state: "unknown" })
})

test("M10 after a start nothing is fresh before a new answer, and nothing is lost", async () => {
  const line = await one.join(house)
  line.close()
  await house.stop()
  house = await startHouse(folder)
  expect(await standing()).toMatchObject({ state: "warning", stale: true, connected: false })
  const again = await Line.dial(house.collector.port)
  expect(again.pin).toBe(toHex(house.collector.pin))
  await one.prove(again)
  expect(await standing()).toMatchObject({ state: "warning", stale: false, connected: true })
})

test("a report and a late answer are history: kept, and nothing is fresher for them", async () => {
  const line = await enrol(one.machine, await invitationFrom(house))
  const challenge = await hello(line, one.machine)
  const late = await one.answer(line, challenge)
  const report = await one.report()
  line.close()
  await line.ending()
  const again = await Line.dial(house.collector.port)
  await hello(again, one.machine)
  await submit(again, null, report)
  expect(await again.next("acknowledged")).toMatchObject({ evidence: digestOf(report), tier: "none" })
  await submit(again, challenge.id, late)
  expect(await again.next("acknowledged")).toMatchObject({ evidence: digestOf(late), tier: "none" })
  expect(await standing()).toMatchObject({ state: "unknown", stale: true, connected: false })
  const { gaps } = await house.admin.call("status", { attester: attester() })
  expect(gaps, "the late answer fills the gap before the report").toEqual([])
  const kept = await house.admin.call("export", { attester: attester(), evidence: digestOf(late) })
  expect(readResult(fromBase64(readEnvelope(fromBase64(kept.result)).payload))).toMatchObject({ kind: "answer" })
})

test("M7 a late answer that was quoted before newer evidence is no break", async () => {
  const line = await one.join(house)
  const asking = house.admin.call("challenge", { attester: attester(), depth: "quick" })
  const challenge = await line.next("challenge")
  const late = await one.answer(line, challenge)
  line.close()
  await asking
  await one.machine.append(measurement("c"))
  const again = await Line.dial(house.collector.port)
  await one.prove(again)
  await submit(again, challenge.id, late)
  expect(await again.next("acknowledged")).toMatchObject({ evidence: digestOf(late), tier: "warning" })
  expect(await standing()).toMatchObject({ state: "warning" })
})

test("evidence that is missing is a gap until a named person closes it", async () => {
  const line = await one.join(house)
  await one.report()
  expect((await challenged(line)).judged).toMatchObject({ kind: "judged" })
  await line.next("acknowledged")
  await challenged(line)
  expect(await findingsOf()).toContain("chain.gap")
  await house.admin.call("clear", { attester: attester(), by: "Olga", reason: "the disk was full" })
  await line.next("acknowledged")
  await challenged(line)
  expect(await findingsOf()).not.toContain("chain.gap")
})

test("a restarted broker opens a chain that names the one before; one that forgot leaves a gap", async () => {
  const line = await one.join(house)
  await challenged(line, { predecessor: one.restart() })
  expect(await findingsOf()).toEqual(expect.not.arrayContaining(["chain.gap"]))
  await line.next("acknowledged")
  await challenged(line, { predecessor: one.restart(true) })
  expect(await findingsOf()).toContain("chain.gap")
})

test("a broker whose state was put back names what was the last evidence once: a gap until a person closes it", async () => {
  const line = await one.join(house)
  await challenged(line)
  await line.next("acknowledged")
  const once = one.restart()
  await challenged(line, { predecessor: once })
  await line.next("acknowledged")
  one.restart()
  await challenged(line, { predecessor: once })
  await line.next("acknowledged")
  expect(await findingsOf()).toContain("chain.gap")
  await challenged(line)
  expect(await findingsOf()).toContain("chain.gap")
})

test("an attester that declines is told of, and stays connected", async () => {
  const line = await one.join(house)
  const asking = house.admin.call("challenge", { attester: attester(), depth: "full" })
  const { id } = await line.next("challenge")
  await line.send({ type: "declined", challenge: id, reason: "the disk is being changed" })
  expect(await asking).toMatchObject({ kind: "unanswered", reason: "the disk is being changed" })
  const { incidents, standing } = await house.admin.call("status", { attester: attester() })
  expect(incidents).toMatchObject([{ kind: "declined", says: "the disk is being changed" }])
  expect(standing.connected).toBe(true)
})

test("a machine whose log does not replay is told of, and can be asked again on the same connection", async () => {
  const broken = await Attester.start("second")
  onTestFinished(() => broken.stop())
  const before = await broken.join(house)
  before.close()
  await broken.machine.tpm.tool("tpm2_pcrextend", `23:sha256=${"ab".repeat(32)},sha384=${"ab".repeat(48)}`)
  const line = await Line.dial(house.collector.port)
  const first = await hello(line, broken.machine)
  await submit(line, first.id, await broken.answer(line, first))
  expect((await line.next("refused")).findings.map(({ id }) => id)).toContain("log.replay")

  const asking = house.admin.call("challenge", { attester: broken.attester, depth: "quick" })
  const second = await line.next("challenge")
  await submit(line, second.id, await broken.answer(line, second))
  const again = await asking
  expect(again.kind === "refused" && again.findings.map(({ id }) => id)).toContain("log.replay")
  const { standing: stands, incidents } = await house.admin.call("status", { attester: broken.attester })
  expect(stands).toMatchObject({ state: "contraindicated", connected: true })
  expect(incidents.map(({ kind, findings }) => [kind, findings[0]?.id])).toContainEqual(["refused", "log.replay"])
})

test("the newer of two proven connections stays", async () => {
  const line = await one.join(house)
  const newer = await Line.dial(house.collector.port)
  const challenge = await hello(newer, one.machine)
  expect((await challenged(line)).judged, "a claim evicts nobody").toMatchObject({ kind: "judged" })
  await submit(newer, challenge.id, await one.answer(newer, challenge))
  await newer.next("acknowledged")
  expect((await line.ending()).reason).toMatch("another connection")
  expect(await standing()).toMatchObject({ connected: true })
})

test("C14 C15 an invitation for one EK admits no other, and says who vouches for it", async () => {
  const accept = (ek: string) => ({ ek, by: "Karl", reason: "serial number compared" })
  const invite = async (ek: string): Promise<string> => {
    const asked = { by: "Olga", purpose: "attester", name: "gpu-1", lifetimeSeconds: 60, accept: accept(ek) } as const
    return (await house.admin.call("invite", asked)).invitation
  }
  await expect(enrol(one.machine, await invite(`000b${"1".repeat(64)}`))).rejects.toThrow("goodbye")
  const line = await enrol(one.machine, await invite(attester()))
  await one.prove(line)
  const { enrolled, answer } = await house.admin.call("status", { attester: attester() })
  expect(enrolled.endorsement).toEqual({ kind: "accepted", by: "Karl", reason: "serial number compared" })
  expect(answer?.findings.map(each => each.id)).not.toContain("root.unendorsed")
})

test("an outside verifier asks through the collector, and gets the evidence as it came", async () => {
  const line = await one.join(house)
  const asked = { by: "Olga", purpose: "verifier", name: "auditor", lifetimeSeconds: null, accept: null } as const
  const { id, invitation } = await house.admin.call("invite", asked)
  const token = toBase64(readInvitation(invitation).token)
  const verifier = await Line.dial(house.collector.port, paths.verifier)
  await verifier.send({ type: "who", token, attester: attester() })
  const { identity, endorsement } = await verifier.next("identity")
  expect({ identity, endorsement }).toEqual({ identity: identityOf(one.machine), endorsement: "unendorsed" })

  const secret = randomBytes(32)
  const ak = readPublic(fromBase64(identity.akPublic))
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" })
  const ephemeral = privateKey.export({ format: "der", type: "pkcs8" })
  const wrapped = makeCredential(readPublic(fromBase64(identity.ekPublic)), nameOf(ak), secret, {
    kind: "ecc",
    ephemeral,
  })
  const credential = { idObject: toBase64(wrapped.idObject), encryptedSecret: toBase64(wrapped.encryptedSecret) }
  const nonce = toBase64(randomBytes(32))
  await verifier.send({ type: "ask", token, attester: attester(), nonce, depth: "quick", credential })

  const challenge = await line.next("challenge")
  expect(challenge).toMatchObject({ nonce, audience: "verifier:auditor", credential })
  const recovered = await activate(one.machine, { type: "credential", credential })
  const evidence = await one.machine.attest({ nonce: fromBase64(nonce), channel: line.channel, secret: recovered })
  await submit(line, challenge.id, evidence)
  const announced = await verifier.next("evidence")
  const log = evidence.logs.get("assay") ?? new Uint8Array(0)
  const came = await verifier.bytes(announced.envelope + log.length)
  expect(Buffer.from(came).equals(Buffer.concat([evidence.envelope, log]))).toBe(true)
  const keys = { attester: attester(), ak: fromBase64(identity.akPublic), evidenceKey: "as quoted" } as const
  const expected = { kind: "nonce", nonce: fromBase64(nonce), channel: "not checkable", credential: secret } as const
  const outcome = verify(evidence, {
    keys,
    asked: expected,
    pcrs: [23],
    logPcr: 23,
    audience: "anyone",
    now: Date.now(),
  })
  expect(outcome).toMatchObject({ authentic: true })
  const newest = await house.admin.call("export", { attester: attester(), evidence: "newest" })
  expect(newest.evidence, "it is not the attester's standing").not.toBe(digestOf(evidence))

  expect(await house.admin.call("revoke", { id, by: "Olga" })).toEqual({ revoked: true })
  await verifier.send({ type: "who", token, attester: attester() })
  expect((await verifier.ending()).reason).toMatch("revoked")
})

test("C30 M8 who is asked and does not answer is told of, and stale by time alone; staleness hides nothing", async () => {
  await house.stop()
  house = await startHouse(folder, "[challenge]\nevery = 1\ndeadline = 1\nstale = 2\n")
  const line = await one.join(house)
  expect(await standing()).toMatchObject({ state: "warning", stale: false })
  const challenge = await line.next("challenge")
  expect(challenge).toMatchObject({ audience: "collector", depth: "quick", deadlineSeconds: 1 })
  while (!(await standing()).stale) await delay(20)
  expect(await standing()).toMatchObject({ state: "warning", connected: true })
  const oldest = async () => (await house.admin.call("status", { attester: attester() })).incidents.at(-1)
  while (!(await oldest())) await delay(20)
  expect(await oldest()).toMatchObject({ kind: "missed", says: "no answer within 1 s" })
  await submit(line, challenge.id, await one.answer(line, challenge))
  for (let next: string = "challenge"; next !== "acknowledged"; ) next = (await line.any()).type
  expect(await standing(), "a late answer renews nothing").toMatchObject({ stale: true })
})

test("when the collector stops, agents are told when to come back", async () => {
  const line = await one.join(house)
  await house.stop()
  expect(await line.ending()).toEqual({ code: 1001, reason: "the collector stops" })
  house = await startHouse(folder)
})

test("a full reading is bound in two steps: its nonce in the log before and after, and another one quoted after that", async () => {
  const line = await one.join(house)
  const step = async (records: readonly ("assay.hash-begun.v1" | "assay.hash-done.v1")[]) => {
    const asking = house.admin.call("challenge", { attester: attester(), depth: "full" })
    const first = await line.next("challenge")
    for (const type of records) await one.machine.append({ type, nonce: first.nonce })
    await line.send({ type: "hashed", challenge: first.id })
    const second = await line.next("challenge")
    expect(second).toMatchObject({ depth: "quick" })
    expect(second.nonce).not.toBe(first.nonce)
    const evidence = await one.answer(line, second)
    await submit(line, second.id, evidence)
    await line.next("acknowledged")
    const judged = await asking
    return judged.kind === "judged" ? judged.findings.map(({ id }) => id) : [judged.kind]
  }
  expect(await step(["assay.hash-begun.v1", "assay.hash-done.v1"])).not.toContain("hash.unbound")
  expect(await step([])).toContain("hash.unbound")
  expect(await step(["assay.hash-done.v1", "assay.hash-begun.v1"])).toContain("hash.unbound")
  expect(await step(["assay.hash-begun.v1"])).toContain("hash.unbound")
})

const asFull = () => house.admin.call("challenge", { attester: attester(), depth: "full" })

test("a full reading that is answered at once, without the records of its nonce, is unbound", async () => {
  const line = await one.join(house)
  const answered = async () => {
    const asking = asFull()
    const first = await line.next("challenge")
    return { asking, first }
  }
  const bare = await answered()
  await submit(line, bare.first.id, await one.answer(line, bare.first))
  expect(await bare.asking).toMatchObject({
    findings: expect.arrayContaining([expect.objectContaining({ id: "hash.unbound" })]),
  })
  await line.next("acknowledged")
  const bound = await answered()
  for (const type of ["assay.hash-begun.v1", "assay.hash-done.v1"] as const)
    await one.machine.append({ type, nonce: bound.first.nonce })
  await submit(line, bound.first.id, await one.answer(line, bound.first))
  const judged = await bound.asking
  expect(judged.kind === "judged" ? judged.findings.map(({ id }) => id) : judged.kind).not.toContain("hash.unbound")
})

test("records of one full challenge do not bind another: two at once, each with its own", async () => {
  const line = await one.join(house)
  const beside = await openCaller(house.collector.socket, verbs, 30_000)
  onTestFinished(() => beside.close())
  const asking = [asFull(), beside.call("challenge", { attester: attester(), depth: "full" })]
  const firsts = [await line.next("challenge"), await line.next("challenge")]
  const [one_, two] = firsts
  if (!one_ || !two) throw new Error("two were asked")
  for (const type of ["assay.hash-begun.v1", "assay.hash-done.v1"] as const)
    await one.machine.append({ type, nonce: one_.nonce })
  for (const { id } of firsts) {
    await line.send({ type: "hashed", challenge: id })
    const second = await line.next("challenge")
    await submit(line, second.id, await one.answer(line, second))
    await line.next("acknowledged")
  }
  const found = await Promise.all(asking)
  const unbound = found.map(each => each.kind === "judged" && each.findings.some(({ id }) => id === "hash.unbound"))
  expect(unbound.filter(Boolean).length).toBe(1)
  expect(found.map(({ kind }) => kind)).toEqual(["judged", "judged"])
})

test("hashed for what was answered or never asked leads nowhere; twice, or for a quick challenge, ends the connection", async () => {
  const line = await one.join(house)
  await line.send({ type: "hashed", challenge: "0".repeat(32) })
  const asking = asFull()
  const first = await line.next("challenge")
  await line.send({ type: "hashed", challenge: first.id })
  expect(await line.next("challenge")).toMatchObject({ depth: "quick" })
  await line.send({ type: "hashed", challenge: first.id })
  expect((await line.ending()).reason).toMatch("hashed came twice for one challenge")
  expect(await asking).toMatchObject({ kind: "unanswered" })
  const again = await Line.dial(house.collector.port)
  const quick = await hello(again, one.machine)
  await again.send({ type: "hashed", challenge: quick.id })
  expect((await again.ending()).reason).toMatch("asks for no full reading")
})

test("a second step that is declined or never answered is told of, and ends the whole question", async () => {
  const line = await one.join(house)
  const asking = asFull()
  await line.send({ type: "hashed", challenge: (await line.next("challenge")).id })
  const second = await line.next("challenge")
  await line.send({ type: "declined", challenge: second.id, reason: "the TPM hangs" })
  expect(await asking).toMatchObject({ kind: "unanswered", reason: "the TPM hangs" })
  const { incidents } = await house.admin.call("status", { attester: attester() })
  expect(incidents).toMatchObject([{ kind: "declined", says: "the TPM hangs" }])
})
