/**
 * Does an audit folder show what ran, to somebody with openssl, jq and coreutils? Made by the command from a collector with a real TPM's
 * evidence; altered in every way, in the folder and in the vault before it, and each is caught by the command and by the script.
 */
import { spawnSync } from "node:child_process"
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { pinIn, policyIn, type Result } from "../attestation/appraise/result.ts"
import { accept, ungoverned } from "../attestation/pins/lineage.ts"
import { textDigest } from "../attestation/pins/note.ts"
import { writePin } from "../attestation/pins/pin.ts"
import { writePolicy } from "../attestation/pins/policy.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { escaped, reportOf } from "../cli/audit/report.ts"
import { summarise } from "../cli/audit/summary.ts"
import { forge, type Lie } from "./audit-forger.ts"
import { Attester } from "./collector-chain.ts"
import { type House, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { ada, grace, hour, mei, pin, policy, signed, signer } from "./governance-people.ts"
import { byHand, treeAnew } from "./vault-house.ts"

const assay = (...args: string[]) => {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [join(import.meta.dirname, "../cli/assay.mjs"), ...args],
    {
      encoding: "utf8",
      env: { ...process.env, NO_COLOR: "1" },
    },
  )
  return { status, stdout, stderr, said: stdout + stderr }
}

let attester: Attester
let house: House
let folder: string
let configuration: string

const weights: Measurement = {
  ...{ type: "assay.measurement.v1", source: "weights", subject: "tiny <b>model</b>", state: "present" },
  facts: [["manifest", "ab".repeat(32)]],
}

beforeAll(async () => {
  attester = await Attester.start()
  await attester.machine.append(weights)
  house = await startHouse(temporaryFolder())
  configuration = join(house.folder, "collector.toml")
  writeFileSync(configuration, `state = "${house.config.state}"\nruntime = "${house.config.runtime}"\n`)
  const line = await attester.join(house)
  await house.admin.call("reference-record", { attester: attester.attester, by: "Ada Lovelace", ignore: [] })
  await attester.prove(line).catch(() => undefined)
  await house.collector.stop()
  folder = join(house.folder, "audit")
  const written = audit(folder)
  expect(written.status, written.said).toBe(0)
}, 60_000)
afterAll(async () => {
  await house.stop()
  await attester.stop()
  removeFolder(house.folder)
})

const audit = (out: string, ...more: string[]) =>
  assay(
    ...["audit", "--model", weights.subject, "--from", "2026-01-01T00:00:00Z", "--out", out],
    ...["--config", configuration, ...more],
  )
const check = (path: string, ...more: string[]) => assay("audit", "verify", path, ...more)
const script = (path: string) => {
  const { status, stdout, stderr } = spawnSync("sh", [join(path, "verify.sh")], { encoding: "utf8" })
  return { status, said: stdout + stderr }
}

test("as it was written it holds, for the command and for the script, with keys from elsewhere", () => {
  const key = assay("vault", "key", "--config", configuration).stdout.trim()
  const own = check(folder, "--log-key", key, "--result-key", join(folder, "results.pem"))
  expect(own.said).not.toContain("FAIL")
  expect(own.status, own.said).toBe(0)
  const theirs = script(folder)
  expect(theirs.said).not.toContain("FAIL")
  expect(theirs.status, theirs.said).toBe(0)
  const other = check(folder, "--log-key", "other+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
  expect(other.status).toBe(2)
})

test("the report tells what ran and where nobody answered, without scripts and with nothing of a machine's as markup", () => {
  const page = readFileSync(join(folder, "report.html"), "utf8")
  expect(page).toContain("tiny &lt;b&gt;model&lt;/b&gt;")
  expect(page).not.toMatch(/<b>model|<script|javascript:|src=|href=/i)
  expect(page).toContain('class="hole"')
  expect(page).toContain("nobody's")
})

/** A copy that somebody altered and whose list of sums they made anew. */
function altered(change: (path: string) => void): string {
  const copy = join(house.folder, "altered")
  rmSync(copy, { recursive: true, force: true })
  cpSync(folder, copy, { recursive: true })
  change(copy)
  const sums = "find . -type f ! -name SHA256SUMS -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum > SHA256SUMS"
  spawnSync("sh", ["-c", sums], { cwd: copy })
  return copy
}
type Index = { leaves: { position: number; kind: string; file: string }[] }
const evidenceOf = (path: string): string => join(path, "evidence", readdirSync(join(path, "evidence"))[0] ?? "")
const withIndex = (path: string, change: (index: Index) => void): void => {
  const index: Index = JSON.parse(readFileSync(join(path, "index.json"), "utf8"))
  change(index)
  writeFileSync(join(path, "index.json"), JSON.stringify(index))
}

describe("a folder in which", () => {
  const changes: Record<string, (path: string) => void> = {
    "a leaf was altered": path => {
      const file = join(evidenceOf(path), "result.dsse.json")
      writeFileSync(file, readFileSync(file, "utf8").replace(/"sig":"./, '"sig":"_'))
    },
    "a log was altered": path => {
      const file = join(evidenceOf(path), "assay.cel")
      writeFileSync(file, readFileSync(file, "utf8").replace("tiny", "huge"))
    },
    "two leaves were exchanged": path =>
      withIndex(path, ({ leaves }) => {
        const [a, b] = leaves
        if (a && b) [a.file, b.file] = [b.file, a.file]
      }),
    "a leaf was appended": path => {
      const [first] = readdirSync(join(path, "decisions"))
      cpSync(join(path, "decisions", first ?? ""), join(path, "decisions/000000999-pin"))
      for (const kind of ["leaf", "proof"])
        cpSync(join(path, `vault/proofs/0.${kind}`), join(path, `vault/proofs/999.${kind}`))
      withIndex(path, ({ leaves }) => leaves.push({ position: 999, kind: "pin", file: "decisions/000000999-pin" }))
    },
    "the checkpoint was altered": path => {
      const file = join(path, "vault/checkpoint")
      const [origin, size, ...rest] = readFileSync(file, "utf8").split("\n")
      writeFileSync(file, [origin, Number(size) + 1, ...rest].join("\n"))
    },
  }
  test.each(Object.entries(changes))("%s is refused by both", (_, change) => {
    const path = altered(change)
    const own = check(path)
    expect(own.status, own.said).toBe(4)
    expect(own.stdout).toContain("FAIL")
    const theirs = script(path)
    expect(theirs.status, theirs.said).toBe(4)
  })

  test("evidence was left out is refused, since the report tells of it", () => {
    const path = altered(copy => {
      const gone = evidenceOf(copy)
      rmSync(gone, { recursive: true })
      withIndex(copy, index => (index.leaves = index.leaves.filter(each => existsSync(join(copy, each.file)))))
    })
    const own = check(path)
    expect(own.status, own.said).toBe(4)
    expect(own.stdout).toContain("audit.json tells something else")
  })

  test("the report's data was altered is refused", () => {
    const path = altered(copy => {
      const file = join(copy, "audit.json")
      writeFileSync(file, readFileSync(file, "utf8").replace(/"holes": \[[^]*\]/, '"holes": []'))
    })
    expect(check(path).status).toBe(4)
  })
})

test("a report that tells something else than the files beside it is refused", () => {
  const path = altered(copy => {
    const file = join(copy, "report.html")
    writeFileSync(file, readFileSync(file, "utf8").replace("nobody's", "Ada's"))
  })
  const own = check(path)
  expect(own.status, own.said).toBe(4)
  expect(own.stdout).toContain("report.html tells something else")
})

test("a policy root that was told elsewhere is demanded of the notes", () => {
  const own = check(folder, "--policy-root", "ab".repeat(32))
  expect(own.status, own.said).toBe(4)
  expect(own.stdout).toContain("none is in the folder")
})

test("frameworks are data: another table is told in the report, and what is no table is refused", () => {
  const table = join(house.folder, "controls.json")
  const row = { framework: "House rules", control: "7, who approved it", evidence: "pins", asOf: "2026-10-01" }
  writeFileSync(table, JSON.stringify([row]))
  const out = join(house.folder, "audit-mapped")
  expect(audit(out, "--frameworks", table).status).toBe(0)
  expect(readFileSync(join(out, "report.html"), "utf8")).toContain("<td>House rules</td><td>7, who approved it</td>")
  expect(check(out).status).toBe(0)
  writeFileSync(table, JSON.stringify([{ ...row, asOf: "lately" }]))
  const refused = audit(join(house.folder, "audit-none"), "--frameworks", table)
  expect(refused.status).toBe(2)
  expect(refused.said).toMatch(/is no table of frameworks/)
})

describe("a vault whose leaf was", () => {
  const position = "(SELECT min(leaf) FROM evidence)"
  const vaults: Record<string, string> = {
    altered: `UPDATE leaf SET at = at + 1 WHERE position = ${position}`,
    removed: `DELETE FROM leaf WHERE position = 0; UPDATE leaf SET position = position - 1; DELETE FROM kept WHERE position = 0;
      UPDATE kept SET position = position - 1, base = base - 1; DROP TRIGGER evidence_no_update; UPDATE evidence SET leaf = leaf - 1`,
    reordered: `UPDATE leaf SET position = -1 WHERE position = 0; UPDATE leaf SET position = 0 WHERE position = ${position};
      UPDATE leaf SET position = ${position} WHERE position = -1`,
    "appended, and told to be evidence": `INSERT INTO leaf SELECT (SELECT max(position) + 1 FROM leaf), kind, at, length, randomblob(32) FROM leaf
        WHERE position = ${position};
      INSERT INTO kept SELECT (SELECT max(position) FROM leaf), base, form, bytes FROM kept WHERE position = 0;
      DROP TRIGGER evidence_no_update; UPDATE evidence SET leaf = (SELECT max(position) FROM leaf)`,
  }
  test.each(Object.entries(vaults))("%s by hand gives no folder that holds", (_, sql) => {
    const state = join(house.folder, "state-altered")
    rmSync(state, { recursive: true, force: true })
    mkdirSync(state)
    cpSync(house.config.state, state, { recursive: true })
    const other = { config: { ...house.config, state } }
    byHand(other, sql)
    treeAnew(other)
    const toml = join(house.folder, "altered.toml")
    writeFileSync(toml, `state = "${state}"\nruntime = "${house.config.runtime}"\n`)
    const out = join(house.folder, "audit-altered")
    rmSync(out, { recursive: true, force: true })
    const written = assay(
      "audit",
      "--model",
      weights.subject,
      "--from",
      "2026-01-01T00:00:00Z",
      "--out",
      out,
      "--config",
      toml,
    )
    if (written.status === 0) expect(check(out).status).toBe(4)
    else expect(written.said).toMatch(/assay: error:/)
    expect(assay("vault", "check", "--config", toml).status).toBe(4)
  })
})

describe("a collector that lies, with every key of its own, about", () => {
  const emmy = signer("emmy")
  const everybody = ["ada", "grace", "mei", "emmy"]
  const rules = writePolicy(
    policy({
      people: [...policy().people, { id: "emmy", name: "Emmy Noether" }],
      keys: [ada, grace, mei, emmy].map(({ person, custody, name, publicKey }) => ({
        person,
        custody,
        name,
        publicKey,
      })),
      quorums: ["default", "policy"].map(kind => ({ kind, count: 2, people: everybody })),
    }),
  )
  const root = textDigest(rules)
  const ruled = accept(ungoverned(root), signed(rules, ada, grace, mei, emmy)).governance
  const text = writePin(pin({ policy: root, effective: hour(-10_000) }))
  const later = writePin(pin({ policy: root, effective: Date.now() + 3_600_000 }))
  /** What a result says of a pin that these notes put in force. */
  const judged = (bytes: Uint8Array): Partial<Result> => {
    const { governance } = accept(ruled, bytes)
    const current = [...governance.lineages.values()].flat()[0]
    if (!current) throw new Error("no pin was accepted")
    const force = { current, previous: null, expired: false, history: [current] }
    return { pin: pinIn({ force }), policy: policyIn({ governance, material: new Map(), now: Date.now() }) }
  }
  const byGrace = signed(text, ada, grace, mei)
  const published = (...more: readonly Uint8Array[]): Lie["notes"] => [
    ["policy", signed(rules, ada, grace, mei, emmy)],
    ...more.map(each => ["pin", each] as const),
  ]
  const told = (notes: Lie["notes"], change: Partial<Result>) =>
    check(altered(path => forge(path, house.config, { notes, result: honest => ({ ...honest, ...change }) })))

  test("nothing: what the notes give holds", () => {
    const { status, said } = told(published(byGrace), judged(byGrace))
    expect(said).toContain("results name a pin that was in force, and the people who approved it")
    expect([status, said]).toEqual([0, expect.not.stringContaining("FAIL")])
  })

  const lies: Record<string, () => [Lie["notes"], Partial<Result>, RegExp]> = {
    "who approved": () => [
      published(signed(text, ada, grace, emmy)),
      judged(byGrace),
      /says \["Ada Lovelace",\["Grace Hopper","Mei Lin"\]\] proposed and approved version 1 of \S+, and its note says \["Ada Lovelace",\["Grace Hopper","Emmy Noether"\]\]/,
    ],
    "a pin that is not in the folder": () => [
      published(),
      judged(byGrace),
      /names version 1 of \S+, which no note in the folder put in force/,
    ],
    "a policy that is not in the folder": () => [[], judged(byGrace), /judged by a policy, and none is in the folder/],
    "a pin that too few approved": () => [
      published(signed(text, ada, grace)),
      judged(byGrace),
      /FAIL {2}decisions\/901-pin is not accepted: .*1 of 2 approvals/,
    ],
    "a pin before its time": () => [
      published(signed(later, ada, grace, mei)),
      judged(signed(later, ada, grace, mei)),
      /names version 1 of \S+, which was not in force yet/,
    ],
    "the policy root": () => [
      published(byGrace),
      {
        ...judged(byGrace),
        policy: { root: "ab".repeat(32), origin: "firm.example/policy", version: 1, digest: root },
      },
      /was judged under another policy root, abab/,
    ],
  }
  test.each(Object.entries(lies))("%s is refused with a sentence", (_, lie) => {
    const [notes, change, sentence] = lie()
    const { status, stdout } = told(notes, change)
    expect(stdout).toMatch(sentence)
    expect(status).toBe(4)
    expect(stdout.match(/FAIL/g)).toHaveLength(1)
  })
})

test("C39 whatever a machine says is text in the report", () => {
  const hostile = `<img src=x onerror=alert(1)>"'&\u202e`
  expect(escaped(hostile)).toBe("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;\\u202e")
  const summary = summarise({ model: hostile, from: 0, to: 1000, stale: 10 }, [])
  const ground = {
    origin: hostile,
    size: 1,
    root: hostile,
    witnesses: [hostile],
    stamped: false,
    made: hostile,
    decisions: [],
  }
  expect(reportOf(summary, ground, [])).not.toContain("<img")
})
