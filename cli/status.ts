/**
 * How do the collector and the agent on this machine stand, and how does one machine of the fleet? Asked over their sockets;
 * whoever does not answer is said to be absent. Asking a machine anew is `challenge`.
 */
import { join } from "node:path"
import { z } from "zod"
import type { Status as AgentStatus } from "../agent/verbs.ts"
import { type CollectorVerbs, type Shown, socketName, verbs } from "../collector/verbs.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { spoken } from "../attestation/appraise/endorsement.ts"
import { asJson, command } from "./command.ts"
import { collectorConfiguration } from "./configuration.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { ask, type Identity, neighbours } from "./neighbours.ts"
import { duration, size } from "./progress.ts"
import { type Look, type Output, plain, type Terminal, writeJsonLine } from "./terminal.ts"
import { byCause } from "./status-by-cause.ts"
import { row, told, writeAuthority, writeComponents, writeFindings } from "./verdict.ts"

const given = z.object({
  attester: text.optional(),
  agentConfig: text.optional(),
  collectorConfig: text.optional(),
  byCause: flag,
  json: flag,
})
type Given = z.infer<typeof given>

export const status = command({
  name: "status",
  says: "how the collector, the agent and the fleet stand",
  teaches:
    "Asks the agent and the collector on this machine, whichever runs. With an attester's name or label: how that machine " +
    "stands, why, and since when. A machine that has not answered lately is stale, and then exit 3 says so.",
  takes: [["[attester]", "a machine of the fleet, by name or label"]],
  options: [
    ["--agent-config <file>", "the agent's configuration"],
    ["--collector-config <file>", "the collector's configuration"],
    ["--by-cause", "machines counted by the one reason for which their verdict is not better"],
    asJson,
  ],
  examples: ["assay status", "assay status --by-cause", "assay status workstation-7 --json"],
  exits: ["good", "failed", "misuse", "unacceptable", "missing", "configuration"],
  reads: given,
  run: (options, terminal) =>
    options.byCause
      ? byCause(options, terminal)
      : options.attester === undefined
        ? ofThisMachine(options, terminal)
        : ofOne(options.attester, options, terminal),
})

async function ofThisMachine({ agentConfig, collectorConfig, json }: Given, terminal: Terminal): Promise<Exit> {
  const { agent, collector } = await neighbours(agentConfig, collectorConfig)
  if (json) writeJsonLine(terminal, { agent, collector })
  else {
    if (agent !== "absent") writeAgent(terminal.out, agent, terminal.now())
    if (agent !== "absent" && collector !== "absent") terminal.out.write("\n")
    if (collector !== "absent") writeOffice(terminal, collector.identity, collector.fleet)
  }
  return "good"
}

function writeAgent(
  out: Output,
  { attester, collector, connection, evidence, ...rest }: AgentStatus,
  now: number,
): void {
  out.write(`${out.style("strong", "agent")}\n`)
  row(out, "attester", attester)
  row(
    out,
    "collector",
    collector ? `${collector.host}:${collector.port}, joined ${collector.joined}` : "none: assay join",
  )
  const problem = connection.state === "waiting" ? `: ${plain(connection.problem, 200)}` : ""
  row(out, "connection", connection.state + problem)
  if (evidence) row(out, "evidence", `${evidence.digest.slice(0, 16)}…  ${evidence.kind}, ${ago(evidence.made, now)}`)
  if (rest.acknowledged) row(out, "verdict", `${rest.acknowledged.tier}, ${ago(rest.acknowledged.at, now)}`)
  if (rest.refused) row(out, "refused", `${rest.refused.findings.join(", ")}, ${ago(rest.refused.at, now)}`)
  row(out, "spool", `${rest.spool.waiting} waiting, ${rest.spool.acknowledged} acknowledged`)
  row(out, "log", `${rest.log.records} records, ${size(rest.log.length)}`)
  if (rest.hashing) {
    const { file, done, total } = rest.hashing
    row(out, "hashing", `${plain(file, 60)}  ${size(done)} of ${size(total)}`)
  }
  if (rest.recheck.state === "under way" || rest.recheck.state === "done") {
    const { state, done, total, until, reads } = rest.recheck
    row(out, "background", `${state}, ${size(done)} of ${size(total)} read again (${reads}), until ${until}`)
  }
}

function writeOffice({ out, now }: Terminal, identity: Identity, fleet: readonly Shown[]): void {
  out.write(`${out.style("strong", "collector")} ${plain(identity.name)}\n`)
  row(out, "address", `${identity.host}:${identity.port}`)
  row(out, "pin", toHex(fromBase64(identity.pin)))
  row(out, "result key", toHex(fromBase64(identity.resultKey)))
  row(out, "attesters", `${identity.attesters}, of which ${identity.connected} connected`)
  for (const each of fleet) out.write(`  ${fleetLine(out, each, now())}\n`)
}

function fleetLine(out: Output, each: Shown, now: number): string {
  const when = each.fresh === null ? "never answered" : ago(each.fresh, now)
  const how = [
    ...(each.retired ? ["retired"] : []),
    each.stale ? "stale" : "fresh",
    each.connected ? "connected" : "away",
    when,
  ].join(", ")
  return `${each.attester.slice(0, 16)}…  ${stateOf(out, each)}  ${plain(each.label, 32).padEnd(16)}  ${how}`
}

const looks: Readonly<Record<Shown["state"], Look>> = {
  unknown: "faint",
  affirming: "good",
  warning: "doubtful",
  contraindicated: "bad",
}
const stateOf = (out: Output, { state }: Shown): string => out.style(looks[state], state.padEnd(15))

const ago = (instant: string, now: number): string => `${duration(Math.max(0, (now - Date.parse(instant)) / 1000))} ago`

type One = z.infer<CollectorVerbs["status"]["answer"]>

async function ofOne(attester: string, { collectorConfig, json }: Given, terminal: Terminal): Promise<Exit> {
  const { runtime } = await collectorConfiguration(collectorConfig)
  const one = await ask(join(runtime, socketName), verbs, office => office.call("status", { attester }))
  if (one === "absent")
    throw new Problem("missing", "no collector answers on this machine", "start it: assay collector")
  if (json) writeJsonLine(terminal, forScripts(one))
  else writeOne(terminal, one)
  const { state, stale } = one.standing
  const counts = !one.retired && !stale
  return (state === "affirming" || state === "warning") && counts ? "good" : "unacceptable"
}

function writeOne(
  { out, now }: Terminal,
  { standing, enrolled, retired, aliases, answer, incidents, gaps, reference }: One,
): void {
  row(out, "attester", standing.attester)
  row(out, "label", plain(standing.label))
  row(out, "standing", `${stateOf(out, standing).trim()}${standing.stale ? ", stale" : ""}`)
  row(out, "connection", standing.connected ? "connected" : "away")
  row(out, "enrolled", `${enrolled.at}, number ${enrolled.number}`)
  row(out, "TPM", plain(spoken(enrolled.endorsement)))
  if (retired) row(out, "retired", `${retired.at}, by ${plain(retired.by)}: ${plain(retired.reason)}`)
  for (const each of aliases) row(out, "alias", `${each}, another EK of the same TPM`)
  row(out, "reference", reference ?? "none recorded")
  for (const { evidence, missing } of gaps)
    row(out, "gap", `before ${evidence}: ${missing ?? "what came before"} is missing`)
  for (const { at, kind, findings, says } of incidents.slice(0, 5)) {
    const ids = [...new Set(findings.map(({ id }) => id))].slice(0, 8)
    row(out, kind, `${ago(at, now())}: ${[...ids, plain(says)].join(", ")}`)
  }
  if (!answer) return row(out, "answer", "none in time yet")
  row(out, "answer", `${answer.evidence}, ${ago(answer.received, now())}`)
  out.write("\n")
  writeComponents(
    out,
    answer.tier,
    answer.says.map(each => ({ ...each, findings: [] })),
  )
  writeAuthority(out, answer.authority)
  writeFindings(out, answer.findings)
}

/** For scripts, each finding with what it means. */
const forScripts = (one: One): object => ({
  ...one,
  answer: one.answer && { ...one.answer, findings: one.answer.findings.map(told) },
})
