/**
 * Does a verdict follow from what is approved: affirming with three names where all fits, told fact by fact where it does not, and
 * old and new together inside their window only? On the evidence of a real software TPM.
 */
import { createHash } from "node:crypto"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Appraisal, appraise } from "../attestation/appraise/appraise.ts"
import type { Endorsement } from "../attestation/appraise/endorsement.ts"
import { verdictOf } from "../attestation/appraise/result.ts"
import { writeCertification } from "../attestation/pins/certification.ts"
import { materialOf } from "../attestation/pins/force.ts"
import { accept, type Governance, ungoverned } from "../attestation/pins/lineage.ts"
import { textDigest } from "../attestation/pins/note.ts"
import { digestOf, lineOf, type Pin, writePin } from "../attestation/pins/pin.ts"
import { writePolicy } from "../attestation/pins/policy.ts"
import { nothingProven, propose, type Reference } from "../attestation/pins/reference.ts"
import { writeRollback } from "../attestation/pins/rollback.ts"
import { keyIdOf } from "../attestation/protocol/dsse.ts"
import { type Measurement, writeEvent } from "../attestation/protocol/event.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import { toHex } from "../attestation/wire/text.ts"
import { type VerifiedEvidence, verify } from "../attestation/verify/verify.ts"
import { expectedOf, made, type Machine, measurement, startMachine } from "./evidence-maker.ts"
import { output } from "./foreign.ts"
import { ada, grace, hour, mei, origin, pin, policy, publish, rootKey, signed } from "./governance-people.ts"

const fact = (source: string, subject: string, facts: Measurement["facts"]): Measurement => ({
  ...measurement(subject, facts),
  source,
})
const manifest = "ab".repeat(32)
const weights = fact("weights", "llama", [["digest", `sha256:${manifest}`]])
const driver = (version: string): Measurement =>
  fact("driver", "nvidia", [
    ["version", version],
    ["uuid", "GPU-1"],
  ])
const old = driver("550.120")
const fresh = driver("595.84")

let machine: Machine
let evidence: VerifiedEvidence
let endorsement: Endorsement
let governance: Governance
let root: string
let references: readonly Reference[]

beforeAll(async () => {
  machine = await startMachine()
  await machine.append(weights)
  const outcome = verify(await machine.attest(), expectedOf(machine))
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  evidence = outcome.evidence
  endorsement = { kind: "accepted", by: "Mei Lin", reason: "bought from its maker" }
  const { attester, ak } = machine.keys
  const rules = writePolicy(
    policy({ admits: [{ what: "ek", digest: attester, as: "software", person: "mei", reason: "a test" }] }),
  )
  root = textDigest(rules)
  governance = accept(ungoverned(root), signed(rules, ada, grace, mei)).governance
  const certification = writeCertification({
    ...{ origin: "firm.example/policy", policy: root, attester, enrolment: 1, at: hour(0), by: "mei", change: "CHG-1" },
    ak: toHex(nameOf(readPublic(ak))),
    evidenceKey: keyIdOf(new Uint8Array(Buffer.from(evidence.body.evidenceKey, "base64"))),
  })
  governance = accept(governance, signed(certification, rootKey)).governance
  references = [old, fresh].map(each => propose(attester, evidence.digest, [weights, each], "Ada", made, nothingProven))
})
afterAll(() => machine.tpm.stop())

const ignored = ["boot", "files"].map(kind => ({ kind, subject: null }))
const pinned = (measured: readonly Measurement[], change: Partial<Pin> = {}): Pin =>
  pin({ policy: root, lines: measured.map(each => lineOf(each, change.except ?? [])), ignore: ignored, ...change })

const judged = (by: Governance, events: readonly Measurement[], hours = 1): Appraisal => {
  const entries = [...by.lineages.values()].flat()
  const approvals = { governance: by, material: materialOf(references, entries), now: hour(hours) }
  const given = { ...evidence, events: [...evidence.events.slice(0, 1), ...events] }
  return appraise(given, { reference: "none recorded", approvals, endorsement, findings: [] })
}
const idsOf = ({ findings }: Appraisal): string[] =>
  findings
    .map(({ id }) => id)
    .filter(id => !["pin.ignored", "tpm.software-admitted", "audit.unavailable", "history.not-checked"].includes(id))

const first = () => publish(governance, pinned([weights, old]))
const firstDigest = () => textDigest(writePin(pinned([weights, old])))
const second = (change: Partial<Pin> = {}): Pin =>
  pinned([weights, fresh], {
    ...{ version: 2, previous: firstDigest(), effective: hour(10), rollback: { version: 1, digest: firstDigest() } },
    ...change,
  })

test("a digest of a pin is what jq and sha256sum make of the log's record", () => {
  const record = JSON.stringify({ content: writeEvent(old) })
  const by = output("bash", ["-c", "jq -rj .content | sha256sum | cut -c -64"], record).toString().trim()
  expect(digestOf(old, [])).toBe(by)
  expect(digestOf(weights, [])).toBe(manifest)
  expect(digestOf(old, [{ kind: "driver", fact: "uuid" }])).toBe(
    createHash("sha256")
      .update(writeEvent({ ...old, facts: [["version", "550.120"]] }))
      .digest("hex"),
  )
})

test("C32 a result names the pin that it was judged by, with its version, its digest and who approved it", () => {
  const { pin: named } = verdictOf(judged(first(), [weights, old]))
  expect(named).toMatchObject({ origin, version: 1, digest: firstDigest(), previous: null })
  expect(named?.approved).toEqual(["Grace Hopper", "Mei Lin"])
})

describe("three people, two of whom must approve", () => {
  test("what fits is affirming, with three names, and says that the TPM is software", () => {
    const appraisal = judged(first(), [weights, old])
    expect(idsOf(appraisal)).toEqual([])
    expect(appraisal.tier).toBe("affirming")
    expect(appraisal.authority).toMatchObject({
      hash: { name: "Ada Lovelace" },
      key: { name: "Mei Lin" },
      pin: { name: "Grace Hopper, Mei Lin" },
    })
    expect(appraisal.components[0]?.says).toContain("SOFTWARE TPM")
    expect(appraisal.cause).toBeNull()
    expect(new Set(appraisal.custody.map(each => `${each.signs} ${each.class}`))).toEqual(
      new Set(["quote TPM-resident", "evidence TPM-sealed", "certification file", "pin file"]),
    )
  })

  test("another driver is contraindicated, and what differs is told", () => {
    const appraisal = judged(first(), [weights, old, fresh])
    expect(appraisal.tier).toBe("contraindicated")
    expect(appraisal.findings).toContainEqual({
      ...{ id: "pin.differs", component: "driver nvidia: version", seen: "595.84", wanted: "550.120" },
    })
    expect(appraisal.cause).toBe("pin.differs driver nvidia: version: 595.84")
  })

  test("the next pin turns it affirming from its effective time on", () => {
    const by = publish(first(), second())
    expect(judged(by, [weights, old, fresh], 9).tier).toBe("contraindicated")
    const appraisal = judged(by, [weights, old, fresh], 10)
    expect([appraisal.tier, idsOf(appraisal)]).toEqual(["affirming", ["pin.earlier"]])
    expect(judged(by, [weights, old], 10).tier).toBe("contraindicated")
  })

  test("old and new are both admitted inside the window, and the old not after it", () => {
    const by = publish(first(), second({ admitsPreviousUntil: hour(20) }))
    for (const measured of [old, fresh]) expect(judged(by, [weights, measured], 19).tier).toBe("affirming")
    expect(judged(by, [weights, old], 20).tier).toBe("contraindicated")
  })

  test("M5 going back without a rollback differs; after one it does not", () => {
    const by = publish(first(), second())
    expect(idsOf(judged(by, [weights, fresh, old, fresh], 11))).toContain("pin.differs")
    const back = writeRollback({
      ...{ origin, policy: root, previous: textDigest(writePin(second())), admitsPreviousUntil: null },
      ...{ effective: hour(12), expires: hour(100), change: "CHG-9", proposed: "ada" },
      from: { version: 2, digest: textDigest(writePin(second())) },
      to: { version: 1, digest: firstDigest() },
    })
    const rolled = accept(by, signed(back, ada, grace, mei)).governance
    expect(judged(rolled, [weights, old, fresh, old], 13).tier).toBe("affirming")
    expect(judged(rolled, [weights, old, fresh], 13).tier).toBe("contraindicated")
  })

  test("what has expired is a finding, and never affirming", () => {
    const appraisal = judged(first(), [weights, old], 1001)
    expect([appraisal.tier, idsOf(appraisal)]).toEqual(["warning", ["pin.expired"]])
  })
})

describe("absence is not consent", () => {
  test("what is measured and not pinned is a warning; what is pinned and not measured contraindicates", () => {
    expect(idsOf(judged(first(), [weights, old, fact("cuda", "libcuda", [])]))).toEqual(["pin.unlisted"])
    const appraisal = judged(first(), [weights])
    expect([appraisal.tier, idsOf(appraisal)]).toEqual(["contraindicated", ["pin.missing"]])
  })

  test("what is ignored reads: not judged, and no name is given for it", () => {
    const by = publish(governance, pinned([old], { ignore: [...ignored, { kind: "weights", subject: null }] }))
    const appraisal = judged(by, [weights, old])
    expect(appraisal.components.find(({ name }) => name === "weights")).toMatchObject({
      ...{ tier: "none", says: `not judged: version 1 of ${origin} ignores it` },
    })
    expect(appraisal.authority.hash).toBeNull()
    expect([appraisal.tier, idsOf(appraisal)]).toEqual(["warning", ["authority.none"]])
  })

  test("a fact that is excepted may differ from machine to machine, and no other", () => {
    const by = publish(governance, pinned([weights, old], { except: [{ kind: "driver", fact: "uuid" }] }))
    const other = fact("driver", "nvidia", [
      ["version", "550.120"],
      ["uuid", "GPU-2"],
    ])
    expect(judged(by, [weights, other]).tier).toBe("affirming")
    expect(judged(by, [weights, fresh]).tier).toBe("contraindicated")
  })
})

describe("whose word", () => {
  test("keys that the root key did not certify are the collector's word", () => {
    const bare = { ...first(), certifications: new Map() }
    const appraisal = judged(bare, [weights, old])
    expect(appraisal.authority.key).toBeNull()
    expect([appraisal.tier, idsOf(appraisal)]).toEqual(["warning", ["key.uncertified"]])
  })

  test("keys other than those that the root key certified contraindicate", () => {
    const certifications = new Map(
      [...first().certifications].map(([name, entry]) => {
        const certification = { ...entry.certification, ak: `000b${"0".repeat(64)}` }
        return [name, { ...entry, certification }] as const
      }),
    )
    const appraisal = judged({ ...first(), certifications }, [weights, old])
    expect([appraisal.tier, idsOf(appraisal)]).toEqual(["contraindicated", ["key.certified-otherwise"]])
  })

  test("a TPM that the policy does not admit is an operator's word at best", () => {
    const rules = writePolicy(policy())
    const strict = textDigest(rules)
    const by = publish(accept(ungoverned(strict), signed(rules, ada, grace, mei)).governance, {
      ...pinned([weights, old]),
      policy: strict,
    })
    const said = fact("firmware", "tpm", [["kind", "software"]])
    const ids = idsOf(judged(by, [weights, old, said]))
    expect(ids).toEqual(expect.arrayContaining(["root.operators-word", "tpm.software"]))
  })
})
