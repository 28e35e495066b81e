/** Does a verdict follow from what was measured and recorded, with every event appraised and every gap named? */
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { type Appraisal, appraise, type Context, tiers } from "../attestation/appraise/appraise.ts"
import { custodyIn, readResult, type Result, verdictOf, writeResult } from "../attestation/appraise/result.ts"
import { nothingProven, propose, type Reference, writeReference } from "../attestation/pins/reference.ts"
import type { LogEvent, Measurement } from "../attestation/protocol/event.ts"
import { finding } from "../attestation/verify/finding.ts"
import { type VerifiedEvidence, verify } from "../attestation/verify/verify.ts"
import { armAudit, expectedOf, made, type Machine, measurement, startMachine } from "./evidence-maker.ts"

let machine: Machine
let evidence: VerifiedEvidence
let reference: Reference

beforeAll(async () => {
  machine = await startMachine()
  await armAudit(machine)
  await machine.append(measurement("vllm", [["sha256", "aa"]]))
  await machine.append(measurement("torch", [["sha256", "bb"]]))
  evidence = await verified()
  reference = propose(machine.keys.attester, evidence.digest, evidence.events, "a person", made, nothingProven)
})
afterAll(() => machine.tpm.stop())

async function verified(): Promise<VerifiedEvidence> {
  const outcome = verify(await machine.attest({ audited: true }), expectedOf(machine))
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  return outcome.evidence
}

const accepted = { kind: "accepted", by: "a person", reason: "bought from its maker" } as const
const context = (change: Partial<Context> = {}): Context => ({
  reference,
  approvals: "ungoverned",
  endorsement: accepted,
  findings: [],
  ...change,
})
const judged = (events: readonly LogEvent[], change: Partial<Context> = {}): Appraisal =>
  appraise({ ...evidence, events }, context(change))
const recorded = (measurements: readonly Measurement[]): Reference =>
  propose(machine.keys.attester, evidence.digest, measurements, "a person", made, nothingProven)
/** Findings of the appraisal without the one that is always there. */
/** What is found of each of these machines: no pins, and no logs of firmware and kernel. */
const always = ["pin.none", "firmware.no-log", "ima.no-log"]
const idsOf = ({ findings }: Appraisal): string[] => findings.map(each => each.id).filter(id => !always.includes(id))
const runtimeOf = (appraisal: Appraisal) => appraisal.components.find(each => each.name === "runtime")

describe("compared with a reference", () => {
  test("a match reads: as recorded, and is a warning while nobody approved a pin", () => {
    const appraisal = judged(evidence.events)
    expect(idsOf(appraisal)).toEqual([])
    expect(appraisal.tier).toBe("warning")
    expect(appraisal.findings.map(each => each.id)).toEqual(["firmware.no-log", "ima.no-log", "pin.none"])
    expect(runtimeOf(appraisal)).toEqual({
      ...{ name: "runtime", tier: "warning", says: "as recorded, approved by nobody", findings: [] },
    })
    expect(appraisal.components[0]).toMatchObject({ name: "tpm", tier: "affirming" })
  })

  const vllm = (facts: Measurement["facts"], state: Measurement["state"] = "present"): Measurement => ({
    ...measurement("vllm", facts),
    state,
  })
  const cases: Record<string, [Measurement, Measurement, string[], string]> = {
    "another value": [vllm([["sha256", "aa"]]), vllm([["sha256", "ff"]]), ["reference.differs"], "contraindicated"],
    "a fact less": [
      vllm([
        ["a", "1"],
        ["b", "2"],
      ]),
      vllm([["a", "1"]]),
      ["reference.missing"],
      "contraindicated",
    ],
    "a fact more": [
      vllm([["a", "1"]]),
      vllm([
        ["a", "1"],
        ["b", "2"],
      ]),
      ["reference.unlisted"],
      "warning",
    ],
    "a value of one name more": [
      vllm([["a", "1"]]),
      vllm([
        ["a", "1"],
        ["a", "2"],
      ]),
      ["reference.unlisted"],
      "warning",
    ],
    "the same value once less": [
      vllm([
        ["a", "1"],
        ["a", "1"],
      ]),
      vllm([["a", "1"]]),
      ["reference.missing"],
      "contraindicated",
    ],
    "two values exchanged": [
      vllm([
        ["file", "x"],
        ["sha256", "1"],
        ["file", "y"],
        ["sha256", "2"],
      ]),
      vllm([
        ["file", "x"],
        ["sha256", "2"],
        ["file", "y"],
        ["sha256", "1"],
      ]),
      ["reference.differs"],
      "contraindicated",
    ],
    "another state": [vllm([]), vllm([], "absent"), ["reference.differs"], "contraindicated"],
    "unreadable now": [vllm([]), vllm([], "unreadable"), ["source.unreadable", "reference.differs"], "contraindicated"],
    "unreadable then and now": [vllm([], "unreadable"), vllm([], "unreadable"), ["source.unreadable"], "warning"],
    "absent then and now": [vllm([], "absent"), vllm([], "absent"), [], "warning"],
    "another subject": [
      vllm([]),
      measurement("other", []),
      ["reference.missing", "reference.unlisted"],
      "contraindicated",
    ],
    "another source": [
      vllm([]),
      { ...vllm([]), source: "kernel" },
      ["reference.unlisted", "reference.missing"],
      "contraindicated",
    ],
  }
  test("what could not be read says why, in one bounded line", () => {
    const seenOf = (reasons: readonly string[]): string | undefined => {
      const now = vllm(
        reasons.map(reason => ["unreadable", reason]),
        "unreadable",
      )
      return judged([now], { reference: recorded([now]) }).findings.find(({ id }) => id === "source.unreadable")?.seen
    }
    const reason = "/srv/m: the kernel refuses to read /srv/m/w.gguf (EIO): restore it"
    expect(seenOf([reason])).toBe(`unreadable: ${reason}`)
    expect(seenOf([reason, "fd: EACCES"])).toBe(`unreadable: ${reason}; fd: EACCES`)
    expect(seenOf([])).toBe("unreadable")
    expect(seenOf(["a\u202eb"])).toBe("unreadable: a\\u202eb")
    expect(seenOf(["x".repeat(4096)])).toHaveLength(1024)
  })
  test.each(Object.entries(cases))("%s", (_, [then, now, ids, tier]) => {
    const appraisal = judged([now], { reference: recorded([then]) })
    expect(idsOf(appraisal)).toEqual(ids)
    expect(appraisal.tier).toBe(tier)
  })

  test("a finding names the subject, the fact, what was seen and what was wanted", () => {
    const appraisal = judged([vllm([["sha256", "ff"]])], { reference: recorded([vllm([["sha256", "aa"]])]) })
    expect(appraisal.findings[0]).toEqual({
      ...{ id: "reference.differs", component: "runtime vllm: sha256", seen: "ff", wanted: "aa" },
    })
  })

  test("M5 what once differed stays a finding after it was put back", () => {
    const bad = measurement("vllm", [["sha256", "ff"]])
    const good = measurement("vllm", [["sha256", "aa"]])
    const appraisal = judged([good, bad, good], { reference: recorded([good]) })
    expect(idsOf(appraisal)).toEqual(["reference.differs"])
    expect(appraisal.tier).toBe("contraindicated")
  })

  test("M5 from a real log, which cannot be taken back without its PCR", async () => {
    await machine.append(measurement("vllm", [["sha256", "ff"]]))
    await machine.append(measurement("vllm", [["sha256", "aa"]]))
    expect(idsOf(appraise(await verified(), context()))).toEqual(["reference.differs"])
  })
})

describe("what comes and goes", () => {
  const loaded = (facts: Measurement["facts"], state: Measurement["state"] = "present"): Measurement => ({
    ...measurement("/usr/bin/server", facts),
    source: "loaded",
    state,
  })
  const reference = () => recorded([loaded([["mapped/a", "aa"]])])
  const found = (measured: readonly Measurement[]) => idsOf(judged(measured, { reference: reference() }))

  test("is no difference while it does not run, or has loaded less", () => {
    expect(found([loaded([["absent", "found earlier in this epoch"]], "absent")])).toEqual([])
    expect(found([{ ...loaded([["absent", "a server"]], "absent"), subject: "" }])).toEqual([])
    expect(found([{ ...loaded([], "present") }])).toEqual([])
    expect(idsOf(judged(evidence.events, { reference: recorded([loaded([["a", "a"]])]) }))).not.toContain(
      "reference.missing",
    )
  })

  test("is one when it is not as recorded, or not recorded", () => {
    expect(found([loaded([["mapped/a", "ab"]])])).toEqual(["reference.differs"])
    expect(
      found([
        loaded([
          ["mapped/a", "aa"],
          ["mapped/b", "bb"],
        ]),
      ]),
    ).toEqual(["reference.unlisted"])
    expect(found([{ ...loaded([["mapped/a", "aa"]]), subject: "/tmp/server" }])).toEqual(["reference.unlisted"])
  })
})

test("what cannot be read is no difference, and says so", () => {
  const closed: Measurement = { ...measurement("nvidia", []), state: "unreadable" }
  const says = (events: readonly LogEvent[], reference: Reference): string | undefined =>
    judged(events, { reference }).components.find(({ name }) => name === "runtime")?.says
  expect(says([closed], recorded([closed]))).toBe("as recorded where it can be read")
  expect(says([closed], recorded([measurement("nvidia", [["version", "2"]])]))).toBe("not as recorded")
  const disputed = measurement("nvidia", [["contradiction", "1 or 2"]])
  expect(says([disputed], recorded([disputed]))).toBe("as recorded, and contradicts itself")
})

test("a contradiction contraindicates, recorded or not, and stays for the epoch of the log", () => {
  const disputed = measurement("nvidia", [["contradiction", "driver version: driver says 1, nvidia-smi says 2"]])
  const settled = measurement("nvidia", [["version", "2"]])
  for (const own of [recorded([disputed]), recorded([settled]), "none recorded"] as const) {
    const appraisal = judged([disputed, settled], { reference: own })
    expect(appraisal.tier).toBe("contraindicated")
    expect(appraisal.findings).toContainEqual({
      id: "source.contradiction",
      component: expect.stringContaining("nvidia"),
      seen: "driver version: driver says 1, nvidia-smi says 2",
      wanted: "one answer",
    })
  }
})

describe("absence is not consent", () => {
  test("nothing was recorded", () => {
    const appraisal = judged(evidence.events, { reference: "none recorded" })
    expect(idsOf(appraisal)).toEqual(["reference.none"])
    expect(runtimeOf(appraisal)).toMatchObject({ tier: "none", says: "measured, compared with nothing" })
    expect(appraisal.tier).toBe("warning")
  })

  test("C33 a reference of nothing compares nothing", () => {
    const appraisal = judged(evidence.events, { reference: { ...reference, measurements: [] } })
    expect(idsOf(appraisal)).toEqual(["reference.none"])
    expect(() => writeReference({ ...reference, measurements: [] })).toThrow("a reference of nothing compares nothing")
  })

  test("nothing was measured", () => {
    const epochOnly = evidence.events.slice(0, 1)
    expect(idsOf(judged(epochOnly, { reference: "none recorded" }))).toEqual(["measurement.none"])
    expect(idsOf(judged(epochOnly))).toEqual(["reference.missing", "reference.missing", "measurement.none"])
  })

  test("nobody vouches for the EK", () => {
    const appraisal = judged(evidence.events, { endorsement: { kind: "unendorsed" } })
    expect(idsOf(appraisal)).toEqual(["root.unendorsed"])
    expect(appraisal.components[0]).toMatchObject({ name: "tpm", tier: "warning", says: "no maker's root" })
  })

  test("whose word the EK rests on is said", () =>
    expect(judged(evidence.events).components[0]?.says).toBe("EK accepted by a person: bought from its maker"))
})

test("findings of verify and continuity count", () => {
  const given = [finding("clock.backwards", "clock", "a", "b")]
  const appraisal = judged(evidence.events, { findings: given })
  expect(appraisal.tier).toBe("contraindicated")
  expect(appraisal.components[0]?.findings).toEqual(given)
  const ahead = appraise({ ...evidence, findings: [finding("time.ahead", "clock", "a", "b")] }, context())
  expect(idsOf(ahead)).toContain("time.ahead")
})

test("no verdict is better than its worst finding, and none is affirming", () => {
  for (const endorsement of [accepted, { kind: "unendorsed" as const }])
    for (const using of [reference, "none recorded" as const])
      expect(tiers.indexOf(judged(evidence.events, { endorsement, reference: using }).tier)).toBeGreaterThan(0)
})

describe("a result", () => {
  const resultOf = (appraisal: Appraisal): Result => ({
    attester: machine.keys.attester,
    evidence: evidence.digest,
    kind: "answer",
    asked: made,
    received: made,
    ...verdictOf(appraisal),
    custody: custodyIn(appraisal),
    policy: null,
    reference: null,
    verifier: { version: "0", build: "00".repeat(32) },
  })

  test("C32 is read back as it was written", () => {
    const result = resultOf(judged(evidence.events, { reference: "none recorded" }))
    expect(readResult(writeResult(result))).toEqual(result)
    expect(result.findings.map(each => each.id)).toEqual([
      "reference.none",
      "firmware.no-log",
      "ima.no-log",
      "pin.none",
    ])
  })

  test("names nobody for whose hash and whose pin", () =>
    expect(judged(evidence.events).authority).toMatchObject({
      ...{ hash: null, pin: null, key: { name: machine.keys.attester } },
    }))

  test("C23 stays readable whatever hostile evidence holds, and counts what it leaves out", () => {
    const long = "𝄞".repeat(2048)
    const hostile = Array.from({ length: 3000 }, (_, i) => measurement(`${i}`, [[long.slice(0, 256), long]]))
    const recordedThen = recorded(hostile.slice(0, 2000).map(each => ({ ...each, facts: [["a", "b"]] })))
    const result = resultOf(judged(hostile, { reference: recordedThen }))
    const read = readResult(writeResult(result))
    expect(read.tier).toBe("contraindicated")
    const own = read.components.find(each => each.name === "runtime")
    expect(own?.tier).toBe("contraindicated")
    expect(own?.findings.at(-1)?.seen).toMatch(/^[0-9]+ more$/)
    expect(own?.findings[0]?.id).toBe("reference.missing")
  })

  test("C23 of more sources than it can name", () => {
    const many = Array.from({ length: 200 }, (_, i) => ({ ...measurement("x"), source: `s${i}` }))
    const bad = { ...measurement("x", [["a", "1"]]), source: "z" }
    const appraisal = judged([...many, bad], {
      reference: recorded([
        { ...bad, facts: [] },
        { ...bad, subject: "gone" },
      ]),
    })
    const { components, tier } = readResult(writeResult(resultOf(appraisal)))
    expect([components.length, tier]).toEqual([64, "contraindicated"])
    expect(components[0]).toMatchObject({ name: "z", tier: "contraindicated" })
    expect(components.at(-1)).toMatchObject({ name: "others", says: "141 more components" })
  })
})
