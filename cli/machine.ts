/**
 * How is a measurement shown to a person? As a table of component, fact, value and where it comes from; what was looked for and is
 * not there is counted, or told where all is asked for. What is measured: agent/sources.
 */
import { basename } from "node:path"
import { originOf } from "../agent/origin.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import { type Look, type Output, plain, wrapped } from "./terminal.ts"

/** One fact as a row: what a script reads, too. */
export type FactRow = {
  readonly component: string
  readonly fact: string
  readonly value: string
  readonly source: string
}

const longestValue = 60
const longestSource = 120
/** Two spaces before each column. */
const margins = 6

/** Every fact of these measurements, in their order. */
export const factRows = (measurements: readonly Measurement[]): FactRow[] =>
  measurements.flatMap(each =>
    each.facts.map(([fact, value]) => ({
      component: `${each.source} ${each.subject}`.trimEnd(),
      fact,
      value,
      source: originOf(each, [fact, value]),
    })),
  )

/** The table. `absent`: whether each thing that is not there has a row of its own. */
export function writeMachine(out: Output, rows: readonly FactRow[], absent: "counted" | "told"): void {
  const told = (absent === "told" ? rows : counted(rows)).map(row => ({ ...row, fact: nameOf(row) }))
  const { facts, values, sources } = columnsOf(out, told)
  let component = ""
  for (const row of told) {
    if (row.component !== component) out.write(`${out.style("strong", plain(row.component, 120))}\n`)
    component = row.component
    const name = short(row.fact, facts).padEnd(facts)
    const whole = short(row.value, 4096)
    if (out.watched && whole.length > values && isWhole(row)) {
      const lines = wrapped(whole, Math.max(values, out.width - facts - margins + 2), facts + 4)
      out.write(`  ${name}  ${out.style(lookOf(row.fact), lines)}\n`)
      continue
    }
    const value = out.style(lookOf(row.fact), short(row.value, values).padEnd(values))
    const source = out.style("faint", ending(plain(row.source, longestSource), sources))
    out.write(`  ${name}  ${value}  ${source}\n`.replace(/ +\n$/, "\n"))
  }
}

type Columns = Readonly<Record<"facts" | "values" | "sources", number>>

/** As wide as what they hold; where a person watches, no line is longer than the terminal's. */
function columnsOf(out: Output, rows: readonly FactRow[]): Columns {
  const width = (column: "fact" | "value", most: number): number =>
    Math.min(most, Math.max(...rows.map(row => short(row[column], most).length)))
  if (!out.watched) return { facts: width("fact", 40), values: width("value", longestValue), sources: longestSource }
  const facts = width("fact", Math.min(40, Math.floor(out.width * 0.35)))
  const sources = Math.min(Math.max(...rows.map(({ source }) => source.length)), Math.floor(out.width * 0.3))
  return { facts, values: width("value", Math.max(out.width - facts - sources - margins, 8)), sources }
}

/** What is wrong names its places itself, and a count has none: a person who watches reads all of it. */
const isWhole = ({ fact, source }: FactRow): boolean =>
  fact === "contradiction" || fact === "unreadable" || source === ""

/** The end of a path tells more than its beginning. */
const ending = (text: string, most: number): string => (text.length <= most ? text : `…${text.slice(1 - most)}`)

/** A file that is a fact of its own stands with its path in the last column. */
const nameOf = ({ fact, source }: FactRow): string => (fact === source ? basename(fact) : fact)

const lookOf = (fact: string): Look =>
  fact === "contradiction" ? "bad" : fact === "unreadable" ? "doubtful" : "strong"

/** The beginning of a long value: of a digest enough to tell it from another. */
function short(text: string, most: number): string {
  const shown = plain(text.replaceAll(/\b((?:sha256|verity):[0-9a-f]{12})[0-9a-f]{52}\b/g, "$1…"), 4096)
  return shown.length <= most ? shown : `${shown.slice(0, most - 1)}…`
}

/** What is absent of a component as one row behind its others. */
function counted(rows: readonly FactRow[]): FactRow[] {
  const components = Map.groupBy(rows, ({ component }) => component)
  return [...components].flatMap(([component, facts]) => {
    const gone = facts.filter(({ fact }) => fact === "absent")
    const there = facts.filter(({ fact }) => fact !== "absent")
    if (gone.length <= 1) return facts
    const what = `${gone.length} things that were looked for (--all names them)`
    return [...there, { component, fact: "absent", value: what, source: "" }]
  })
}
