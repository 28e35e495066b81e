/**
 * What does verifying cost, beside the two signatures that it cannot do without? One row is those alone (P-256 and Ed25519 by
 * node:crypto), one a machine that is known, of which only new bytes come, one a machine that shows its whole boot. The rows take
 * turns in one process; CPU time is counted.
 */
import { appraise } from "../../attestation/appraise/appraise.ts"
import { nothingProven, propose } from "../../attestation/pins/reference.ts"
import { bootMeasurements } from "../../attestation/verify/boot-lines.ts"
import { firstTime } from "../../attestation/verify/boot-logs.ts"
import { filesOf } from "../../attestation/verify/ima-files.ts"
import { type VerifiedEvidence, verify, verifyAgain } from "../../attestation/verify/verify.ts"
import { type Figure, figure, median } from "./statistics.ts"
import { table } from "./table.ts"
import type { Verdict } from "./targets.ts"
import { BenchedMachine, bootValues, firmwareLog, imaEntry, imaLog, imaValue } from "./verify-material.ts"
import { randomBytes } from "node:crypto"

/** Rounds, and the CPU seconds of one sample. */
export type VerifyExtent = {
  readonly rounds: number
  readonly seconds: number
  readonly entries: number
  readonly large: number
}

export type VerifyReport = {
  readonly rows: readonly { readonly says: string; readonly perSecond: Figure }[]
  readonly verdicts: readonly Verdict[]
  /** one pass over a log of very many entries: CPU seconds, and the most megabytes that the process held */
  readonly large: {
    readonly entries: number
    readonly bytes: number
    readonly seconds: number
    readonly again: number
    readonly megabytes: number
  }
}

type Row = { readonly id: string; readonly says: string; readonly once: () => boolean }

/** Our log in these rows: as many records as a workstation with one runtime has. */
const records = 40

const authentic = (outcome: ReturnType<typeof verify>): VerifiedEvidence => {
  if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
  const wrong = outcome.evidence.platform.findings.filter(({ id }) => id !== "firmware.unrecognised")
  if (wrong.length > 0) throw new Error(JSON.stringify(wrong))
  return outcome.evidence
}

function rowsOf(entries: number): readonly Row[] {
  const machine = new BenchedMachine(records)
  const firmware = firmwareLog()
  const values = bootValues(firmware)
  const ima = imaLog(entries, values)
  const quoted = new Map([...values, [10, imaValue(ima)]])
  const { evidence, expected } = machine.attest(
    new Map([
      ["firmware", firmware],
      ["ima", ima],
    ]),
    quoted,
  )
  const first = authentic(verify(evidence, expected))
  const { remembered, boot, files } = first.platform
  const more = Array.from({ length: 4 }, (_, i) => imaEntry(`/usr/bin/new${i}`, randomBytes(32)))
  const grown = new Uint8Array(Buffer.concat([ima, ...more]))
  const later = machine.attest(
    new Map([
      ["firmware", firmware],
      ["ima", grown],
    ]),
    new Map([...values, [10, imaValue(new Uint8Array(Buffer.concat(more)), imaValue(ima))]]),
  )
  const own = new Map([["assay", evidence.logs.get("assay") ?? new Uint8Array(0)]])
  const same = { ...firstTime, remembered }
  const tail = { ...same, tail: { offset: ima.length, bytes: grown.subarray(ima.length) } }
  const [known, knownLater] = [
    { ...evidence, logs: own },
    { ...later.evidence, logs: own },
  ]
  const reference = propose(expected.keys.attester, first.digest, first.events, "bench", first.body.made, {
    ...nothingProven,
    boot: typeof boot === "string" ? [] : bootMeasurements(boot),
    files: filesOf(files).map(([path, digest]) => [path, digest]),
  })
  const context = { reference, approvals: "ungoverned", endorsement: { kind: "unendorsed" }, findings: [] } as const
  return [
    { id: "bare", says: "P-256 and Ed25519 alone", once: machine.bare() },
    { id: "known", says: "known machine, nothing new", once: () => verifyAgain(known, expected, same).authentic },
    {
      id: "suffix",
      says: "known machine, 4 new IMA entries",
      once: () => verifyAgain(knownLater, later.expected, tail).authentic,
    },
    {
      id: "full",
      says: `unknown machine, firmware log and ${entries} IMA entries`,
      once: () => verify(evidence, expected).authentic,
    },
    {
      id: "appraised",
      says: "the same, and compared with a reference",
      once: () => appraise(authentic(verify(evidence, expected)), context).tier !== "contraindicated",
    },
  ]
}

/** Evidences per CPU-second of one row, over at least `seconds`. */
function sample({ says, once }: Row, seconds: number): number {
  const start = process.cpuUsage()
  for (let done = 0; ; ) {
    for (let i = 0; i < 8; i++, done++) if (!once()) throw new Error(`${says}: refused`)
    const { user, system } = process.cpuUsage(start)
    if (user + system >= seconds * 1e6) return done / ((user + system) / 1e6)
  }
}

/** Measures, goals included. Throws where evidence is refused: what is not verified is not timed. */
export function measureVerification({ rounds, seconds, entries, large }: VerifyExtent): VerifyReport {
  const rows = rowsOf(entries)
  for (const row of rows) sample(row, seconds)
  const samples = Array.from({ length: rounds }, (_, round) => {
    const turn = rows.map((_, i) => rows[(i + round) % rows.length] ?? rows[0]!)
    return new Map(turn.map(row => [row.id, sample(row, seconds)]))
  })
  const of = (id: string): number[] => samples.map(each => each.get(id) ?? Number.NaN)
  const dearer = (id: string): Figure => figure(samples.map(each => (each.get("bare") ?? 0) / (each.get(id) ?? 1)))
  const goal = (id: string, says: string, most: number): Verdict => {
    const seen = dearer(id)
    return { id: `verify ${id}/bare`, says, seen, unit: "×", wanted: { atMost: most }, met: seen.median <= most }
  }
  return {
    rows: rows.map(({ id, says }) => ({ says, perSecond: figure(of(id)) })),
    verdicts: [
      goal("known", "cost of a known machine, nothing new / both signatures", 2.5),
      goal("suffix", "cost of a known machine, 4 new IMA entries / both signatures", 2.5),
      goal("full", "cost of firmware log and 800 IMA entries in full / both signatures", 15),
    ],
    large: largeLog(large),
  }
}

function largeLog(entries: number): VerifyReport["large"] {
  const machine = new BenchedMachine(records)
  const firmware = firmwareLog()
  const values = bootValues(firmware)
  const ima = imaLog(entries, values)
  const { evidence, expected } = machine.attest(
    new Map([
      ["firmware", firmware],
      ["ima", ima],
    ]),
    new Map([...values, [10, imaValue(ima)]]),
  )
  const cpu = (work: () => unknown): number => {
    const start = process.cpuUsage()
    work()
    const { user, system } = process.cpuUsage(start)
    return (user + system) / 1e6
  }
  let first: VerifiedEvidence | undefined
  const seconds = cpu(() => (first = authentic(verify(evidence, expected))))
  const remembered = first?.platform.remembered ?? "nothing"
  const known = { ...evidence, logs: new Map([["assay", evidence.logs.get("assay") ?? new Uint8Array(0)]]) }
  const again = median(
    Array.from({ length: 9 }, () => cpu(() => authentic(verifyAgain(known, expected, { ...firstTime, remembered })))),
  )
  const megabytes = process.resourceUsage().maxRSS / 1000
  return { entries, bytes: ima.length, seconds, again, megabytes }
}

export function verificationText({ rows, large }: VerifyReport): string {
  const number = (each: number): string => each.toFixed(0)
  const heads = ["evidence verified, one thread", "per CPU-second", ""]
  const lines = rows.map(({ says, perSecond: { median: middle, low, high } }) => [
    says,
    number(middle),
    `[${number(low)} – ${number(high)}]`,
  ])
  const { entries, bytes, seconds, again, megabytes } = large
  const told =
    `an IMA log of ${entries} entries, ${(bytes / 1e6).toFixed(0)} MB: ${seconds.toFixed(1)} s of CPU time in full and ` +
    `a process of at most ${megabytes.toFixed(0)} MB, then ${(again * 1e3).toFixed(1)} ms where nothing is new\n`
  return `\n${table([heads, ...lines])}${told}`
}
