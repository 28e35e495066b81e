/**
 * What should a monitoring system watch? Counts and moments of the agent and the collector on this machine, in Prometheus' text
 * format (version 0.0.4), for a file that its node exporter reads. No machine has a label of its own: how one stands is `status`.
 */
import { z } from "zod"
import type { Status as AgentStatus } from "../agent/verbs.ts"
import type { Shown } from "../collector/verbs.ts"
import { command } from "./command.ts"
import { text } from "./given.ts"
import { type Neighbours, neighbours } from "./neighbours.ts"

type Labels = Readonly<Record<string, string>>
/** A name, in base units, what it is, and its samples; one without samples is left out. */
export type Metric = {
  readonly name: string
  readonly help: string
  readonly samples: readonly (readonly [value: number, labels?: Labels])[]
}

export const metricsCommand = command({
  name: "metrics",
  says: "counts and moments of agent and collector, for a monitoring system",
  teaches:
    "Prints Prometheus' text format. A timer that writes it to a file in the folder of node_exporter's textfile collector is " +
    "all that it takes: nothing listens. Whoever does not answer is assay_up 0. What each means, and what to be woken by, is in " +
    "docs/operating.md.",
  takes: [],
  options: [
    ["--agent-config <file>", "the agent's configuration"],
    ["--collector-config <file>", "the collector's configuration"],
  ],
  examples: ["assay metrics > /var/lib/prometheus/node-exporter/assay.prom"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ agentConfig: text.optional(), collectorConfig: text.optional() }),
  run: async ({ agentConfig, collectorConfig }, terminal) => {
    for (const each of metricsOf(await neighbours(agentConfig, collectorConfig))) terminal.out.write(writeMetric(each))
    return "good"
  },
})

/** Every metric of the two. */
export const metricsOf = ({ agent, collector }: Neighbours): Metric[] => [
  {
    name: "assay_up",
    help: "Whether it answers on this machine.",
    samples: [
      [Number(agent !== "absent"), { part: "agent" }],
      [Number(collector !== "absent"), { part: "collector" }],
    ],
  },
  ...(agent === "absent" ? [] : ofAgent(agent)),
  ...(collector === "absent" ? [] : ofFleet(collector.fleet)),
]

function ofAgent({ version, connection, evidence, acknowledged, spool, log, hashing, recheck }: AgentStatus): Metric[] {
  const walked = "total" in recheck ? recheck : undefined
  return [
    gauge("assay_agent_info", "The agent's version.", [1, { version }]),
    gauge("assay_agent_connected", "Whether its collector is connected.", [Number(connection.state === "connected")]),
    gauge("assay_agent_evidence_timestamp_seconds", "When evidence was made last.", at(evidence?.made)),
    gauge("assay_agent_acknowledged_timestamp_seconds", "When evidence was acknowledged last.", at(acknowledged?.at)),
    gauge(
      "assay_agent_spool_pieces",
      "Pieces of evidence that are kept.",
      [spool.waiting, { state: "waiting" }],
      [spool.acknowledged, { state: "acknowledged" }],
    ),
    gauge("assay_agent_log_records", "Records of the event log.", [log.records]),
    gauge("assay_agent_log_bytes", "Length of the event log.", [log.length]),
    gauge(
      "assay_agent_hashing_bytes",
      "Bytes of the model that is hashed now, and how many are done.",
      ...parts(hashing),
    ),
    gauge("assay_agent_recheck_bytes", "Bytes that the background reading is to read, and has.", ...parts(walked)),
    gauge("assay_agent_recheck_due_timestamp_seconds", "Until when it is to be done.", at(walked?.until)),
  ]
}

const states = ["unknown", "affirming", "warning", "contraindicated"] as const

function ofFleet(all: readonly Shown[]): Metric[] {
  const fleet = all.filter(({ retired }) => !retired)
  const answered = fleet.flatMap(({ fresh }) => (fresh === null ? [] : [Date.parse(fresh) / 1000]))
  return [
    gauge(
      "assay_collector_attesters",
      "Attesters, without the retired, by how they stand and whether that is stale.",
      ...states.flatMap(state =>
        [false, true].map((stale): Sample => {
          const count = fleet.filter(each => each.state === state && each.stale === stale).length
          return [count, { stale: String(stale), state }]
        }),
      ),
    ),
    gauge("assay_collector_connected", "Attesters that are connected.", [fleet.filter(each => each.connected).length]),
    gauge("assay_collector_silent", "Attesters that never answered.", [fleet.length - answered.length]),
    gauge(
      "assay_collector_oldest_answer_timestamp_seconds",
      "Nonce's time of the attester that has not answered for the longest time.",
      ...(answered.length === 0 ? [] : [[Math.min(...answered)] as const]),
    ),
  ]
}

type Sample = Metric["samples"][number]

/** Samples that are not known are left out, and with them the metric. */
const gauge = (name: string, help: string, ...samples: readonly (Sample | undefined)[]): Metric => ({
  ...{ name, help, samples: samples.filter(each => each !== undefined) },
})

const at = (instant: string | undefined): Sample | undefined =>
  instant === undefined ? undefined : [Date.parse(instant) / 1000]

const parts = (of: { readonly done: number; readonly total: number } | null | undefined): Sample[] =>
  of ? [[of.done, { part: "done" }] as const, [of.total, { part: "total" }] as const] : []

/** A metric in Prometheus' text-based format: a help, a type, and a line for each sample. */
export function writeMetric({ name, help, samples }: Metric): string {
  if (samples.length === 0) return ""
  const lines = samples.map(([value, labels = {}]) => {
    const inside = Object.entries(labels).map(([label, text]) => `${label}="${text.replace(/[\\"]/g, "\\$&")}"`)
    return `${name}${inside.length === 0 ? "" : `{${inside.join(",")}}`} ${value}\n`
  })
  return `# HELP ${name} ${help}\n# TYPE ${name} gauge\n${lines.join("")}`
}
