/**
 * What is in force at a moment? Of each origin the newest note that is effective; what was before it, inside its window only; and
 * what is approved and not effective yet. And what the pinned digests stand for, where somebody kept it.
 */
import type { Measurement } from "../protocol/event.ts"
import type { Governance, PinEntry } from "./lineage.ts"
import { digestOf } from "./pin.ts"
import { measurementsOf, provenOf, type Reference } from "./reference.ts"

/** The entries of one origin, as they count at one moment. */
export type InForce = {
  readonly current: PinEntry
  /** what was in force before, while it is admitted */
  readonly previous: PinEntry | null
  readonly expired: boolean
  /** all that was ever in force, oldest first; `current` is the last */
  readonly history: readonly PinEntry[]
}

/** What is in force at `now` (ms since 1970), of each origin that has something. */
export function inForce({ lineages }: Governance, now: number): InForce[] {
  return [...lineages.values()].flatMap(entries => {
    const history = entries.filter(each => each.terms.effective <= now)
    const current = history.at(-1)
    if (!current) return []
    const { admitsPreviousUntil, expires } = current.terms
    const previous = admitsPreviousUntil !== null && now < admitsPreviousUntil ? (history.at(-2) ?? null) : null
    return [{ current, previous, expired: now >= expires, history }]
  })
}

/** What is approved and becomes effective after `now`, soonest first. */
export const approvedAhead = ({ lineages }: Governance, now: number): PinEntry[] =>
  [...lineages.values()]
    .flat()
    .filter(each => each.terms.effective > now)
    .toSorted((a, b) => a.terms.effective - b.terms.effective)

/** What a reference says of the boot. */
export function bootOf(reference: Reference): readonly Measurement[] {
  const proven = provenOf(reference)
  return proven === "nothing recorded" ? [] : proven.boot
}

/**
 * Pinned digest → what was measured when it was proposed. It only serves to say what differs: a digest is compared by itself, and
 * of all but weights the measurement must make that digest.
 */
export type Material = ReadonlyMap<string, Measurement>

/** The material in what was recorded of machines, for pins with any of `entries`' exceptions. */
export function materialOf(references: readonly Reference[], entries: readonly PinEntry[]): Material {
  const exceptions = [[], ...entries.map(({ pin }) => pin.except)]
  const distinct = [...new Map(exceptions.map(each => [JSON.stringify(each), each])).values()]
  const measured = references.flatMap(each => [...measurementsOf(each), ...bootOf(each)])
  return new Map(measured.flatMap(each => distinct.map(except => [digestOf(each, except), each] as const)))
}
