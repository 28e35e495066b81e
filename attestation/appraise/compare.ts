/** How does a measurement differ from the recorded one? Fact by fact, so that a finding names the file, not a hash of all. */
import type { Fact, Measurement } from "../protocol/event.ts"
import { keyOfMeasurement } from "../pins/reference.ts"
import { type Finding, finding } from "../verify/finding.ts"

/**
 * Sources of what comes and goes: processes, what they have loaded, and what was hashed before they were started. That something recorded does not run now is no
 * difference; that something runs which is not recorded, or is not as recorded, is one.
 */
const passing: ReadonlySet<string> = new Set(["loaded", "run"])

export const comesAndGoes = ({ source }: Pick<Measurement, "source">): boolean => passing.has(source)

/** The differences of one measurement from what was recorded of the same source and subject. */
export function differences(measured: Measurement, recorded: Measurement): Finding[] {
  if (!comesAndGoes(measured)) return allDifferences(measured, recorded)
  const there = measured.state === "absent" ? [] : allDifferences(measured, recorded)
  return there.filter(each => each.id !== "reference.missing")
}

function allDifferences(measured: Measurement, recorded: Measurement): Finding[] {
  const component = keyOfMeasurement(measured)
  if (measured.state !== recorded.state)
    return [finding("reference.differs", component, measured.state, recorded.state)]
  const seen = byName(measured.facts)
  const wanted = byName(recorded.facts)
  return [...new Set([...wanted.keys(), ...seen.keys()])].flatMap(name =>
    compare(`${component}: ${name}`, seen.get(name) ?? [], wanted.get(name) ?? []),
  )
}

/** What sources told of two that speak of the same thing and disagree: fact by fact, whatever was recorded. */
export const contradictions = (measured: readonly Measurement[]): Finding[] =>
  measured.flatMap(each =>
    each.facts
      .filter(([name]) => name === "contradiction")
      .map(([, value]) => finding("source.contradiction", keyOfMeasurement(each), value, "one answer")),
  )

/** `words` for what differs in nothing, and is a finding all the same. */
export const inPart = (words: string, found: readonly Finding[]): string =>
  found.some(({ id }) => id === "source.contradiction")
    ? `${words}, and contradicts itself`
    : `${words} where it can be read`

function byName(facts: readonly Fact[]): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>()
  for (const [name, value] of facts) values.set(name, [...(values.get(name) ?? []), value])
  return values
}

/** Values of one name are compared with their number and order: a fact twice is not a fact once, and a swap is a change. */
function compare(component: string, seen: readonly string[], wanted: readonly string[]): Finding[] {
  const gone = without(wanted, seen)
  const come = without(seen, wanted)
  const changed = Math.min(gone.length, come.length)
  if (gone.length + come.length === 0 && seen.some((value, i) => value !== wanted[i]))
    return [finding("reference.differs", component, seen.join(", "), wanted.join(", "))]
  return [
    ...gone.slice(0, changed).map((value, i) => finding("reference.differs", component, come[i] ?? "", value)),
    ...gone.slice(changed).map(value => finding("reference.missing", component, "nothing", value)),
    ...come.slice(changed).map(value => finding("reference.unlisted", component, value, "nothing")),
  ]
}

/** What of `values` is left when each of `others` takes one equal away. */
function without(values: readonly string[], others: readonly string[]): string[] {
  const count = new Map<string, number>()
  for (const other of others) count.set(other, (count.get(other) ?? 0) + 1)
  return values.filter(value => {
    const left = count.get(value) ?? 0
    count.set(value, left - 1)
    return left <= 0
  })
}
