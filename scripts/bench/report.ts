/** What is told of a run: everything to scripts, as JSON; to people, tables. */
import type { Machine } from "./machine.ts"
import type { Measured } from "./measure.ts"
import type { measureRevectorized } from "./revectorize.ts"
import { overProcesses, rate, wallRate } from "./statistics.ts"
import { machineText, rateTable, verdictTable } from "./table.ts"
import type { Verdict } from "./targets.ts"
import { type VerifyReport, verificationText } from "./verify.ts"

/** One run. `bytes`: of the file and of the shards together. `failures`: of the command, why something was not measured. */
export type Report = {
  readonly date: string
  readonly machine: Machine
  readonly bytes: number
  readonly memory: readonly Measured[]
  readonly files: readonly Measured[]
  readonly verdicts: readonly Verdict[]
  readonly failures: readonly string[]
  readonly verification: VerifyReport
  readonly revectorized: "not asked for" | Awaited<ReturnType<typeof measureRevectorized>>
}

/** Tables, 120 columns wide at most. */
export function reportText(report: Report): string {
  const { date, machine, bytes, memory, files, verdicts, failures, verification } = report
  return [
    machineText(machine, date),
    rateTable("in memory, 1 MiB", memory),
    rateTable(`from ${bytes >> 20} MiB of files, read included`, files),
    verificationText(verification),
    verdictTable("goals", [...verdicts, ...verification.verdicts]),
    ...failures.map(each => `not measured: ${each}\n`),
    revectorizedText(report),
  ].join("")
}

function revectorizedText({ revectorized }: Report): string {
  if (revectorized === "not asked for") return ""
  const { version, measured, verdicts } = revectorized
  const title = `Node.js ${version} --experimental-wasm-revectorize`
  return rateTable(title, measured) + verdictTable("with it", verdicts)
}

/** One line. Rates in bytes per second: of CPU time, and on the wall. Samples as they were taken. */
export function reportJson({ memory, files, revectorized, ...rest }: Report): string {
  const wide =
    revectorized === "not asked for" ? null : { ...revectorized, measured: revectorized.measured.map(rowJson) }
  return `${JSON.stringify({ ...rest, memory: memory.map(rowJson), files: files.map(rowJson), revectorized: wide })}\n`
}

function rowJson({ row, samples, failure }: Measured): object {
  const { id, says, place } = row
  if (samples.length === 0) return { id, says, place, failure }
  return { id, says, place, rate: overProcesses(samples, rate), wall: overProcesses(samples, wallRate), samples }
}
