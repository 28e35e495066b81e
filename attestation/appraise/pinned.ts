/**
 * Does what was measured fit what is approved? Each measurement by its digest against the pin in force, and inside its window
 * against the one before. What a log showed earlier and was approved then is told, in the order in which it was approved only.
 */
import type { InForce, Material } from "../pins/force.ts"
import type { PinEntry } from "../pins/lineage.ts"
import { digestOf, keyOfLine, type Pin, type PinLine, withoutExcepted } from "../pins/pin.ts"
import { keyOfMeasurement, newestMeasurements } from "../pins/reference.ts"
import type { Measurement } from "../protocol/event.ts"
import { type Finding, finding, findings } from "../verify/finding.ts"
import { comesAndGoes, contradictions, differences, inPart } from "./compare.ts"
import { type Component, tierOf, unreadable } from "./component.ts"

/** What is measured, judged by what is in force of one origin: a component for each source. */
export function judgePinned(measured: readonly Measurement[], force: InForce, material: Material): Component[] {
  const sources = Map.groupBy(measured, each => each.source)
  const pinned = admitted(force).flatMap(({ pin }) => pin.lines.map(({ kind }) => kind))
  const names = [...new Set([...sources.keys(), ...pinned])]
  return names.map(name => judgeSource(name, sources.get(name) ?? [], force, material))
}

/** Components of another origin than our log; what the pin in force ignores of them is told, and only what misleads still counts. */
export const ignoring = (components: readonly Component[], force: InForce | undefined): Component[] =>
  components.map(each => {
    const { pin, terms } = force?.current ?? {}
    if (!force || !pin?.ignore.some(({ kind, subject }) => kind === each.name && subject === null)) return each
    const kept = each.findings.filter(({ id }) => findings[id].effect === "contraindicates" && !compared.test(id))
    const says = `not judged: version ${pin.version} of ${terms?.origin} ignores it`
    const found = [...kept, ...ignoredOf(each.name, true, force)]
    return { name: each.name, tier: tierOf(found, "none"), says, findings: found }
  })

/** Findings of a comparison with what was recorded, which the pin takes the place of. */
const compared = /^(?:boot|files|reference)\./

/** The entries of which each line is admitted now. */
const admitted = ({ current, previous }: InForce): PinEntry[] => (previous ? [current, previous] : [current])

function judgeSource(name: string, own: readonly Measurement[], force: InForce, material: Material): Component {
  const { pin, terms } = force.current
  const judged = own.filter(each => !ignores(pin, each.source, each.subject))
  const left = ignoredOf(name, own.length > judged.length, force)
  if (pin.ignore.some(({ kind, subject }) => kind === name && subject === null))
    return {
      name,
      tier: "none",
      says: `not judged: version ${pin.version} of ${terms.origin} ignores it`,
      findings: left,
    }
  const present = newestMeasurements(judged)
  const differing = [
    ...missing(name, present, force),
    ...newestFindings(present, force, material),
    ...earlierFindings(judged, present, force, material),
  ]
  const found = [...unreadable(present), ...contradictions(judged), ...differing, ...left]
  const distinct = [...new Map(found.map(each => [JSON.stringify(each), each])).values()]
  const tier = tierOf(distinct, "affirming")
  const says = tier === "affirming" ? asPinned(present, force) : inPart("as pinned", distinct)
  return { name, tier, says: differing.length > 0 && tier !== "affirming" ? "not as pinned" : says, findings: distinct }
}

const ignores = ({ ignore }: Pin, source: string, own: string): boolean =>
  ignore.some(({ kind, subject }) => kind === source && (subject === null || subject === own))

/** What is not judged is told, and never reads as a pass. */
function ignoredOf(name: string, any: boolean, { current: { pin } }: InForce): Finding[] {
  const own = pin.ignore.filter(({ kind }) => kind === name)
  if (own.length === 0 && !any) return []
  return own.map(({ subject }) =>
    finding(
      "pin.ignored",
      subject === null ? name : `${name} ${subject}`,
      "not judged",
      `version ${pin.version} says so`,
    ),
  )
}

const asPinned = (present: readonly Measurement[], { current, previous }: InForce): string => {
  const before = previous && present.some(each => !fits(each, current))
  const version = `as pinned in ${current.terms.origin} ${current.pin.version}`
  return before ? `${version}, or before: ${previous.pin.version} is admitted until its window ends` : version
}

/** Whether a line of this entry is of this measurement and has its digest; or what comes and goes holds nothing else than it. */
const fits = (measured: Measurement, { pin }: PinEntry): boolean => {
  const digest = digestOf(measured, pin.except)
  return pin.lines.some(line => keyOfLine(line) === keyOfMeasurement(measured) && line.digest === digest)
}

function newestFindings(present: readonly Measurement[], force: InForce, material: Material): Finding[] {
  const entries = admitted(force)
  return present.flatMap(each => (entries.some(entry => fits(each, entry)) ? [] : unlike(each, entries, material)))
}

/** Whether nothing was pinned of `measured`, or how it differs from what was. */
function unlike(measured: Measurement, entries: readonly PinEntry[], material: Material): Finding[] {
  const key = keyOfMeasurement(measured)
  const wanted = entries.flatMap(entry =>
    entry.pin.lines.filter(line => keyOfLine(line) === key).map(line => ({ line, entry })),
  )
  if (wanted.length === 0)
    return comesAndGoes(measured) && measured.state === "absent"
      ? []
      : [finding("pin.unlisted", key, measured.state, "nothing")]
  const told = wanted.map(({ line, entry }) => differing(measured, line, entry, material))
  return told.toSorted((a, b) => a.length - b.length)[0] ?? []
}

function differing(measured: Measurement, line: PinLine, { pin }: PinEntry, material: Material): Finding[] {
  const recorded = material.get(line.digest)
  const seen = digestOf(measured, pin.except)
  const whole = finding("pin.differs", keyOfMeasurement(measured), `sha256:${seen}`, `sha256:${line.digest}`)
  if (!recorded || keyOfMeasurement(recorded) !== keyOfMeasurement(measured)) return [whole]
  const told = differences(withoutExcepted(measured, pin.except), withoutExcepted(recorded, pin.except)).map(
    asPinFinding,
  )
  return told.length > 0 || comesAndGoes(measured) ? told : [whole]
}

/** A fact more is a difference too: the digest covers them all. */
const asPinFinding = (each: Finding): Finding => ({
  ...each,
  id: each.id === "reference.missing" ? "pin.missing" : "pin.differs",
})

/** Missing is what every admitted entry pins and nothing shows. */
function missing(name: string, present: readonly Measurement[], force: InForce): Finding[] {
  const there = new Set(present.map(keyOfMeasurement))
  const [wanted = new Map<string, PinLine>(), ...others] = admitted(force).map(({ pin }) => linesOf(name, pin))
  return [...wanted]
    .filter(([key]) => others.every(each => each.has(key)) && !there.has(key))
    .filter(([, { kind, subject }]) => !comesAndGoes({ source: kind }) && !ignores(force.current.pin, kind, subject))
    .map(([key, line]) => finding("pin.missing", key, "nothing", `sha256:${line.digest}`))
}

/** One line of each key. */
const linesOf = (name: string, { lines }: Pin): Map<string, PinLine> =>
  new Map(lines.filter(({ kind }) => kind === name).map(line => [keyOfLine(line), line]))

/**
 * What the log showed before: each state must have been approved, no earlier than the one that it followed. Approved and left
 * behind is told; never approved, or gone back to without a rollback, differs.
 */
function earlierFindings(
  judged: readonly Measurement[],
  present: readonly Measurement[],
  { current, history }: InForce,
  material: Material,
): Finding[] {
  const reached = new Map<string, number>()
  return judged.flatMap(each => {
    const key = keyOfMeasurement(each)
    const from = reached.get(key) ?? 0
    const at = history.findIndex((entry, i) => i >= from && fits(each, entry))
    if (at >= 0) reached.set(key, at)
    if (present.includes(each) || fits(each, current)) return []
    const entry = history[at]
    return entry ? [earlier(key, entry)] : nearest(each, history.slice(from), material)
  })
}

const nearest = (measured: Measurement, entries: readonly PinEntry[], material: Material): Finding[] =>
  entries.map(entry => unlike(measured, [entry], material)).toSorted((a, b) => a.length - b.length)[0] ?? []

const earlier = (key: string, { pin }: PinEntry): Finding =>
  finding("pin.earlier", key, `as in version ${pin.version}, earlier in this epoch`, "what is in force")
