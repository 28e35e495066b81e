/** How does a measurement differ from the recorded one? Fact by fact, so that a finding names the file, not a hash of all. */
import type { Fact, Measurement } from "../protocol/event.ts"
import { keyOfMeasurement } from "../pins/reference.ts"
import { type Finding, finding } from "../verify/finding.ts"

/** The differences of one measurement from what was recorded of the same source and subject. */
export function differences(measured: Measurement, recorded: Measurement): Finding[] {
  const component = keyOfMeasurement(measured)
  if (measured.state !== recorded.state)
    return [finding("reference.differs", component, measured.state, recorded.state)]
  const seen = byName(measured.facts)
  const wanted = byName(recorded.facts)
  return [...new Set([...wanted.keys(), ...seen.keys()])].flatMap(name =>
    compare(`${component}: ${name}`, seen.get(name) ?? [], wanted.get(name) ?? []),
  )
}

function byName(facts: readonly Fact[]): ReadonlyMap<string, readonly string[]> {
  const values = new Map<string, string[]>()
  for (const [name, value] of facts) values.set(name, [...(values.get(name) ?? []), value])
  return values
}

function compare(component: string, seen: readonly string[], wanted: readonly string[]): Finding[] {
  const gone = wanted.filter(value => !seen.includes(value))
  const come = seen.filter(value => !wanted.includes(value))
  const changed = Math.min(gone.length, come.length)
  return [
    ...gone.slice(0, changed).map((value, i) => finding("reference.differs", component, come[i] ?? "", value)),
    ...gone.slice(changed).map(value => finding("reference.missing", component, "nothing", value)),
    ...come.slice(changed).map(value => finding("reference.unlisted", component, value, "nothing")),
  ]
}
