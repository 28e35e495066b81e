/**
 * Is the TPM's firmware judged by the TPM's own word? The version in the quote of a real software TPM, against what tpm2_getcap says, what an agent
 * says and what was recorded or approved; a TPM with another firmware is a key in software that signs the altered quote.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Approvals, appraise } from "../attestation/appraise/appraise.ts"
import { quotedFirmware, withQuotedFirmware } from "../attestation/appraise/tpm-firmware.ts"
import { accept, ungoverned } from "../attestation/pins/lineage.ts"
import { materialOf } from "../attestation/pins/force.ts"
import { textDigest } from "../attestation/pins/note.ts"
import { lineOf } from "../attestation/pins/pin.ts"
import { writePolicy } from "../attestation/pins/policy.ts"
import { nothingProven, propose, type Reference } from "../attestation/pins/reference.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { type VerifiedEvidence, verify } from "../attestation/verify/verify.ts"
import { expectedOf, made, type Machine, measurement, startMachine } from "./evidence-maker.ts"
import { ada, grace, hour, mei, pin, policy, publish, signed } from "./governance-people.ts"
import { quotedInSoftware, softwareAk } from "./software-ak.ts"

let machine: Machine
/** what tpm2_getcap says, as an agent spells it */
let own: string
const other = "0102030405060708"
let honest: VerifiedEvidence
let elsewhere: VerifiedEvidence
let reference: Reference

const tpmOf = (firmware: string): Measurement => ({
  ...measurement("tpm", [
    ["manufacturer", "IBM"],
    ["firmware", firmware],
    ["kind", "software"],
  ]),
  source: "firmware",
})

async function propertyOf({ tpm }: Machine): Promise<string> {
  const properties = await tpm.tool("tpm2_getcap", "properties-fixed")
  return [1, 2]
    .map(half => new RegExp(`TPM2_PT_FIRMWARE_VERSION_${half}:\\s+raw: 0x([0-9A-F]+)`).exec(properties)?.[1] ?? "")
    .map(half => half.toLowerCase().padStart(8, "0"))
    .join("")
}

/** TPMS_ATTEST up to the version: magic, type, name of the key, qualifying data, clock. */
function placeOf(attest: Uint8Array): number {
  const bytes = Buffer.from(attest)
  const signer = 8 + bytes.readUInt16BE(6)
  return signer + 2 + bytes.readUInt16BE(signer) + 17
}

function verified(untrusted: Awaited<ReturnType<Machine["attest"]>>, ak = machine.keys.ak): VerifiedEvidence {
  const outcome = verify(untrusted, { ...expectedOf(machine), keys: { ...machine.keys, ak } })
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  return outcome.evidence
}

beforeAll(async () => {
  machine = await startMachine()
  own = await propertyOf(machine)
  await machine.append(tpmOf(own))
  honest = verified(await machine.attest())
  const ak = softwareAk(machine)
  const altered = (attest: Uint8Array): Uint8Array => {
    const bytes = Buffer.from(attest)
    bytes.write(other, placeOf(attest), "hex")
    return new Uint8Array(bytes)
  }
  elsewhere = verified(await machine.attest(quotedInSoftware(ak, altered)), ak.area)
  reference = propose(machine.keys.attester, honest.digest, honest.events, "a person", made, nothingProven)
})
afterAll(() => machine.tpm.stop())

const endorsement = { kind: "accepted", by: "a person", reason: "bought from its maker" } as const

/** What is told of the firmware: of `evidence`, whose agent says `claimed`. */
function told(evidence: VerifiedEvidence, claimed: string, approvals: Approvals | "ungoverned" = "ungoverned") {
  const events = [...evidence.events.slice(0, 1), tpmOf(claimed)]
  const compared = approvals === "ungoverned" ? reference : "none recorded"
  const { findings, tier } = appraise(
    { ...evidence, events },
    { reference: compared, approvals, endorsement, findings: [] },
  )
  const ofFirmware = findings.filter(({ component }) => component.startsWith("firmware tpm"))
  return { tier, found: ofFirmware.map(({ id, seen, wanted }) => ({ id, seen, wanted })) }
}

test("C8 the quoted version is the one that the TPM's property and an honest agent name", () => {
  expect(quotedFirmware(honest)).toBe(own)
  expect(quotedFirmware(elsewhere)).toBe(other)
  expect(told(honest, own)).toMatchObject({ tier: "warning", found: [] })
})

const differs = (id: string, seen: string, wanted: string) => ({ id, seen, wanted })

describe("C8 against what was recorded", () => {
  test("an agent that names another version than its TPM quotes contradicts it, and moves nothing", () =>
    expect(told(honest, other)).toEqual({
      tier: "contraindicated",
      found: [differs("source.contradiction", `the agent says ${other}`, `${own}, as the TPM quotes`)],
    }))

  test("another firmware is found although the agent goes on to name the recorded one", () =>
    expect(told(elsewhere, own)).toEqual({
      tier: "contraindicated",
      found: [
        differs("source.contradiction", `the agent says ${own}`, `${other}, as the TPM quotes`),
        differs("reference.differs", other, own),
      ],
    }))

  test("another firmware that the agent names too differs from the recorded one", () =>
    expect(told(elsewhere, other)).toEqual({
      tier: "contraindicated",
      found: [differs("reference.differs", other, own)],
    }))
})

test("C8 what is recorded is the quoted version, whatever the agent said when a person looked", () => {
  const lying = [...honest.events.slice(0, 1), tpmOf(other)]
  const recorded = propose("a", honest.digest, withQuotedFirmware(lying, honest), "a person", made, nothingProven)
  expect(recorded.measurements.join("\n")).toContain(own)
  expect(recorded.measurements.join("\n")).not.toContain(other)
})

test("C8 a pin that names the TPM's firmware is held against the quoted version", () => {
  const rules = writePolicy(policy())
  const root = textDigest(rules)
  const governance = accept(ungoverned(root), signed(rules, ada, grace, mei)).governance
  const lines = [lineOf(tpmOf(own), [])]
  const pinned = publish(governance, pin({ policy: root, lines, ignore: [{ kind: "boot", subject: null }] }))
  const material = materialOf([reference], [...pinned.lineages.values()].flat())
  const approvals = { governance: pinned, material, now: hour(1) }
  expect(told(honest, own, approvals).found).toEqual([])
  expect(told(elsewhere, other, approvals).found).toEqual([differs("pin.differs", other, own)])
  expect(told(elsewhere, own, approvals).found).toEqual([
    differs("source.contradiction", `the agent says ${own}`, `${other}, as the TPM quotes`),
    differs("pin.differs", other, own),
  ])
})
