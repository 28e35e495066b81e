/**
 * What does this machine look like, and what would it answer? A table of what is measured, or a full measurement and evidence in
 * files, made by hand; judged by `verify`.
 */
import { z } from "zod"
import { lookAtMachine } from "../agent/look.ts"
import { measureOnce } from "../agent/main.ts"
import { asJson, command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, hex32, text } from "./given.ts"
import { inventory, writeInventory } from "./inventory.ts"
import { factRows, writeMachine } from "./machine.ts"
import { remark, type Terminal, untilInterrupted, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const measure = command({
  name: "measure",
  says: "show what is measured of this machine, or write evidence of it to files",
  teaches:
    "Shows a table of what is measured of the machine, weights aside: component, fact, value, and where it comes from. No TPM is asked, and " +
    "nothing is written. With --out it reads everything that the configuration names, weights too, appends it to the event log, has " +
    "the TPM quote it, and writes evidence, log and public keys to a folder. With a nonce that is an answer; without, a report, " +
    "which shows no time.",
  takes: [],
  options: [
    ["--all", "in the table, name each thing that is not there"],
    ["--inventory", "beside it what systeminformation says, which is measured by nobody"],
    ["--out <folder>", "write evidence there"],
    ["--nonce <hex>", "the verifier's nonce: 32 bytes"],
    ["--audience <name>", "for whom this is; each audience has its own chain (default: files)"],
    configOf("agent"),
    asJson,
  ],
  examples: ["assay measure", "assay measure --out bundle --nonce $(openssl rand -hex 32)"],
  exits: ["good", "failed", "misuse", "configuration"],
  reads: z.object({
    all: flag,
    inventory: flag,
    out: text.optional(),
    nonce: hex32.optional(),
    audience: text.optional(),
    config: text.optional(),
    json: flag,
  }),
  run: async ({ all, inventory: beside, out, nonce, audience, config, json }, terminal) => {
    const configuration = await agentConfiguration(config)
    if (out !== undefined) {
      const given = { nonce: nonce ?? "none", audience: audience ?? "files", out, now: terminal.now } as const
      await writeEvidence(configuration, given, json, terminal)
    } else if (nonce !== undefined || audience !== undefined)
      throw new Problem("misuse", "a nonce and an audience are for evidence", "name a folder for it: --out bundle")
    else await showMachine(configuration.reader, { all, json, beside }, terminal)
    return "good"
  },
})

async function showMachine(
  reader: string,
  { all, json, beside }: Readonly<Record<"all" | "json" | "beside", boolean>>,
  terminal: Terminal,
): Promise<void> {
  const found = await lookAtMachine(reader, untilInterrupted(terminal))
  const rows = factRows(found)
  const listed = beside ? await inventory(rows) : []
  if (json) return writeJsonLine(terminal, beside ? { facts: rows, inventory: listed } : { facts: rows })
  writeMachine(terminal.out, rows, all ? "told" : "counted")
  if (beside) writeInventory(terminal.out, listed)
  const count = (name: string): number => rows.filter(({ fact }) => fact === name).length
  const [disputed, hidden] = [count("contradiction"), count("unreadable")]
  if (disputed > 0) remark(terminal, `contradictions: ${disputed}. Two that speak of the same thing disagree`)
  if (hidden > 0) remark(terminal, `unreadable: ${hidden}. The rows say what would help`)
}

type Given = Omit<Parameters<typeof measureOnce>[1], "signal">

async function writeEvidence(
  configuration: Parameters<typeof measureOnce>[0],
  given: Given,
  json: boolean,
  terminal: Terminal,
): Promise<void> {
  const { nonce, out } = given
  const { digest, kind, sequence, log } = await measureOnce(configuration, {
    ...given,
    signal: untilInterrupted(terminal),
  })
  if (json) return writeJsonLine(terminal, { evidence: digest, kind, sequence, log: log.length, folder: out })
  row(terminal.out, "evidence", digest)
  row(terminal.out, "kind", kind)
  row(terminal.out, "folder", out)
  const how = nonce === "none" ? "--history" : `--nonce ${Buffer.from(nonce).toString("hex")}`
  remark(terminal, `to judge it: assay verify ${out} --ak ${out}/ak.pub ${how}`)
}
