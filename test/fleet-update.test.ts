/**
 * Does an update that was approved before it arrived leave a fleet as it is? Two machines with real software TPMs, one that has the update and one that
 * has not, judged by the same approvals before, inside and after the window.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { appraise, type Tier } from "../attestation/appraise/appraise.ts"
import { writeCertification } from "../attestation/pins/certification.ts"
import { materialOf } from "../attestation/pins/force.ts"
import { accept, type Governance, ungoverned } from "../attestation/pins/lineage.ts"
import { textDigest } from "../attestation/pins/note.ts"
import { lineOf, type Pin, writePin } from "../attestation/pins/pin.ts"
import { writePolicy } from "../attestation/pins/policy.ts"
import { nothingProven, propose } from "../attestation/pins/reference.ts"
import { keyIdOf } from "../attestation/protocol/dsse.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import { type VerifiedEvidence, verify } from "../attestation/verify/verify.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { expectedOf, made, type Machine, measurement, startMachine } from "./evidence-maker.ts"
import { ada, grace, hour, mei, pin, policy, publish, rootKey, signed } from "./governance-people.ts"

const of = (source: string, subject: string, facts: Measurement["facts"]): Measurement => ({
  ...measurement(subject, facts),
  source,
})
/** Everything that an update brings: driver, kernel and weights. */
const state = (digit: string, version: string): readonly Measurement[] => [
  of("weights", "llama", [["digest", `sha256:${digit.repeat(64)}`]]),
  of("driver", "nvidia", [["version", version]]),
  of("kernel", "linux", [["release", `6.12.${digit}`]]),
]
const [old, next] = [state("1", "550.120"), state("2", "595.84")]

let machines: readonly Machine[] = []
let before: VerifiedEvidence
let after: VerifiedEvidence
let governance: Governance
let root: string

async function evidenceOf(machine: Machine): Promise<VerifiedEvidence> {
  const outcome = verify(await machine.attest(), expectedOf(machine))
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  return outcome.evidence
}

/** With its keys certified by the firm's root key. */
function certified(by: Governance, { keys: { attester, ak } }: Machine, { body }: VerifiedEvidence): Governance {
  const certification = writeCertification({
    ...{ origin: "firm.example/policy", policy: root, attester, enrolment: 1, at: hour(0), by: "mei", change: "CHG-1" },
    ...{ ak: toHex(nameOf(readPublic(ak))), evidenceKey: keyIdOf(fromBase64(body.evidenceKey)) },
  })
  return accept(by, signed(certification, rootKey)).governance
}

beforeAll(async () => {
  const [waiting, updated] = (machines = [await startMachine(), await startMachine("ecc", "second")])
  if (!waiting || !updated) throw new Error("no machines")
  for (const machine of machines) for (const each of old) await machine.append(each)
  for (const each of next) await updated.append(each)
  before = await evidenceOf(waiting)
  after = await evidenceOf(updated)
  const admits = machines.map(({ keys }) => ({
    ...({ what: "ek", digest: keys.attester, as: "software", person: "mei", reason: "a test" } as const),
  }))
  const rules = writePolicy(policy({ admits }))
  root = textDigest(rules)
  const ruled = accept(ungoverned(root), signed(rules, ada, grace, mei)).governance
  governance = certified(certified(ruled, waiting, before), updated, after)
})
afterAll(() => Promise.all(machines.map(({ tpm }) => tpm.stop())))

const ignore = ["boot", "files"].map(kind => ({ kind, subject: null }))
const pinned = (measured: readonly Measurement[], change: Partial<Pin> = {}): Pin =>
  pin({ policy: root, lines: measured.map(each => lineOf(each, [])), ignore, ...change })

/** The first pins, and those of the update, which were approved before any machine had it. */
function approvedAhead(admitsPreviousUntil: number | null): Governance {
  const first = pinned(old)
  const digest = textDigest(writePin(first))
  const update = pinned(next, {
    ...{ version: 2, previous: digest, effective: hour(10), admitsPreviousUntil, rollback: { version: 1, digest } },
  })
  return publish(publish(governance, first), update)
}

/** The tiers of the machine that waits and of the one that is updated, so many hours on. */
function tiersAt(by: Governance, hours: number): Tier[] {
  return [before, after].map(evidence => {
    const references = [old, next].map(each =>
      propose(evidence.body.attester, evidence.digest, each, "Ada", made, nothingProven),
    )
    const material = materialOf(references, [...by.lineages.values()].flat())
    const approvals = { governance: by, material, now: hour(hours) }
    const endorsement = { kind: "accepted", by: "Mei Lin", reason: "bought from its maker" } as const
    return appraise(evidence, { reference: "none recorded", approvals, endorsement, findings: [] }).tier
  })
}

describe("an update that was approved before it arrived", () => {
  test.each([10, 15, 19.99])("is affirming before and after it inside the window: hour %d", hours =>
    expect(tiersAt(approvedAhead(hour(20)), hours)).toEqual(["affirming", "affirming"]),
  )

  test("changes nothing for who has it not, before its time; whoever has it then is too early", () =>
    expect(tiersAt(approvedAhead(hour(20)), 9.99)).toEqual(["affirming", "contraindicated"]))

  test("is demanded when the window ends", () =>
    expect(tiersAt(approvedAhead(hour(20)), 20)).toEqual(["contraindicated", "affirming"]))

  test("without a window there is no moment at which both are", () => {
    const by = approvedAhead(null)
    expect([9.99, 10].map(each => tiersAt(by, each))).toEqual([
      ["affirming", "contraindicated"],
      ["contraindicated", "affirming"],
    ])
  })
})
