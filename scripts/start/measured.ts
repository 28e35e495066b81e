/** What was measured, in few lines? A line a source with what it found and what is not there; all facts: `assay show`. */
import { newestMeasurements } from "../../attestation/pins/reference.ts"
import type { Measurement } from "../../attestation/protocol/event.ts"
import { readEvent } from "../../attestation/protocol/event.ts"
import { readCel } from "../../attestation/tcg/cel.ts"
import { type Output, plain, wrapped } from "../../cli/terminal.ts"
import { row } from "../../cli/verdict.ts"

/** What the log says that the machine is now. */
export const measurementsIn = (log: Uint8Array): Measurement[] =>
  newestMeasurements(readCel(log).map(({ content }) => readEvent(content)))

/** A line a source. */
export function writeMeasured(out: Output, measured: readonly Measurement[]): void {
  for (const [source, own] of Map.groupBy(measured, each => each.source))
    row(out, source, wrapped(plain(summary(own), 2000), out.width - 16, 14))
}

function summary(own: readonly Measurement[]): string {
  const present = own.filter(each => each.state === "present").map(titleOf)
  const missing = (["absent", "unreadable"] as const).flatMap(state => {
    const subjects = own.filter(each => each.state === state).map(({ subject }) => subject)
    const words = state === "absent" ? "not there" : "unreadable"
    if (subjects.length === 0) return []
    return [subjects.every(subject => subject === "") ? words : `${words}: ${subjects.join(", ")}`]
  })
  return [present.join(", "), ...missing].filter(part => part !== "").join("; ")
}

/** A subject with the one fact that says most about it. */
function titleOf({ subject, facts }: Measurement): string {
  const telling = ["digest", "version", "/proc/sys/kernel/osrelease", "vendor"]
  const name = telling.find(each => facts.some(([fact]) => fact === each))
  const value = facts.find(([fact]) => fact === name)?.[1]
  const title = subject === "" ? "found" : subject
  return value === undefined ? title : `${title} ${shortened(value)}`
}

const shortened = (value: string): string => value.replace(/^(sha256:[0-9a-f]{12})[0-9a-f]{52}$/, "$1…").trim()
