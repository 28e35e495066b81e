/**
 * Is what authentic evidence says acceptable? Only verified evidence can be appraised. Code compares; what is wanted comes from
 * what is approved, or else from what was recorded, and whose word each answer rests on is said with it. Absence is not consent:
 * what nothing was approved or recorded of is `none`, and no tier is better than `warning` while nothing is approved.
 */
import { type InForce, inForce, type Material } from "../pins/force.ts"
import { type Governance, policyOf } from "../pins/lineage.ts"
import { keyOfMeasurement, measurementsOf, newestMeasurements, type Reference } from "../pins/reference.ts"
import type { LogEvent, Measurement } from "../protocol/event.ts"
import { bootMeasurements } from "../verify/boot-lines.ts"
import { type Finding, finding } from "../verify/finding.ts"
import type { VerifiedEvidence } from "../verify/verify.ts"
import { judgeTpm } from "./admission.ts"
import { type Authority, authorityFor, type Custody, custodyOf, gapsIn, type Grounds } from "./authority.ts"
import { causeOf } from "./cause.ts"
import { comesAndGoes, contradictions, differences, inPart } from "./compare.ts"
import { judgeBoot } from "./boot.ts"
import { type Component, type Tier, tierOf, tiers, unreadable } from "./component.ts"
import type { Endorsement } from "./endorsement.ts"
import { ignoring, judgePinned } from "./pinned.ts"
import { firmwareContradiction, withQuotedFirmware } from "./tpm-firmware.ts"

export type { Endorsement } from "./endorsement.ts"
export { type Component, type Tier, tiers } from "./component.ts"

/** What is approved, as of a moment (ms since 1970); `material` says what pinned digests stand for. */
export type Approvals = { readonly governance: Governance; readonly material: Material; readonly now: number }

export type Context = {
  readonly reference: Reference | "none recorded"
  /** "ungoverned": this verifier pins no policy */
  readonly approvals: Approvals | "ungoverned"
  readonly endorsement: Endorsement
  /** what {@link continuity} and the verifier's own circumstances add */
  readonly findings: readonly Finding[]
}

export type Appraisal = {
  readonly tier: Tier
  readonly components: readonly Component[]
  readonly findings: readonly Finding[]
  readonly authority: Authority
  readonly custody: readonly Custody[]
  /** what is in force of the origin that this was judged by */
  readonly force: InForce | undefined
  /** see {@link causeOf} */
  readonly cause: string | null
}

/** Judges `evidence` in its `context`. */
export function appraise(evidence: VerifiedEvidence, context: Context): Appraisal {
  const measured = withQuotedFirmware(evidence.events.filter(isMeasurement), evidence)
  const { force, components: sources } = judgeAll([...measured, ...provenBoot(evidence, context)], context)
  const grounds = groundsOf(evidence, context, force)
  const components = [
    judgePlatform(evidence, measured, context, grounds),
    ...merged(sources, ignoring(judgeBoot(evidence.platform, context.reference), force)),
  ]
  const authority = authorityFor(evidence, grounds, components)
  const found = [
    ...components.flatMap(each => each.findings),
    ...nothingMeasured(evidence.events),
    ...nothingInForce(force),
    ...gapsIn(evidence, grounds, authority),
  ]
  const tier = overall(found, components)
  const custody = custodyOf(evidence, grounds)
  return { tier, components, findings: found, authority, custody, force, cause: causeOf(found) }
}

/** What the logs prove of the boot, where it can be compared with pins. */
const provenBoot = ({ platform: { boot } }: VerifiedEvidence, { approvals }: Context): Measurement[] =>
  typeof boot === "string" || approvals === "ungoverned" || inForce(approvals.governance, approvals.now).length === 0
    ? []
    : bootMeasurements(boot)

/** A boot that was judged by pins keeps what its logs themselves gave rise to, and needs no recorded reference. */
function merged(sources: readonly Component[], platform: readonly Component[]): Component[] {
  return [
    ...sources.filter(({ name }) => !platform.some(each => each.name === name)),
    ...platform.map(each => {
      const pinned = sources.find(({ name }) => name === each.name)
      if (!pinned || pinned.tier === "none") return each
      const own = each.findings.filter(({ id }) => !/^(reference|boot)\./.test(id))
      const found = [...pinned.findings, ...own]
      return { ...pinned, tier: tierOf(found, "affirming"), findings: found }
    }),
  ]
}

type Judgement = { readonly force: InForce | undefined; readonly components: readonly Component[] }

/** By what is in force, of the origin that fits best; or by what was recorded. */
function judgeAll(measured: readonly Measurement[], { approvals, reference }: Context): Judgement {
  const forces = approvals === "ungoverned" ? [] : inForce(approvals.governance, approvals.now)
  if (approvals === "ungoverned" || forces.length === 0)
    return { force: undefined, components: judgeSources(measured, reference) }
  const judged = forces.map(force => ({ force, components: judgePinned(measured, force, approvals.material) }))
  return judged.toSorted((a, b) => distance(a) - distance(b))[0] ?? { force: undefined, components: [] }
}

/** How far from approved: the worst tier first, then how much was found. */
const distance = ({ components }: Judgement): number =>
  Math.max(0, ...components.map(({ tier }) => tiers.indexOf(tier))) * 1e6 +
  components.reduce((sum, each) => sum + each.findings.length, 0)

function groundsOf(
  { body }: VerifiedEvidence,
  { approvals, endorsement }: Context,
  force: InForce | undefined,
): Grounds {
  if (approvals === "ungoverned") return { root: "", policy: undefined, force, certification: undefined, endorsement }
  const { governance } = approvals
  const certification = governance.certifications.get(body.attester)
  return { root: governance.root, policy: policyOf(governance), force, certification, endorsement }
}

function nothingInForce(force: InForce | undefined): Finding[] {
  if (!force)
    return [finding("pin.none", "pins", "no approved pin", "pins approved by the owners of weights, runtime and key")]
  const { terms, pin } = force.current
  const since = new Date(terms.expires).toISOString()
  return force.expired
    ? [finding("pin.expired", `${terms.origin} ${pin.version}`, `expired ${since}`, "one in force")]
    : []
}

/** No measurement at all differs from no reference, and is no match with one either. */
const nothingMeasured = (events: readonly LogEvent[]): Finding[] =>
  events.some(isMeasurement) ? [] : [finding("measurement.none", "log", "no measurement", "what this machine runs")]

/** Without command audit, continuity protects only what was seen; the result says so (M1). */
const unaudited = ({ audit }: VerifiedEvidence): Finding[] =>
  audit === "unavailable"
    ? [finding("audit.unavailable", "audit", "unavailable", "command audit of TPM2_PCR_Reset, and of nothing else")]
    : []

function judgePlatform(
  evidence: VerifiedEvidence,
  measured: readonly Measurement[],
  { endorsement, findings: given }: Context,
  { policy }: Grounds,
): Component {
  const { says, findings } = judgeTpm(evidence.body.attester, endorsement, measured, policy?.policy)
  const disputed = firmwareContradiction(evidence.events, evidence)
  const found = [...evidence.findings, ...given, ...unaudited(evidence), ...disputed, ...findings]
  return { name: "tpm", tier: tierOf(found, "affirming"), says, findings: found }
}

/** Every event is appraised, never only the last of its kind: what once differed stays a finding for the epoch of the log. */
function judgeSources(own: readonly Measurement[], reference: Reference | "none recorded"): Component[] {
  const measured = Map.groupBy(own, sourceOf)
  const recorded = Map.groupBy(reference === "none recorded" ? [] : measurementsOf(reference), sourceOf)
  const names = [...new Set([...measured.keys(), ...recorded.keys()])]
  return names.map(name => {
    const own = measured.get(name) ?? []
    return recorded.size === 0 ? notCompared(name, own) : compared(name, own, recorded.get(name) ?? [])
  })
}

const isMeasurement = (event: LogEvent): event is Measurement => event.type === "assay.measurement.v1"
const sourceOf = ({ source }: Measurement): string => source

function notCompared(name: string, measured: readonly Measurement[]): Component {
  const present = newestMeasurements(measured)
  const gap = finding("reference.none", name, `${present.length} measured`, "a recorded reference")
  const found = [gap, ...unreadable(present), ...contradictions(measured)]
  const tier = contradictions(measured).length > 0 ? "contraindicated" : "none"
  return { name, tier, says: "measured, compared with nothing", findings: found }
}

function compared(name: string, measured: readonly Measurement[], recorded: readonly Measurement[]): Component {
  const present = newestMeasurements(measured)
  const wanted = new Map(recorded.map(each => [keyOfMeasurement(each), each]))
  const differing = [...missing(present, recorded), ...measured.flatMap(each => judgeMeasurement(each, wanted))]
  const found = [...unreadable(present), ...contradictions(measured), ...differing]
  const distinct = [...new Map(found.map(each => [JSON.stringify(each), each])).values()]
  return { name, tier: tierOf(distinct, "warning"), says: wordsOf(differing, distinct), findings: distinct }
}

function wordsOf(differing: readonly Finding[], found: readonly Finding[]): string {
  if (differing.length > 0) return "not as recorded"
  return found.length === 0 ? "as recorded, approved by nobody" : inPart("as recorded", found)
}

function missing(present: readonly Measurement[], recorded: readonly Measurement[]): Finding[] {
  const keys = new Set(present.map(keyOfMeasurement))
  return recorded
    .filter(each => !keys.has(keyOfMeasurement(each)) && !comesAndGoes(each))
    .map(each => finding("reference.missing", keyOfMeasurement(each), "nothing", each.state))
}

function judgeMeasurement(measured: Measurement, recorded: ReadonlyMap<string, Measurement>): Finding[] {
  const key = keyOfMeasurement(measured)
  const own = recorded.get(key)
  if (!own && comesAndGoes(measured) && measured.state === "absent") return []
  return own ? differences(measured, own) : [finding("reference.unlisted", key, measured.state, "nothing")]
}

function overall(found: readonly Finding[], components: readonly Component[]): Tier {
  const tier = tierOf(found, "affirming")
  const judged = components.filter(
    each => !each.findings.some(({ id }) => id === "pin.ignored") || each.tier !== "none",
  )
  return tier === "affirming" && judged.some(each => each.tier !== "affirming") ? "warning" : tier
}
