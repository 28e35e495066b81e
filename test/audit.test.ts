/**
 * Does a PCR reset show, whoever did it and whatever was read before? On a software TPM with the broker, tpm2-tools and a
 * collector, each a process of its own: command audit armed at joining, and not armed.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { auditContinuity } from "../attestation/verify/continuity.ts"
import type { VerifiedEvidence } from "../attestation/verify/verify.ts"
import { auditQualifyingData } from "../attestation/protocol/qualifying-data.ts"
import { auditAtJoin } from "../attestation/verify/audit.ts"
import { verify } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import {
  cycle,
  findingsOf as idsIn,
  judge,
  killBrokers,
  payloadOf,
  report,
  startBroker,
  until,
} from "./broker-process.ts"
import { activate, enrol, identityOf, Line, submit } from "./collector-attester.ts"
import { Attester } from "./collector-chain.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import {
  akHandle,
  armAudit,
  asked,
  auditBy,
  expectedOf,
  type Machine,
  measurement,
  sealed,
  startMachine,
} from "./evidence-maker.ts"
import { type Payload, writePayload } from "../attestation/protocol/evidence.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

/** What anybody who may use the TPM can do: PCR 23 as if the last event had never been. */
async function forgetLast(machine: Machine, events: readonly string[]): Promise<void> {
  await machine.tpm.tool("tpm2_pcrreset", "23")
  machine.forget()
  await machine.append(await machine.epoch())
  for (const event of events) await machine.append(measurement(event))
}

/** Somebody else's reading of the audit digest, which empties it. */
const emptiedByOther = ({ tpm }: Machine): Promise<string> =>
  tpm.tool("tpm2_getcommandauditdigest", "-c", akHandle, "-g", "sha256", "-m", "other.attest", "-s", "other.sig")

async function audited(machine: Machine, options = {}): Promise<VerifiedEvidence> {
  const outcome = verify(await machine.attest({ audited: true, ...options }), expectedOf(machine))
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  return outcome.evidence
}

const idsOf = (found: readonly { id: string }[]): string[] => found.map(({ id }) => id)

describe("an audit beside its quote", () => {
  let machine: Machine
  beforeAll(async () => {
    machine = await startMachine()
    await armAudit(machine)
  })
  afterAll(() => machine.tpm.stop())

  const found = async (options: object): Promise<string[]> => {
    const outcome = verify(await machine.attest({ audited: true, ...options }), expectedOf(machine))
    return idsOf(outcome.authentic ? outcome.evidence.findings : outcome.findings)
  }

  test("M1 nothing was reset: nothing is found", async () => {
    const { audit, findings } = await audited(machine)
    expect(findings).toEqual([])
    expect(audit).toMatchObject({ counter: expect.any(BigInt) })
  })

  test("openssl verifies what tpm2_getcommandauditdigest states, which is what is read here", async () => {
    const der = "-sha256 -verify ak.pem -signature audit.der audit.attest"
    await machine.tpm.tool(
      "tpm2_getcommandauditdigest",
      "-c",
      akHandle,
      "-g",
      "sha256",
      "-f",
      "plain",
      ...["-m", "audit.attest", "-s", "audit.der"],
    )
    expect(await machine.tpm.tool("openssl", "dgst", ...der.split(" "))).toContain("Verified OK")
  })

  test("M2 an audit of another nonce, or of another quote, is no audit of this one", async () => {
    expect(await found({ auditedOver: auditQualifyingData(asked.nonce, new Uint8Array([1])) })).toEqual([
      "audit.unbound",
    ])
    expect(await found({ auditedOver: auditQualifyingData(new Uint8Array(32), new Uint8Array([1])) })).toEqual([
      "audit.unbound",
    ])
    expect(await found({ auditedOver: new Uint8Array(32) })).toEqual(["audit.unbound"])
  })

  test("C9 an audit with a bit changed anywhere is refused", async () => {
    let payload: Payload | undefined
    await audited(machine, { alterPayload: (made: Payload) => (payload = made) })
    const audit = payload?.quote.audit
    if (!payload || !audit) throw new Error("no audit")
    const bytes = fromBase64(audit.attest)
    for (let at = 0; at < bytes.length; at++) {
      const attest = toBase64(bytes.with(at, (bytes[at] ?? 0) ^ 1))
      const altered = writePayload({ ...payload, quote: { ...payload.quote, audit: { ...audit, attest } } })
      const outcome = verify(
        sealed(altered, machine.keys.evidenceKey, machine.evidenceSecret, machine.log()),
        expectedOf(machine),
      )
      expect(outcome.authentic ? [] : outcome.findings.map(({ id }) => id), `byte ${at}`).toContain("audit.signature")
    }
  })

  test("M3 quote and audit of two epochs are refused, though the audit is of this very quote", async () => {
    expect(await found({ beforeAudit: () => cycle(machine.tpm, "suspend") })).toEqual(["audit.unbound"])
    machine.forget()
    await machine.append(await machine.epoch("resume"))
    expect(await found({})).toEqual([])
  })

  test("an audit of another list of commands is none, and a list that the TPM did not sign is refused", async () => {
    await machine.tpm.tool("tpm2_setcommandauditstatus", "0x182")
    await emptiedByOther(machine)
    const listing = (commands: number[]) => ({
      alterPayload: (payload: Payload): Payload => ({
        ...payload,
        quote: { ...payload.quote, audit: payload.quote.audit && { ...payload.quote.audit, commands } },
      }),
    })
    expect((await audited(machine, listing([0x13d, 0x140, 0x182]))).audit).toBe("unavailable")
    expect(await found({})).toEqual(["audit.unbound"])
    await machine.tpm.tool("tpm2_setcommandauditstatus", "-c", "0x182")
    await emptiedByOther(machine)
  })
})

describe("against what was seen before", () => {
  let machine: Machine
  let before: bigint
  beforeAll(async () => {
    machine = await startMachine()
    await armAudit(machine)
    const { audit } = await audited(machine)
    before = audit === "unavailable" ? 0n : audit.counter
  })
  afterAll(() => machine.tpm.stop())

  const against = (evidence: VerifiedEvidence, audit: bigint | "unavailable"): string[] =>
    [...evidence.findings, ...auditContinuity(audit, evidence)].map(({ id }) => id)

  test("M4 the counter that was seen before is no finding, and no audit was armed says nothing", async () => {
    const evidence = await audited(machine)
    expect(against(evidence, before)).toEqual([])
    expect(against(evidence, "unavailable")).toEqual([])
  })

  test("M1 an audit that was armed before and is not shown now may hide anything", async () => {
    expect(against(await audited(machine, { audited: false }), before)).toEqual(["pcr.reset-possible"])
  })

  test("M4 PCR 23 reset and rewritten: the digest is not empty, the counter has moved", async () => {
    await machine.append(measurement("bad"))
    await forgetLast(machine, ["good"])
    expect(against(await audited(machine), before)).toEqual(["pcr.reset-possible", "pcr.reset-possible"])
  })

  test("M4 the digest emptied by somebody else's read: the counter tells, for as long as the epoch lasts", async () => {
    await forgetLast(machine, ["good"])
    await emptiedByOther(machine)
    for (let i = 0; i < 2; i++) expect(against(await audited(machine), before)).toEqual(["pcr.reset-possible"])
  })

  test("M4 disarmed, reset and armed again: the counter tells", async () => {
    const { audit } = await audited(machine)
    await machine.tpm.tool("tpm2_setcommandauditstatus", "-c", "0x13d")
    await emptiedByOther(machine)
    await forgetLast(machine, ["better"])
    await armAudit(machine)
    expect(against(await audited(machine), audit === "unavailable" ? audit : audit.counter)).toEqual([
      "pcr.reset-possible",
    ])
  })
})

describe("a broker", () => {
  let tpm: Swtpm
  beforeAll(async () => {
    tpm = await startSwtpm()
  })
  afterAll(async () => {
    await killBrokers()
    await tpm.stop()
  })

  test("M1 arms command audit when it joins, not before, and states it with every quote", async () => {
    const broker = startBroker(tpm)
    expect(payloadOf((await report(broker)).envelope).quote.audit).toBeNull()
    const secret = new Uint8Array(32).fill(7)
    const { audit } = await broker.call("audit", { secret: toBase64(secret) })
    const { identity } = await broker.call("identity", {})
    const ak = fromBase64(identity.akPublic)
    expect(auditAtJoin(audit, ak, secret)).toMatchObject({ counter: expect.any(BigInt) })
    expect(auditAtJoin(audit, ak, new Uint8Array(32)), "another joining").toHaveProperty("faults")
    const { envelope } = await report(broker)
    expect(payloadOf(envelope).quote.audit?.commands).toEqual([0x13d, 0x140])
    expect(idsIn(await judge(broker, envelope))).toEqual([])
    await tpm.tool("tpm2_pcrreset", "16")
    expect(idsIn(await judge(broker, (await report(broker)).envelope))).toEqual(["pcr.reset-possible"])
  })

  test("M1 does without where the owner has taken the owner's authorisation", async () => {
    const owned = await startSwtpm()
    try {
      await owned.tool("tpm2_changeauth", "-c", "owner", "secret")
      const broker = startBroker(owned)
      expect(await broker.call("audit", { secret: toBase64(new Uint8Array(32)) })).toEqual({ audit: null })
      await until(() => broker.said().includes("command audit of TPM2_PCR_Reset cannot be armed"))
      expect(payloadOf((await report(broker)).envelope).quote.audit).toBeNull()
      broker.kill("SIGKILL")
      await broker.ended
    } finally {
      await owned.stop()
    }
  })
})

describe("at a collector", () => {
  let folder: string
  let house: House
  beforeAll(async () => {
    folder = temporaryFolder()
    house = await startHouse(folder)
  })
  afterAll(async () => {
    await house.stop()
    removeFolder(folder)
  })

  const shown = async (one: Attester) => {
    const { answer, standing } = await house.admin.call("status", { attester: one.attester })
    return { ids: answer?.findings.map(({ id }) => id) ?? [], state: standing.state }
  }

  /** Joins as the broker does: with the audit stated over the secret, or without. */
  async function join(one: Attester, how: "armed" | "not armed"): Promise<Line> {
    const { machine } = one
    if (how === "not armed") return enrol(machine, await invitationFrom(house))
    await armAudit(machine)
    const { token, port } = readInvitation(await invitationFrom(house))
    const line = await Line.dial(port)
    await line.send({ type: "enrol", invitation: toBase64(token), identity: identityOf(machine), label: "gpu-1" })
    const secret = await activate(machine, await line.next("credential"))
    const over = { audited: true, auditedOver: auditQualifyingData(secret, new Uint8Array(0)) }
    const audit = await auditBy(machine.tpm, new Uint8Array(0), over)
    await line.send({ type: "activated", secret: toBase64(secret), audit })
    await line.next("enrolled")
    return line
  }

  /** Asks as an operator, and answers. */
  async function challenged(one: Attester, line: Line, options = {}): Promise<void> {
    const asking = house.admin.call("challenge", { attester: one.attester, depth: "quick" })
    const challenge = await line.next("challenge")
    await submit(line, challenge.id, await one.answer(line, challenge, options))
    await line.next("acknowledged")
    await asking
  }

  test("M1 M4 without audit a bad event that nobody saw is dropped unseen; with it the reset is found until the next epoch", async () => {
    for (const how of ["not armed", "armed"] as const) {
      const one = await Attester.start(how === "armed" ? "second" : "first")
      try {
        const options = { audited: how === "armed" }
        const line = await join(one, how)
        await one.machine.append(measurement("bad"))
        await forgetLast(one.machine, ["good"])
        await emptiedByOther(one.machine)
        await one.prove(line, options)
        const { ids, state } = await shown(one)
        expect(ids.includes("audit.unavailable"), how).toBe(how === "not armed")
        expect(ids.includes("pcr.reset-possible"), how).toBe(how === "armed")
        expect(state).toBe(how === "armed" ? "contraindicated" : "warning")
        if (how === "not armed") continue
        await challenged(one, line, options)
        expect((await shown(one)).ids, "as long as the epoch lasts").toContain("pcr.reset-possible")
        await cycle(one.machine.tpm, "reboot")
        one.machine.forget()
        await one.machine.append(await one.machine.epoch("boot"))
        await challenged(one, line, options)
        expect((await shown(one)).ids).not.toContain("pcr.reset-possible")
        expect((await shown(one)).state).toBe("warning")
      } finally {
        await one.stop()
      }
    }
  })

  test("M4 an audit of another joining lets nobody in", async () => {
    const one = await Attester.start("second")
    try {
      await armAudit(one.machine)
      const { token, port } = readInvitation(await invitationFrom(house))
      const line = await Line.dial(port)
      const identity = identityOf(one.machine)
      await line.send({ type: "enrol", invitation: toBase64(token), identity, label: "gpu-1" })
      const secret = await activate(one.machine, await line.next("credential"))
      const audit = await auditBy(one.machine.tpm, new Uint8Array(0), { audited: true })
      await line.send({ type: "activated", secret: toBase64(secret), audit })
      expect((await line.ending()).reason).toContain("the command audit is not of this joining: audit.unbound")
    } finally {
      await one.stop()
    }
  })
})
