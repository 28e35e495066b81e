/** Does a foreign parser read our metrics as meant, and does the page name every one? The page's commands run in readme.test.ts. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import parse from "parse-prometheus-text-format"
import { describe, expect, it } from "vitest"
import type { Shown } from "../collector/verbs.ts"
import { metricsOf, writeMetric } from "../cli/metrics.ts"
import type { Neighbours } from "../cli/neighbours.ts"

const name = `000b${"ab".repeat(32)}`
const standing = (given: Partial<Shown>): Shown => ({
  ...{ attester: name, label: 'a"b\\c', state: "affirming", stale: false, fresh: "2026-01-01T00:00:00.000Z" },
  ...{ connected: true, retired: false, endorsement: "", ...given },
})
const agent: Exclude<Neighbours["agent"], "absent"> = {
  version: '0.1.0 "a\\b"',
  attester: name,
  collector: null,
  connection: { state: "connected", since: "2026-01-01T00:00:00.000Z" },
  evidence: { digest: "00".repeat(32), kind: "answer", audience: "c", made: "2026-01-01T00:00:01.500Z" },
  acknowledged: {
    evidence: "00".repeat(32),
    tier: "warning",
    at: "2026-01-01T00:00:02.000Z",
    next: "2026-01-01T00:01:00.000Z",
  },
  refused: null,
  spool: { waiting: 3, acknowledged: 5 },
  hashing: { model: "m", file: "f", done: 7, total: 9 },
  recheck: {
    ...{ state: "under way", reads: "direct", done: 1, total: 2 },
    ...{ begun: "2026-01-01T00:00:00.000Z", until: "2026-01-02T00:00:00.000Z" },
  },
  log: { epoch: "00".repeat(16), records: 11, length: 4096 } as never,
}
const collector: Neighbours["collector"] = {
  identity: {} as never,
  fleet: [
    standing({}),
    standing({ state: "warning", stale: true, fresh: "2025-12-31T23:59:00.000Z", connected: false }),
    standing({ state: "unknown", fresh: null, connected: false }),
    standing({ state: "contraindicated", retired: true, fresh: "2020-01-01T00:00:00.000Z" }),
  ],
}

/** What the foreign parser reads: name, labels in their order, value. */
const read = (given: Neighbours): Map<string, string> =>
  new Map(
    parse(metricsOf(given).map(writeMetric).join("")).flatMap(({ name: metric, type, metrics }) => {
      expect(type).toBe("GAUGE")
      return metrics.map(({ labels = {}, value }): [string, string] => [
        [metric, ...Object.entries(labels).map(([key, text]) => `${key}=${text}`)].join(" "),
        value ?? "",
      ])
    }),
  )

describe("metrics", () => {
  it("are read by another's parser as they were meant", () => {
    const found = read({ agent, collector })
    expect(Object.fromEntries(found)).toMatchObject({
      "assay_up part=agent": "1",
      "assay_up part=collector": "1",
      'assay_agent_info version=0.1.0 "a\\b"': "1",
      assay_agent_connected: "1",
      assay_agent_evidence_timestamp_seconds: "1767225601.5",
      "assay_agent_spool_pieces state=waiting": "3",
      "assay_agent_hashing_bytes part=total": "9",
      "assay_agent_recheck_bytes part=done": "1",
      assay_agent_log_records: "11",
      "assay_collector_attesters stale=false state=affirming": "1",
      "assay_collector_attesters stale=true state=warning": "1",
      "assay_collector_attesters stale=false state=contraindicated": "0",
      assay_collector_connected: "1",
      assay_collector_silent: "1",
      assay_collector_oldest_answer_timestamp_seconds: "1767225540",
    })
    expect([...found.keys()].some(each => each.includes(name))).toBe(false)
  })

  it("say who is away, and leave out what is not known", () => {
    const quiet = { ...agent, evidence: null, acknowledged: null, hashing: null, recheck: { state: "off" } as const }
    const found = read({ agent: quiet, collector: "absent" })
    expect(found.get("assay_up part=collector")).toBe("0")
    expect([...found.keys()].filter(each => /timestamp|hashing|recheck|collector_/.test(each))).toEqual([])
    expect(read({ agent: "absent", collector }).get("assay_up part=agent")).toBe("0")
  })

  it("are on the page, every one, and no other", () => {
    const page = readFileSync(join(import.meta.dirname, "../docs/operating.md"), "utf8")
    const named = [...page.matchAll(/^\| `(assay_[a-z_]+)/gm)].map(([, each]) => each)
    expect(named).toEqual(metricsOf({ agent, collector }).map(each => each.name))
  })
})
