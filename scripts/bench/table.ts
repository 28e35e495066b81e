/** How do people read the figures? Tables in text, 120 columns wide at most. */
import type { Machine } from "./machine.ts"
import type { Measured } from "./measure.ts"
import { type Figure, overProcesses, rate, wallRate } from "./statistics.ts"
import type { Verdict } from "./targets.ts"

const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(0)

/** Rows of cells as lines; the first column is aligned left, the others right. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map(row => (row[column] ?? "").length)))
  const cell = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0)
  return rows.map(row => `${row.map(cell).join("  ").trimEnd()}\n`).join("")
}

export function machineText(machine: Machine, date: string): string {
  const sha = machine.shaInstructions ? "with SHA instructions" : "without SHA instructions"
  const masked = machine.maskWorks ? "OPENSSL_ia32cap masks them" : "OPENSSL_ia32cap has no effect: no row is masked"
  return [
    `${date}, ${machine.cpu}, ${machine.cores} cores, ${sha}; ${masked}`,
    `Node.js ${machine.node} with OpenSSL ${machine.nodeOpenssl}; ${machine.openssl}; Linux ${machine.kernel}`,
    `load before the run ${machine.load.toFixed(1)}; MB are 10^6 bytes; quartiles in brackets`,
    "",
  ].join("\n")
}

/** Rates per CPU-second, median and quartiles, and on the wall. */
export function rateTable(title: string, measured: readonly Measured[]): string {
  const heads = [title, "MB per CPU-second", "", "MB/s on the wall"]
  return `\n${table([heads, ...measured.map(rateRow)])}`
}

function rateRow({ row, samples, failure }: Measured): readonly string[] {
  if (samples.length === 0) return [row.says, `not measured: ${failure}`, "", ""]
  const { median, low, high } = overProcesses(samples, rate)
  const spread = `[${megabytes(low)} – ${megabytes(high)}]`
  return [row.says, megabytes(median), spread, megabytes(overProcesses(samples, wallRate).median)]
}

export function verdictTable(title: string, verdicts: readonly Verdict[]): string {
  return `\n${table([[title, "seen", "", "wanted", ""], ...verdicts.map(verdictRow)])}`
}

function verdictRow({ says, seen, unit, wanted, met }: Verdict): readonly string[] {
  const digits = unit === "×" ? 2 : 0
  const text = (number: number): string => number.toFixed(digits)
  const shown = `${text(seen.median)}${unit === "×" ? "" : ` ${unit}`}`
  return [
    says,
    shown,
    spreadText(seen, text),
    wantedText(wanted, text),
    wanted === "nothing" ? "" : met ? "met" : "MISSED",
  ]
}

const spreadText = ({ low, high }: Figure, text: (number: number) => string): string => `[${text(low)} – ${text(high)}]`

function wantedText(wanted: Verdict["wanted"], text: (number: number) => string): string {
  if (wanted === "nothing") return "–"
  return "atLeast" in wanted ? `≥ ${text(wanted.atLeast)}` : `≤ ${text(wanted.atMost)}`
}
