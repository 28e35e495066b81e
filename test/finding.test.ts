/** Does every finding have its row in the document, in the words of the table, and is what it shows always one plain line? */
import { readdirSync, readFileSync } from "node:fs"
import { resolve } from "node:path"
import { expect, test } from "vitest"
import { type Effect, finding, type FindingId, findings, refused } from "../attestation/verify/finding.ts"

const document = readFileSync(resolve(import.meta.dirname, "../docs/the-findings.md"), "utf8")
const ids = Object.keys(findings) as FindingId[]
const effects: readonly Effect[] = ["refuses", "contraindicates", "warns", "notes"]

/** The rows of the document's tables: | `id` | meaning | fix | below a heading that names the effect. */
function rows(): Map<string, { effect: string; means: string; fix: string }> {
  const found = new Map<string, { effect: string; means: string; fix: string }>()
  let effect = ""
  for (const line of document.split("\n")) {
    effect = /^## (\w+)/.exec(line)?.[1]?.toLowerCase() ?? effect
    const [, id, means, fix] = /^\| `([^`]+)` \| (.*) \| (.*) \|$/.exec(line) ?? []
    if (id) found.set(id, { effect, means: means ?? "", fix: fix ?? "" })
  }
  return found
}

test("docs/the-findings.md has one row for each finding, and no other", () => {
  const missing = "write its row in docs/the-findings.md"
  expect([...rows().keys()].toSorted(), missing).toEqual(ids.toSorted())
})

test.each(ids)("docs/the-findings.md says of %s what the table says", id =>
  expect(rows().get(id)).toEqual({ ...findings[id] }),
)

test.each(ids)("%s has an effect, a meaning and a fix", id => {
  const { effect, means, fix } = findings[id]
  expect(effects).toContain(effect)
  expect([means.length, fix.length].every(length => length > 10)).toBe(true)
  expect(id).toMatch(/^[a-z]+\.[a-z-]+$/)
})

test("what is found is one line, however hostile its words were", () => {
  const { component, seen, wanted } = finding("log.malformed", "a\nb", "\u001b[31m", "x".repeat(5000))
  expect([component, seen]).toEqual(["a\\u000ab", "\\u001b[31m"])
  expect(wanted.length).toBe(4096)
})

test("evidence is refused for what refuses, and for nothing less", () => {
  for (const id of ids) expect(refused([finding(id, "", "", "")])).toBe(findings[id].effect === "refuses")
  expect(refused([])).toBe(false)
})

/** Found nowhere so far: nobody is asked without a credential, and a machine without models is told of by its component. */
const unused: readonly FindingId[] = ["ak.collectors-word", "weights.none"]

test("each finding is one that a test shows", () => {
  const tests = readdirSync(import.meta.dirname)
    .filter(name => name.endsWith(".test.ts") && name !== "finding.test.ts")
    .map(name => readFileSync(resolve(import.meta.dirname, name), "utf8"))
    .join("\n")
  // the parts of the boot are all altered by one property, which compares itself with this table
  const shown = ids.filter(id => tests.includes(id) || id.startsWith("boot."))
  expect(ids.filter(id => !shown.includes(id))).toEqual(unused)
})
