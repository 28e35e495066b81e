/**
 * What does a verifier tell a relying party? An attestation result: a DSSE envelope over the verdict, naming the evidence, the
 * reference and the verifier, so that anyone can recompute it. Format: docs/the-evidence.md.
 */
import { z } from "zod"
import { readExact, writeExact, writeJson } from "../wire/json.ts"
import { count, hex, instant, line, plainLine } from "../wire/text.ts"
import { tpmName } from "../protocol/evidence.ts"
import { policyOf } from "../pins/lineage.ts"
import { custodyClasses } from "../pins/policy.ts"
import { type Appraisal, type Approvals, type Component, tiers } from "./appraise.ts"
import { type Effect, type Finding, finding, findings } from "../verify/finding.ts"

const found = z.strictObject({
  id: z.enum(Object.keys(findings) as (keyof typeof findings)[]),
  component: line(2048),
  seen: line(4096),
  wanted: line(4096),
})

const component = z.strictObject({ name: line(64), tier: z.enum(tiers), says: line(1024), findings: z.array(found) })

/** An answer to one of the three questions of authority, or null: nobody's. */
const authority = z.strictObject({ name: line(256), word: line(512) }).nullable()

const custody = z.strictObject({
  signs: line(64),
  key: line(256),
  class: z.enum(custodyClasses),
  chain: z.array(line(512)).max(8),
})

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
  /** every signature that this rests on: where its key is kept, and what that leads to */
  custody: z.array(custody).max(48),
  /** the policy that approvals were counted by, and the pin that was judged by: null where there is none */
  policy: z.strictObject({ root: hex(32), origin: line(512), version: count(1e9), digest: hex(32) }).nullable(),
  pin: z
    .strictObject({
      origin: line(512),
      version: count(1e9),
      /** of the pin's text, and of the text of the note that put it in force */
      digest: hex(32),
      note: hex(32),
      proposed: line(128),
      approved: z.array(line(128)).max(32),
      effective: instant,
      expires: instant,
      /** the version before, where it is admitted too */
      previous: count(1e9).nullable(),
    })
    .nullable(),
  /** the gravest finding and what differs: equal for machines that are not better for one reason; null: nothing holds it down */
  cause: line(256).nullable(),
  /** digest of the reference compared with, or null */
  reference: hex(32).nullable(),
  /** the verifier's version and the SHA-256 of its own code */
  verifier: z.strictObject({ version: line(64), build: hex(32) }),
})
export type Result = z.infer<typeof result>

const resultLimit = 1 << 18

/** The result in `bytes`. Throws Malformed. */
export function readResult(bytes: Uint8Array): Result {
  try {
    return readExact(result, bytes, resultLimit)
  } catch (error) {
    const earlier = readEarlier(bytes)
    if (earlier) return earlier
    throw error
  }
}

/** Results of 0.1.0 named no custody, policy, pin and cause. */
const earlierResult = result.omit({ custody: true, policy: true, pin: true, cause: true })

function readEarlier(bytes: Uint8Array): Result | undefined {
  try {
    return { ...readExact(earlierResult, bytes, resultLimit), custody: [], policy: null, pin: null, cause: null }
  } catch {
    return undefined
  }
}

/** Its one spelling. Throws Malformed for what is no result. */
export const writeResult = (value: Result): Uint8Array => writeExact(result, value)

/** The pin that a verdict was made by, as a result names it. */
export function pinIn({ force }: Pick<Appraisal, "force">): Result["pin"] {
  if (!force) return null
  const { terms, pin, digest, note, proposer, approvals } = force.current
  const { effective, expires } = terms
  return {
    ...{ origin: terms.origin, version: pin.version, digest, note, proposed: plainLine(proposer.name, 128) },
    approved: approvals.map(({ name }) => plainLine(name, 128)).slice(0, 32),
    ...{ effective: new Date(effective).toISOString(), expires: new Date(expires).toISOString() },
    previous: force.previous?.pin.version ?? null,
  }
}

/** Where the keys of the signatures in play are kept; room is left for the verifier's own. */
export const custodyIn = ({ custody }: Appraisal): Result["custody"] =>
  custody.slice(0, 47).map(each => ({ ...each, chain: [...each.chain] }))

/** The policy in force, as a result names it: whoever reads a result compares the root with their own. */
export function policyIn(approvals: Approvals | "ungoverned"): Result["policy"] {
  const entry = approvals === "ungoverned" ? undefined : policyOf(approvals.governance)
  if (approvals === "ungoverned" || !entry) return null
  const { origin, version } = entry.policy
  return { root: approvals.governance.root, origin, version, digest: entry.digest }
}

/** The most components of a result, and the most bytes that the findings of all of them take, once. */
const bounds = { components: 64, findings: 100_000, text: 256 } as const

/** The verdict's parts of a result. A result is bounded and evidence may be hostile: what does not fit is counted, worst first. */
export function verdictOf(
  appraisal: Appraisal,
): Pick<Result, "tier" | "components" | "findings" | "authority" | "pin" | "cause"> {
  const shown = fewer(appraisal.components)
  const components = shown.map(each => ({ ...each, findings: shorter(each, bounds.findings / shown.length) }))
  const inComponents = new Set(appraisal.components.flatMap(each => each.findings))
  const others = appraisal.findings.filter(each => !inComponents.has(each))
  const { tier, authority, cause } = appraisal
  const found = [...components.flatMap(each => each.findings), ...others]
  return { tier, components, findings: found, authority, pin: pinIn(appraisal), cause }
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
