/**
 * What does a verifier tell a relying party? An attestation result: a DSSE envelope over the verdict, naming the evidence, the
 * reference and the verifier, so that anyone can recompute it. Format: docs/the-evidence.md.
 */
import { z } from "zod"
import { readExact, writeExact, writeJson } from "../wire/json.ts"
import { hex, instant, line, plainLine } from "../wire/text.ts"
import { tpmName } from "../protocol/evidence.ts"
import { type Appraisal, type Component, tiers } from "./appraise.ts"
import { type Effect, type Finding, finding, findings } from "../verify/finding.ts"

const found = z.strictObject({
  id: z.enum(Object.keys(findings) as (keyof typeof findings)[]),
  component: line(2048),
  seen: line(4096),
  wanted: line(4096),
})

const component = z.strictObject({ name: line(64), tier: z.enum(tiers), says: line(1024), findings: z.array(found) })

/** An answer to one of the three questions of authority, or null: nobody's. */
const authority = z.strictObject({ name: line(256), word: line(256) }).nullable()

const result = z.strictObject({
  attester: tpmName,
  evidence: hex(32),
  kind: z.enum(["answer", "report"]),
  /** when the nonce was issued (answers), and when the evidence had come whole, by the verifier's clock */
  asked: instant.nullable(),
  received: instant,
  tier: z.enum(tiers),
  components: z.array(component).max(64),
  findings: z.array(found),
  /** whose hash backs the weights, whose key signs, whose pin holds the rest */
  authority: z.strictObject({ hash: authority, key: authority, pin: authority }),
  /** digest of the reference compared with, or null */
  reference: hex(32).nullable(),
  /** the verifier's version and the SHA-256 of its own code */
  verifier: z.strictObject({ version: line(64), build: hex(32) }),
})
export type Result = z.infer<typeof result>

const resultLimit = 1 << 18

/** Each throws Malformed for what is no such result. */
export const readResult = (bytes: Uint8Array): Result => readExact(result, bytes, resultLimit)
export const writeResult = (value: Result): Uint8Array => writeExact(result, value)

/** Who stands behind each answer: so far, the TPM that seals the evidence key, and nobody for hash and pin. */
export const authorityOf = (attester: string): Result["authority"] => ({
  hash: null,
  key: { name: attester, word: "TPM-sealed: whoever may use this TPM may sign" },
  pin: null,
})

/** The most components of a result, and the most bytes that the findings of all of them take, once. */
const bounds = { components: 64, findings: 100_000, text: 256 } as const

/** The verdict's parts of a result. A result is bounded and evidence may be hostile: what does not fit is counted, worst first. */
export function verdictOf(appraisal: Appraisal): Pick<Result, "tier" | "components" | "findings"> {
  const shown = fewer(appraisal.components)
  const components = shown.map(each => ({ ...each, findings: shorter(each, bounds.findings / shown.length) }))
  const inComponents = new Set(appraisal.components.flatMap(each => each.findings))
  const others = appraisal.findings.filter(each => !inComponents.has(each))
  return { tier: appraisal.tier, components, findings: [...components.flatMap(each => each.findings), ...others] }
}

function fewer(components: readonly Component[]): readonly Component[] {
  if (components.length <= bounds.components) return components
  const worstFirst = components.toSorted((a, b) => tiers.indexOf(b.tier) - tiers.indexOf(a.tier))
  const left = worstFirst.slice(bounds.components - 1)
  const others = {
    name: "others",
    tier: left[0]?.tier ?? "none",
    says: `${left.length} more components`,
    findings: left.flatMap(each => each.findings),
  }
  return [...worstFirst.slice(0, bounds.components - 1), others]
}

const effects: readonly Effect[] = ["refuses", "contraindicates", "warns", "notes"]
const severity = ({ id }: Finding): number => effects.indexOf(findings[id].effect)

/** As many findings as fit into `room` bytes, and one that says how many more there are. */
function shorter({ name, findings: all }: Component, room: number): Finding[] {
  const worstFirst = all.toSorted((a, b) => severity(a) - severity(b)).map(cut)
  let taken = 0
  const fitting = worstFirst.findIndex(each => (taken += writeJson(each).length + 1) > room)
  const [next] = fitting < 0 ? [] : worstFirst.slice(fitting)
  if (!next) return worstFirst
  return [...worstFirst.slice(0, fitting), finding(next.id, name, `${worstFirst.length - fitting} more`, "none")]
}

const cut = ({ id, component, seen, wanted }: Finding): Finding => ({
  id,
  component: plainLine(component, bounds.text),
  seen: plainLine(seen, bounds.text),
  wanted: plainLine(wanted, bounds.text),
})
