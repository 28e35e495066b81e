/**
 * What ran when, and who stood behind it? Computed from evidence and results alone, so that whoever has the folder computes the same.
 * Spans of what was the same; holes where nobody answered for longer than an answer counts.
 */
import type { Result } from "../../attestation/appraise/result.ts"
import { digestOf } from "../../attestation/pins/pin.ts"
import { newestMeasurements } from "../../attestation/pins/reference.ts"
import type { LogEvent, Measurement } from "../../attestation/protocol/event.ts"

/** What an audit is asked: a model by the name that it is measured under, and a time. Milliseconds since 1970. */
export type Question = {
  readonly model: string
  readonly from: number
  readonly to: number
  /** for how long an answer counts */
  readonly stale: number
}

/** Evidence with what was concluded from it, read and verified elsewhere. */
export type Piece = {
  readonly evidence: string
  readonly attester: string
  readonly events: readonly LogEvent[]
  readonly result: Result
}

/** The parts that a span is told by. */
export const parts = ["weights", "runtime", "driver", "cuda", "kernel"] as const
export type Part = (typeof parts)[number]

/** What one measurement of a part says; `version`: what it calls itself, where it says so. */
export type Run = {
  readonly part: Part
  readonly subject: string
  readonly version: string | null
  readonly digest: string
}

export type Span = {
  readonly attester: string
  readonly from: string
  readonly to: string
  readonly pieces: number
  readonly tier: Result["tier"]
  readonly runs: readonly Run[]
  readonly authority: Result["authority"]
  readonly pin: Result["pin"]
  readonly reference: string | null
  /** finding ids that hold it down */
  readonly findings: readonly string[]
  /** the first and the last evidence */
  readonly evidence: readonly [string, string]
}
export type Hole = { readonly attester: string; readonly from: string; readonly to: string }
export type Summary = {
  readonly question: {
    readonly model: string
    readonly from: string
    readonly to: string
    readonly staleSeconds: number
  }
  readonly attesters: readonly string[]
  readonly pieces: number
  readonly spans: readonly Span[]
  readonly holes: readonly Hole[]
}

const instantOf = (time: number): string => new Date(time).toISOString()

/** Whether the log says that this model was there. */
export const measures = (events: readonly LogEvent[], model: string): boolean =>
  newestMeasurements(events).some(
    each => each.source === "weights" && each.subject === model && each.state === "present",
  )

/** The summary of the pieces of an audit, in whatever order they come. */
export function summarise({ model, from, to, stale }: Question, pieces: readonly Piece[]): Summary {
  const ordered = pieces.toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
  const attesters = [...new Set(ordered.map(each => each.attester))].toSorted()
  const own = attesters.map(name => ordered.filter(each => each.attester === name))
  return {
    question: { model, from: instantOf(from), to: instantOf(to), staleSeconds: stale / 1000 },
    attesters,
    pieces: pieces.length,
    spans: own.flatMap(each => spansOf(each, model)),
    holes: own.flatMap(each => holesOf(each, from, to, stale)),
  }
}

const order = ({ evidence, result }: Piece): string => `${result.received} ${evidence}`

function spansOf(pieces: readonly Piece[], model: string): Span[] {
  const spans: Span[] = []
  for (const piece of pieces) {
    const next = spanOf(piece, model)
    const last = spans.at(-1)
    if (last && same(last, next))
      spans.splice(-1, 1, {
        ...last,
        to: next.to,
        pieces: last.pieces + 1,
        evidence: [last.evidence[0], piece.evidence],
      })
    else spans.push(next)
  }
  return spans
}

function spanOf({ attester, evidence, events, result }: Piece, model: string): Span {
  const { received, tier, authority, pin, reference, findings } = result
  const at = { attester, from: received, to: received, pieces: 1, tier }
  const held = [...new Set(findings.map(each => each.id))].toSorted()
  return {
    ...at,
    runs: runsOf(events, model),
    authority,
    pin,
    reference,
    findings: held,
    evidence: [evidence, evidence],
  }
}

const same = (a: Span, b: Span): boolean => {
  const key = ({ tier, runs, authority, pin, reference, findings }: Span): string =>
    JSON.stringify([tier, runs, authority, pin, reference, findings])
  return key(a) === key(b)
}

function runsOf(events: readonly LogEvent[], model: string): Span["runs"] {
  const isPart = ({ source, subject }: Measurement, part: Part): boolean =>
    source === part && (part !== "weights" || subject === model)
  const newest = newestMeasurements(events)
  return parts.flatMap(part =>
    newest
      .filter(each => isPart(each, part) && each.state === "present")
      .map(each => ({ part, subject: each.subject, version: versionOf(each), digest: digestOf(each, []) })),
  )
}

/** An answer counts from when it was asked for; reports do not count. */
function holesOf(pieces: readonly Piece[], from: number, to: number, stale: number): Hole[] {
  const asked = pieces.flatMap(({ result }) => (result.asked === null ? [] : [Date.parse(result.asked)]))
  const attester = pieces[0]?.attester ?? ""
  const holes: Hole[] = []
  let covered = from
  for (const at of [...asked.toSorted((a, b) => a - b), to]) {
    if (at > covered && Math.min(at, to) > covered)
      holes.push({ attester, from: instantOf(covered), to: instantOf(Math.min(at, to)) })
    covered = Math.max(covered, at === to ? to : at + stale)
  }
  return holes
}

const telling = ["version", "/proc/sys/kernel/osrelease"]

const versionOf = ({ facts }: Measurement): string | null =>
  facts.find(([name]) => telling.includes(name))?.[1].trim() ?? null
