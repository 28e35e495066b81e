/**
 * Is what authentic evidence says acceptable? Only verified evidence can be appraised. Code compares; what is wanted comes
 * from the reference, and whose word each answer rests on is said with it. Absence is not consent: what nothing was recorded
 * of is `none`, and no tier is better than `warning` while nothing is approved.
 */
import type { LogEvent, Measurement } from "../protocol/event.ts"
import { keyOfMeasurement, measurementsOf, newestMeasurements, type Reference } from "../pins/reference.ts"
import { type Finding, finding } from "../verify/finding.ts"
import type { VerifiedEvidence } from "../verify/verify.ts"
import { comesAndGoes, contradictions, differences } from "./compare.ts"
import { type Endorsement, spoken } from "./endorsement.ts"
import { judgeBoot } from "./boot.ts"
import { type Component, type Tier, tierOf } from "./component.ts"

export { type Component, type Tier, tiers } from "./component.ts"

export type { Endorsement } from "./endorsement.ts"

export type Context = {
  readonly reference: Reference | "none recorded"
  readonly endorsement: Endorsement
  /** what {@link continuity} and the verifier's own circumstances add */
  readonly findings: readonly Finding[]
}

export type Appraisal = {
  readonly tier: Tier
  readonly components: readonly Component[]
  readonly findings: readonly Finding[]
}

/** Judges `evidence` in its `context`. */
export function appraise(evidence: VerifiedEvidence, context: Context): Appraisal {
  const platform = judgePlatform(evidence, context)
  const sources = judgeSources(evidence.events, context.reference)
  const components = [platform, ...sources, ...judgeBoot(evidence.platform)]
  const authority = [
    finding("pin.none", "pins", "no approved pin", "pins approved by the owners of weights, runtime and key"),
  ]
  const all = [...components.flatMap(each => each.findings), ...nothingMeasured(evidence.events), ...authority]
  return { tier: overall(all, components), components, findings: all }
}

/** No measurement at all differs from no reference, and is no match with one either. */
const nothingMeasured = (events: readonly LogEvent[]): Finding[] =>
  events.some(isMeasurement) ? [] : [finding("measurement.none", "log", "no measurement", "what this machine runs")]

function judgePlatform(evidence: VerifiedEvidence, { endorsement, findings: given }: Context): Component {
  const found = [...evidence.findings, ...given, ...unaudited(evidence), ...unendorsed(endorsement)]
  const says = endorsement.kind === "unendorsed" ? "no maker's root" : `EK ${spoken(endorsement)}`
  return { name: "tpm", tier: tierOf(found, "affirming"), says, findings: found }
}

/** Without command audit, continuity protects only what was seen; the result says so (M1). */
const unaudited = ({ audit }: VerifiedEvidence): Finding[] =>
  audit === "unavailable"
    ? [finding("audit.unavailable", "audit", "unavailable", "command audit of TPM2_PCR_Reset, and of nothing else")]
    : []

function unendorsed(endorsement: Endorsement): Finding[] {
  if (endorsement.kind === "accepted" || endorsement.kind === "endorsed") return []
  const seen =
    endorsement.kind === "unendorsed" ? "an EK that nobody vouches for" : `an EK certificate that ${endorsement.why}`
  return [finding("root.unendorsed", "tpm", seen, "a TPM maker's root")]
}

/** Every event is appraised, never only the last of its kind: what once differed stays a finding for the epoch of the log. */
function judgeSources(events: readonly LogEvent[], reference: Reference | "none recorded"): Component[] {
  const measured = Map.groupBy(events.filter(isMeasurement), sourceOf)
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
  const found = [
    ...unreadable(present),
    ...contradictions(measured),
    ...missing(present, recorded),
    ...measured.flatMap(each => judgeMeasurement(each, wanted)),
  ]
  const distinct = [...new Map(found.map(each => [JSON.stringify(each), each])).values()]
  const says = distinct.length === 0 ? "as recorded, approved by nobody" : "not as recorded"
  return { name, tier: tierOf(distinct, "warning"), says, findings: distinct }
}

const unreadable = (present: readonly Measurement[]): Finding[] =>
  present
    .filter(each => each.state === "unreadable")
    .map(each => finding("source.unreadable", keyOfMeasurement(each), "unreadable", "readable"))

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
  return tier === "affirming" && components.some(each => each.tier !== "affirming") ? "warning" : tier
}
