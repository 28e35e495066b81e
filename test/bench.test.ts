/** Does the bench calculate and tell what it measured, and refuse what was hashed wrong? How fast anything is, is not tested. */
import { execFileSync } from "node:child_process"
import { randomBytes, randomInt } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { type Case, fileCases, kernelCases, shardCases } from "../scripts/bench/cases.ts"
import { limit } from "../scripts/bench/clock.ts"
import { describeMachine, type Machine } from "../scripts/bench/machine.ts"
import { type Bundle, makeBundle, type Material } from "../scripts/bench/material.ts"
import { type Bench, measure, type Measured } from "../scripts/bench/measure.ts"
import { type Report, reportJson, reportText } from "../scripts/bench/report.ts"
import { figure, median, overProcesses, quantile, rate, ratio, type Sample } from "../scripts/bench/statistics.ts"
import { table } from "../scripts/bench/table.ts"
import { goals, judge } from "../scripts/bench/targets.ts"
import { measureVerification } from "../scripts/bench/verify.ts"

const sample = (process: number, round: number, bytes: number, cpu = 1): Sample => ({
  process,
  round,
  bytes,
  cpu,
  wall: 2 * cpu,
  hertz: 4e9,
})
const jq = (program: string, input: string): unknown =>
  JSON.parse(execFileSync("jq", ["-c", program], { input, encoding: "utf8" }))

describe("statistics", () => {
  it("has the quartiles that R gives for 1 to 10 and for four numbers", () => {
    const ten = [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    expect(figure(ten)).toEqual({ median: 5.5, low: 3.25, high: 7.75 })
    expect(figure([1, 2, 4, 8])).toEqual({ median: 3, low: 1.75, high: 5 })
    expect(figure([7])).toEqual({ median: 7, low: 7, high: 7 })
    expect(quantile([], 0.5)).toBeNaN()
  })

  it("has the medians that jq calculates", () => {
    const lists = Array.from({ length: 50 }, (_, i) => Array.from({ length: i + 1 }, () => randomInt(1000)))
    const middle = "map(sort | (.[((length - 1) / 2) | floor] + .[(length / 2) | floor]) / 2)"
    expect(lists.map(median)).toEqual(jq(middle, JSON.stringify(lists)))
  })

  it("takes the median of each process first", () => {
    const samples = [sample(0, 0, 1), sample(0, 1, 2), sample(0, 2, 900), sample(1, 0, 10), sample(2, 0, 30)]
    expect(overProcesses(samples, rate)).toEqual({ median: 10, low: 6, high: 20 })
  })

  it("divides what was measured in the same process and round, and nothing else", () => {
    const of = [sample(0, 0, 30), sample(0, 1, 10), sample(1, 0, 8), sample(2, 0, 1e9)]
    const over = [sample(0, 1, 5), sample(0, 0, 10), sample(1, 0, 2)]
    expect(ratio(of, over).median).toBe(3.25)
  })

  it("counts CPU time for the rate", () => {
    expect(rate(sample(0, 0, 10, 0.5))).toBe(20)
  })
})

const rowOf = (id: string): Case => {
  const row = [...kernelCases, ...fileCases, ...shardCases].find(each => each.id === id)
  if (row === undefined) throw new Error(`no row ${id}`)
  return row
}
const measured = (id: string, bytes: number): Measured => ({
  row: rowOf(id),
  samples: [sample(0, 0, bytes)],
  failure: "",
})

describe("goals", () => {
  it("are about rows that are there", () => {
    for (const { of, over } of goals) expect([rowOf(of).id, rowOf(over).id]).toEqual([of, over])
  })

  it("are met at the bound and missed below it", () => {
    const met = (leaves: number) => judge([measured("leaves", leaves), measured("hash-wasm", 100)], 3)[0]
    expect(met(240)).toMatchObject({ id: "leaves/hash-wasm", seen: { median: 2.4 }, met: true })
    expect(met(239)).toMatchObject({ met: false })
  })

  it("of CPU time are met at the bound and missed above it", () => {
    const met = (two: number) => judge([measured("shards-both", 105), measured("shards-both-2", two)], 3)[0]
    expect(met(100)).toMatchObject({ seen: { median: 1.05 }, wanted: { atMost: 1.05 }, met: true })
    expect(met(99)).toMatchObject({ met: false })
  })

  it("are silent on what was not measured", () => {
    expect(judge([{ row: rowOf("leaves"), samples: [], failure: "why" }, measured("hash-wasm", 1)], 3)).toEqual([])
  })

  it("take the limit at the clock of the sample", () => {
    expect(limit(3)).toBeCloseTo(3305 / 256 / 3, 12)
    const [three, four] = judge([measured("leaves", 4e9 / limit(3))], 4)
    expect(three).toMatchObject({ id: "leaves/limit-3", met: true })
    expect(three?.seen.median).toBeCloseTo(1, 12)
    expect(four?.seen.median).toBeCloseTo(3 / 4, 12)
  })
})

describe("measuring", () => {
  let directory: string
  let bundle: Bundle
  let parts: Bench
  let machine: Machine
  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), "assay-bench-"))
    bundle = await makeBundle(join(directory, "bundle"))
    machine = describeMachine()
    parts = { script: bundle.sampler, node: process.execPath, flags: [], material: material(), say: () => undefined }
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const file = (name: string): string => {
    const path = join(directory, name)
    writeFileSync(path, randomBytes(70_001))
    return path
  }
  const material = (): Material => ({
    bytes: 70_001,
    warm: [file("warm-0"), file("warm-1")],
    weights: [file("weights")],
    shards: Array.from({ length: 8 }, (_, i) => file(`shard-${i}`)),
  })
  const once = { processes: 1, rounds: 1, milliseconds: 1 }
  /** Files as young as these the hasher does not take for known, which is what these rows are about. */
  const needsAge = (id: string): boolean => /^(?:auto|wasm)/.test(id)

  it("every row gives the digests that the others give, and tells what it gave", async () => {
    const memory = await measure(kernelCases, once, parts)
    const rows = [...fileCases, ...shardCases].filter(({ id }) => !needsAge(id))
    const files = await measure(rows, once, parts)
    expect([...memory, ...files].filter(({ failure }) => failure !== "")).toEqual([])
    expect([...memory, ...files].map(({ samples }) => samples.length)).toEqual([...memory, ...files].map(() => 1))

    const verdicts = judge([...memory, ...files], machine.ports)
    const report: Report = {
      date: "2001-02-03T04:05:06.789Z",
      machine,
      bytes: 70_001,
      memory,
      files,
      verdicts,
      failures: ["there is a reason"],
      revectorized: "not asked for",
      verification: measureVerification({ rounds: 1, seconds: 0.001, entries: 20, large: 30 }),
    }
    const shape = "[(.memory | length), (.files | length), (.verdicts[0] | keys), .machine.openssl, .revectorized]"
    expect(jq(shape, reportJson(report))).toEqual([
      memory.length,
      files.length,
      ["id", "met", "says", "seen", "unit", "wanted"],
      machine.openssl,
      null,
    ])
    expect(
      jq("[.memory[], .files[]] | map(.rate.median > 0 and (.samples | length) == 1) | all", reportJson(report)),
    ).toBe(true)
    const lines = reportText(report).split("\n")
    for (const { row } of [...memory, ...files]) expect(lines.filter(line => line.startsWith(row.says))).not.toEqual([])
    expect(lines).toContain("not measured: there is a reason")
    for (const { says } of report.verification.rows) expect(lines.filter(line => line.startsWith(says))).not.toEqual([])
    expect(jq(".verification.verdicts | map(.wanted.atMost)", reportJson(report))).toEqual([2.5, 2.5, 15])
  })

  it("ends when a digest is not what the others gave", async () => {
    const wrong: Case = { ...rowOf("fsverity"), id: "wrong", gives: "sha256" }
    await expect(measure([rowOf("sha256sum"), wrong], once, parts)).rejects.toThrow(/fsverity .* gave sha256 /)
  })

  it("says why a row could not be measured, and measures the others", async () => {
    const absent: Case = { ...rowOf("sha256sum"), id: "absent", work: { kind: "program", line: ["no-such-program"] } }
    const [none, one] = await measure([absent, rowOf("sha256sum")], once, parts)
    expect(none).toMatchObject({ samples: [], failure: expect.stringContaining("no-such-program") })
    expect(one?.samples).toHaveLength(1)
  })
})

describe("tables", () => {
  it("align the first column left and the others right", () => {
    const rows = [
      ["what", "seen", ""],
      ["a", "1", "met"],
      ["longer", "10000", "MISSED"],
    ]
    expect(table(rows)).toBe("what     seen\na           1     met\nlonger  10000  MISSED\n")
  })
})
