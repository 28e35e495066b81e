/** Who is enrolled, who vouches for each, and how is one let go? How each stands in full: `status.ts`. */
import { z } from "zod"
import type { CollectorVerbs, Shown } from "../collector/verbs.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice, type Office } from "./office.ts"
import { type Output, plain, remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

const exits = ["good", "failed", "misuse", "missing", "configuration"] as const

/** Every attester, page by page. */
export async function fleetOf(office: Office): Promise<Shown[]> {
  const fleet: Shown[] = []
  for (let after: string | null = ""; after !== null; ) {
    const page: z.infer<CollectorVerbs["attesters"]["answer"]> = await office.call("attesters", { after })
    fleet.push(...page.attesters)
    after = page.next
  }
  return fleet
}

export const attesters = command({
  name: "attesters",
  says: "list who is enrolled, and who vouches for each TPM",
  teaches:
    "One attester a line, under the name of its EK: what it calls itself, how it stands, and on whose word its TPM is one. " +
    "Retired attesters stay in the list.",
  takes: [],
  options: [configOf("collector"), asJson],
  examples: ["assay attesters", "assay attesters --json | jq -r '.attesters[].attester'"],
  exits,
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const fleet = await askOffice(config, fleetOf)
    if (json) writeJsonLine(terminal, { attesters: fleet })
    else for (const each of fleet) writeAttester(terminal.out, each)
    if (!json && fleet.length === 0) remark(terminal, "no attester is enrolled: assay invite --by NAME")
    return "good"
  },
})

function writeAttester(out: Output, { attester, label, state, stale, retired, endorsement }: Shown): void {
  const how = retired ? "retired" : `${state}${stale ? ", stale" : ""}`
  out.write(`  ${attester}  ${plain(label, 32).padEnd(16)}  ${how.padEnd(22)}  ${plain(endorsement)}\n`)
}

export const retire = command({
  name: "retire",
  says: "let an attester go: nothing that it says counts any more",
  teaches:
    "Its connection ends, and its evidence is refused. What it showed before stays. Its TPM is let in again only by an " +
    "invitation that accepts its EK by name, from a person who says why.",
  takes: [["<attester>", "by name or label"]],
  options: [["--by <person>", "who lets it go"], ["--reason <text>", "why"], configOf("collector"), asJson],
  examples: ["assay retire workstation-7 --by 'Ada Lovelace' --reason 'sold'"],
  exits,
  reads: z.object({ attester: text, by: text, reason: text, config: text.optional(), json: flag }),
  run: async ({ attester, by, reason, config, json }, terminal) => {
    const done = await askOffice(config, office => office.call("retire", { attester, by, reason }))
    if (json) writeJsonLine(terminal, done)
    else {
      row(terminal.out, "attester", done.attester)
      row(terminal.out, "retired", `by ${by}: ${reason}`)
    }
    return "good"
  },
})
