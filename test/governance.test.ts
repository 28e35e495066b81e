/** Is nothing approved but by the quorum of the policy in force, and does each refusal say why in a sentence? */
import { describe, expect, test } from "vitest"
import { approvedAhead, inForce } from "../attestation/pins/force.ts"
import { accept, kindsOfChange, lineageOf, policyOf, ungoverned } from "../attestation/pins/lineage.ts"
import { textDigest } from "../attestation/pins/note.ts"
import { readPin, writePin } from "../attestation/pins/pin.ts"
import { readPolicy, writePolicy } from "../attestation/pins/policy.ts"
import { readRollback, writeRollback } from "../attestation/pins/rollback.ts"
import { writeCertification } from "../attestation/pins/certification.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import {
  ada,
  firstPolicy,
  governed,
  grace,
  hour,
  line,
  mei,
  origin,
  pin,
  policy,
  publish,
  refusalOf,
  root,
  rootKey,
  signed,
  signer,
} from "./governance-people.ts"

const firstText = writePin(pin())
const first = textDigest(firstText)
const withFirst = publish(governed, pin())
const second = pin({
  version: 2,
  previous: first,
  effective: hour(10),
  lines: [line("weights", "llama", "a"), line("driver", "nvidia", "c")],
  rollback: { version: 1, digest: first },
})
const withSecond = publish(withFirst, second)

describe("a text that people sign", () => {
  test("comes back as it was written, with every kind of line", () => {
    const rich = pin({
      ...{ regression: "d".repeat(64), admitsPreviousUntil: hour(5), rollback: { version: 3, digest: "e".repeat(64) } },
      lines: [
        line("weights", "", "a"),
        line("cuda", "ein Wort, 100 % größer", "b"),
        { ...line("cuda", "-", "c"), part: "2" },
      ],
      layers: [
        {
          ...{ subject: "", layer: "publisher", signature: "not checked", authority: "not accepted", bytes: "partly" },
          record: "f".repeat(64),
        },
      ],
      ignore: [
        { kind: "loaded", subject: null },
        { kind: "driver", subject: "nvidia/0000:01:00.0" },
      ],
      except: [{ kind: "driver", fact: "uuid" }],
    })
    expect(readPin(writePin(rich))).toEqual(rich)
    const admitting = policy({
      admits: [{ what: "root", digest: "a".repeat(64), as: "software", person: "mei", reason: "training" }],
    })
    expect(readPolicy(writePolicy(admitting))).toEqual(admitting)
  })

  const texts: Record<string, [string, string]> = {
    "with a line twice": [firstText.replace(/(driver .*\n)/, "$1$1"), "stands twice"],
    "with a Cyrillic letter": [
      firstText.replace("weights llama", "weights llаma"),
      "U+0430, which may look like another",
    ],
    "with a full-width digit": [firstText.replace("version 1", "version １"), "U+FF11"],
    "with a space that is none": [firstText.replace("version 1", "version\u00a01"), "U+00A0"],
    "with a soft hyphen": [firstText.replace("nvidia", "nvi\u00addia"), "U+00AD"],
    "with two spaces": [firstText.replace("version 1", "version  1"), "spaced otherwise than once"],
    "with an empty line": [firstText.replace("\nversion", "\n\nversion"), "is empty"],
    "with a field twice": [firstText.replace("version 1\n", "version 1\nversion 2\n"), "two lines"],
    "with its lines in another order": [
      firstText.replace(/(effective .*\n)(expires .*\n)/, "$2$1"),
      "not in the order",
    ],
    "with a digest in capitals": [firstText.replaceAll("aaaa", "AAAA"), "is not a digest"],
    "of an origin in capitals": [firstText.replace("firm.example/pins", "firm.example/Pins"), "not an origin"],
    "of another kind": [firstText.replace("assay pin v1", "assay pins v1"), "the second line"],
    "that expires before it is effective": [
      firstText.replace(/expires .*/, "expires 2026-01-01T00:00:00Z"),
      "expires before",
    ],
    "with a moment that is none": [firstText.replace(/expires .*/, "expires 2026-02-30T00:00:00Z"), "is not a moment"],
    "of nothing": [firstText.replace(/^(weights|driver) .*\n/gm, ""), "pins nothing"],
  }
  test.each(Object.entries(texts))("is refused %s", (_, [text, why]) => {
    expect(() => readPin(text)).toThrow(Malformed)
    expect(() => readPin(text)).toThrow(why)
    expect(refusalOf(governed, signed(text, ada, grace, mei))).toContain(why)
  })

  test("of a pin is no rollback, and of a policy no pin", () => {
    expect(() => readRollback(firstText)).toThrow("this is a pin")
    expect(() => readPin(writePolicy(firstPolicy))).toThrow("this is a policy")
  })
})

describe("a pin is accepted", () => {
  test("by two people beside the one who proposes", () => {
    const [entry] = lineageOf(withFirst, origin)
    expect(entry?.proposer.name).toBe("Ada Lovelace")
    expect(entry?.approvals.map(({ name }) => name)).toEqual(["Grace Hopper", "Mei Lin"])
  })

  test("whatever strangers sign beside them", () => {
    const note = signed(firstText, signer("eve"), ada, grace, mei)
    expect(refusalOf(governed, note)).toBe("accepted")
  })
})

describe("is refused, and says why:", () => {
  const spare = signer("grace", "firm.example/grace-2")
  const withSpare = accept(
    ungoverned(textDigest(writePolicy(policy({ keys: [...firstPolicy.keys, spare] })))),
    signed(writePolicy(policy({ keys: [...firstPolicy.keys, spare] })), ada, grace, mei),
  ).governance
  const spareRoot = policyOf(withSpare)?.digest ?? ""

  test("a single rogue approver", () =>
    expect(refusalOf(governed, signed(firstText, ada, grace))).toBe(
      "1 of 2 approvals for terms (Grace Hopper): Ada Lovelace proposed it and does not count",
    ))
  test("a proposer who approves alone", () =>
    expect(refusalOf(governed, signed(firstText, ada))).toContain("0 of 2 approvals"))
  test("the same person with two keys", () =>
    expect(refusalOf(withSpare, signed(writePin(pin({ policy: spareRoot })), ada, grace, spare))).toBe(
      "1 of 2 approvals for terms (Grace Hopper): Ada Lovelace proposed it and does not count; Grace Hopper signed with two keys and is one person",
    ))
  test("a proposer who did not sign", () =>
    expect(refusalOf(governed, signed(firstText, grace, mei))).toBe(
      "Ada Lovelace is said to propose it and did not sign it",
    ))
  test("unknown signers", () =>
    expect(refusalOf(governed, signed(firstText, ada, grace, signer("mei")))).toContain(
      "1 signature is of keys that the policy does not name",
    ))
  test("a pin for another origin", () =>
    expect(refusalOf(governed, signed(writePin(pin({ origin: "other.example/pins/gpu-ws" })), ada, grace, mei))).toBe(
      `the policy in force governs no pins of other.example/pins/gpu-ws: it governs ${origin}`,
    ))
  test("a lower version, and the same one again", () => {
    expect(refusalOf(withSecond, signed(firstText, ada, grace, mei))).toContain("version 1 is not above 2, the highest")
    expect(refusalOf(withSecond, signed(writePin(second), ada, grace, mei))).toContain("version 2 is not above 2")
  })
  test("one that does not follow what was approved last", () =>
    expect(
      refusalOf(withFirst, signed(writePin({ ...second, previous: null, rollback: null }), ada, grace, mei)),
    ).toContain("does not follow what was approved last"))
  test("an owner whom the policy does not name for it", () =>
    expect(
      refusalOf(
        governed,
        signed(writePin(pin({ owners: { weights: "mei", runtime: "grace", key: "mei" } })), ada, grace, mei),
      ),
    ).toBe("Mei Lin is not named by the policy to answer for weights"))
  test("a signature that was altered", () => {
    const note = signed(firstText, ada, grace, mei)
    const altered = Buffer.from(Buffer.from(note).toString("utf8").replace("CHG-2", "CHG-3"))
    expect(refusalOf(governed, altered)).toContain("does not fit the text")
  })
  test("anything before a policy", () =>
    expect(refusalOf(ungoverned(root), signed(firstText, ada, grace, mei))).toContain("no policy was published yet"))
})

describe("a policy", () => {
  const next = policy({ version: 2, previous: root, change: "CHG-9", proposed: "grace" })

  test("is replaced by the quorum that it names", () => {
    const replaced = accept(governed, signed(writePolicy(next), ada, grace, mei)).governance
    expect(policyOf(replaced)?.policy.version).toBe(2)
    expect(refusalOf(replaced, signed(firstText, ada, grace, mei))).toContain("under another policy")
  })
  test("that was replaced is refused when it is replayed, with all its signatures", () => {
    const replaced = accept(governed, signed(writePolicy(next), ada, grace, mei)).governance
    expect(refusalOf(replaced, signed(writePolicy(firstPolicy), ada, grace, mei))).toBe(
      "policy 1 is no newer than 2, which is in force: it was replaced",
    )
  })
  test("that replaces itself with fewer people is refused", () => {
    const alone = policy({
      ...{ version: 2, previous: root, proposed: "ada" },
      people: firstPolicy.people.slice(0, 2),
      keys: firstPolicy.keys.slice(0, 2),
      roles: [{ role: "weights", people: ["ada"] }],
      roots: [],
      quorums: ["default", "policy"].map(kind => ({ kind, count: 1, people: ["ada", "grace"] })),
    })
    expect(refusalOf(governed, signed(writePolicy(alone), ada, grace))).toBe(
      "1 of 2 approvals for policy (Grace Hopper): Ada Lovelace proposed it and does not count",
    )
  })
  test("other than the pinned root is refused as the first", () => {
    const other = writePolicy(policy({ change: "another" }))
    expect(refusalOf(ungoverned(root), signed(other, ada, grace, mei))).toContain(`pins the policy root sha256:${root}`)
  })
  test("is its own quorum as the first", () =>
    expect(refusalOf(ungoverned(root), signed(writePolicy(firstPolicy), ada, grace))).toContain(
      "1 of 2 approvals for policy",
    ))
  test("of another origin, or that replaces another, is refused", () => {
    expect(
      refusalOf(governed, signed(writePolicy({ ...next, origin: "other.example/policy" }), ada, grace, mei)),
    ).toContain("is of firm.example/policy")
    expect(refusalOf(governed, signed(writePolicy({ ...next, previous: "0".repeat(64) }), ada, grace, mei))).toContain(
      "does not replace the one in force",
    )
  })

  const wrong: Record<string, [Partial<typeof firstPolicy>, string]> = {
    "whose quorum nobody can reach": [
      {
        quorums: [
          { kind: "default", count: 3, people: ["ada", "grace", "mei"] },
          { kind: "policy", count: 2, people: ["ada", "grace", "mei"] },
        ],
      },
      "3 of 3 for default can never be reached",
    ],
    "with one key for two people": [
      { keys: [...firstPolicy.keys, { ...ada, person: "mei", name: "firm.example/mei-2" }] },
      "the key ",
    ],
    "with two people of one name": [
      { people: [...firstPolicy.people, { id: "eve", name: "ada lovelace" }] },
      "the name ada lovelace stands twice",
    ],
    "without a quorum for itself": [
      { quorums: [{ kind: "default", count: 2, people: ["ada", "grace", "mei"] }] },
      "no quorum for policy",
    ],
    "with a person in a quorum twice": [
      { quorums: firstPolicy.quorums.map(each => ({ ...each, people: ["ada", "ada", "grace"] })) },
      "stands twice",
    ],
    "that names nobody": [{ proposed: "eve" }, "eve is nobody in this policy"],
    "with a key name that is not plain": [
      { keys: [{ ...ada, name: "firm.example/аda" }, ...firstPolicy.keys.slice(1)] },
      "U+0430",
    ],
  }
  test.each(Object.entries(wrong))("%s is refused", (_, [change, why]) =>
    expect(() => readPolicy(writePolicy(policy(change)))).toThrow(why),
  )
})

describe("kinds of change", () => {
  test("are those of the lines that came or went", () => {
    expect(kindsOfChange(pin(), second)).toEqual(["terms", "driver"])
    expect(kindsOfChange(undefined, pin())).toEqual(["terms", "weights", "driver"])
    expect(kindsOfChange(pin(), pin({ ignore: [{ kind: "loaded", subject: null }] }))).toEqual(["terms", "ignore"])
  })
  test("each need their own quorum", () => {
    const strict = policy({
      quorums: [
        ...firstPolicy.quorums,
        { kind: "driver", count: 1, people: ["mei"] },
        { kind: "terms", count: 1, people: ["grace", "mei"] },
      ],
    })
    const digest = textDigest(writePolicy(strict))
    const governance = accept(ungoverned(digest), signed(writePolicy(strict), ada, grace, mei)).governance
    const one = publish(governance, pin({ policy: digest }))
    const own = textDigest(writePin(pin({ policy: digest })))
    const next = writePin({ ...second, policy: digest, previous: own, rollback: null })
    expect(refusalOf(one, signed(next, ada, grace))).toContain(
      "0 of 1 approvals for driver: Ada Lovelace proposed it and does not count; Ada Lovelace has no say in driver; Grace Hopper has no say in driver",
    )
    expect(refusalOf(one, signed(next, ada, mei))).toBe("accepted")
  })
})

describe("rolling back", () => {
  const back = {
    ...{ origin, policy: root, previous: textDigest(writePin(second)), admitsPreviousUntil: null },
    ...{ effective: hour(20), expires: hour(500), change: "CHG-4", proposed: "grace" },
    from: { version: 2, digest: textDigest(writePin(second)) },
    to: { version: 1, digest: first },
  }
  const note = signed(writeRollback(back), ada, grace, mei)

  test("goes to the named target, newly approved, and the highest version stays known", () => {
    expect(readRollback(writeRollback(back))).toEqual(back)
    const rolled = accept(withSecond, note).governance
    const [force] = inForce(rolled, hour(21))
    expect(force?.current).toMatchObject({ kind: "rollback", pin: { version: 1 }, digest: first })
    expect(force?.history.map(({ pin }) => pin.version)).toEqual([1, 2, 1])
    expect(refusalOf(rolled, note)).toContain("does not follow what was approved last")
    const third = { ...second, previous: textDigest(writeRollback(back)), effective: hour(30), rollback: null }
    expect(refusalOf(rolled, signed(writePin(third), ada, grace, mei))).toContain("version 2 is not above 2")
    expect(refusalOf(rolled, signed(writePin({ ...third, version: 3 }), ada, grace, mei))).toBe("accepted")
  })
  test("goes nowhere else", () => {
    expect(
      refusalOf(
        withSecond,
        signed(writeRollback({ ...back, to: { version: 2, digest: back.from.digest } }), ada, grace, mei),
      ),
    ).toContain("may be rolled back to 1 only")
    expect(
      refusalOf(
        withFirst,
        signed(writeRollback({ ...back, previous: first, from: { version: 1, digest: first } }), ada, grace, mei),
      ),
    ).toContain("names no rollback target")
    expect(refusalOf(withSecond, signed(writeRollback(back), ada, grace))).toContain("of 2 approvals for rollback")
  })
})

describe("what is in force", () => {
  const windowed = publish(withFirst, { ...second, admitsPreviousUntil: hour(15) })
  const at = (hours: number) => inForce(windowed, hour(hours))[0]

  test("begins with its effective time, and admits what was before inside its window only", () => {
    expect(inForce(windowed, hour(-1))).toEqual([])
    expect(approvedAhead(windowed, hour(5)).map(({ pin }) => pin.version)).toEqual([2])
    expect(at(9)?.current.pin.version).toBe(1)
    expect([at(10)?.current.pin.version, at(10)?.previous?.pin.version]).toEqual([2, 1])
    expect([at(15)?.current.pin.version, at(15)?.previous]).toEqual([2, null])
  })
  test("ends with its expiry, and says so", () => {
    expect(at(999)?.expired).toBe(false)
    expect(at(1000)?.expired).toBe(true)
  })
})

describe("a certification", () => {
  const certification = {
    ...{ origin: "firm.example/policy", policy: root, attester: `000b${"a".repeat(64)}`, enrolment: 1 },
    ...{ ak: `000b${"b".repeat(64)}`, evidenceKey: "c".repeat(64), at: hour(0), by: "mei", change: "CHG-5" },
  }
  test("is made by the root key alone", () => {
    const text = writeCertification(certification)
    const { governance } = accept(governed, signed(text, rootKey))
    expect(governance.certifications.get(certification.attester)?.root).toMatchObject({
      person: "Mei Lin",
      custody: "file",
    })
    expect(refusalOf(governed, signed(text, mei))).toBe("no root key of the policy in force signed it")
    const lower = writeCertification({ ...certification, enrolment: 2 })
    const again = accept(governance, signed(lower, rootKey)).governance
    expect(refusalOf(again, signed(text, rootKey))).toContain("enrolment 2 of this attester is certified already")
    expect(refusalOf(governed, signed(writeCertification({ ...certification, by: "ada" }), rootKey))).toContain(
      "the root key is mei's",
    )
  })
})
