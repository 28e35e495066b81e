/** How do findings fit into a message? The gravest first, as many and as long as its limit holds. */
import { type Effect, type Finding, findings } from "../attestation/verify/finding.ts"
import { plainLine } from "../attestation/wire/text.ts"

const gravity: Readonly<Record<Effect, number>> = { refuses: 0, contraindicates: 1, warns: 2, notes: 3 }

/** The most findings, and characters in each text: tried in turn, until all fits. */
const steps = [
  [64, 4096],
  [64, 256],
  [32, 64],
] as const

/** The most bytes of JSON, so that a message stays below its limit. */
const limit = 48_000

/** As many of `found` as a message holds. */
export function shortFindings(found: readonly Finding[]): Finding[] {
  const gravest = found.toSorted((a, b) => gravity[findings[a.id].effect] - gravity[findings[b.id].effect])
  const cut = steps.map(([most, characters]) => gravest.slice(0, most).map(each => shorter(each, characters)))
  return cut.find(each => Buffer.byteLength(JSON.stringify(each), "utf8") <= limit) ?? gravest.slice(0, 1)
}

const shorter = ({ id, component, seen, wanted }: Finding, characters: number): Finding => ({
  id,
  component: plainLine(component, Math.min(characters, 1200)),
  seen: plainLine(seen, characters),
  wanted: plainLine(wanted, characters),
})
