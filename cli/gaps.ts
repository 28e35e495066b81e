/** Where can no name be given? Each gap with its owner, the date by which it is to be closed, and the dates that were missed before. */
import { z } from "zod"
import type { CollectorVerbs } from "../collector/verbs.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice, everyPage, type Office } from "./office.ts"
import { type Output, plain, remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

type Gap = z.infer<CollectorVerbs["gaps"]["answer"]>["gaps"][number]

export const gaps = command({
  name: "gaps list",
  says: "list the answers for which no name can be given",
  teaches:
    "Whose hash, whose key, whose pin: where an answer is missing it is a gap, shown until it is closed, with its owner, the date " +
    "by which it is to be closed, every date before that one, and what it holds back. Lost history is a gap too, and holds " +
    "no present verdict down. Exit 3: there are gaps.",
  takes: [],
  options: [configOf("collector"), asJson],
  examples: ["assay gaps list"],
  exits: ["good", "failed", "misuse", "unacceptable", "missing", "configuration"],
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const found = await askOffice(config, allGaps)
    const today = new Date(terminal.now()).toISOString().slice(0, 10)
    if (json) writeJsonLine(terminal, { gaps: found })
    else if (found.length === 0) remark(terminal, "every answer has a name")
    else for (const each of found) writeGap(terminal.out, each, today)
    return found.length === 0 ? "good" : "unacceptable"
  },
})

const allGaps = (office: Office): Promise<Gap[]> =>
  everyPage(
    skip => office.call("gaps", { skip }),
    page => page.gaps,
  )

function writeGap(out: Output, { gap, label, says, holds, plans }: Gap, today: string): void {
  const last = plans.at(-1)
  row(out, "gap", out.style("doubtful", plain(gap)))
  row(out, "", `${plain(label, 64)}: ${plain(says)}`)
  row(out, "", `holds back ${plain(holds)}`)
  if (!last) return row(out, "", out.style("bad", "nobody owns it: assay gaps plan"))
  const overdue = last.closes < today ? out.style("bad", ", overdue") : ""
  row(out, "", `${plain(last.owner)} closes it by ${last.closes}${overdue}: ${plain(last.reason)}`)
  for (const each of plans.slice(0, -1).toReversed())
    row(
      out,
      "",
      out.style(
        "faint",
        `was ${each.closes}, ${plain(each.owner)}, as ${plain(each.by)} said on ${each.at.slice(0, 10)}`,
      ),
    )
}

export const gapsPlan = command({
  name: "gaps plan",
  says: "give a gap an owner and a date, under your name",
  teaches:
    "The newest plan counts, and those before it stay shown: a date that is moved is seen to be moved. A plan closes nothing.",
  takes: [["<gap>", "as assay gaps list calls it; or its question alone (hash, key, pin, history), for every machine"]],
  options: [
    ["--owner <person>", "who closes it"],
    ["--closes <date>", "by when, like 2027-01-31"],
    ["--by <person>", "who says so"],
    ["--reason <text>", "what is to be done, or why the date moved"],
    configOf("collector"),
    asJson,
  ],
  examples: [
    "assay gaps plan key --owner 'Mei Lin' --closes 2027-01-31 --by 'Ada Lovelace' --reason 'certify the new machines'",
  ],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({
    gap: z.string().regex(/^(hash|key|pin|history)(:[0-9a-f]{20})?$/, "not what assay gaps list calls a gap"),
    owner: text,
    closes: z.iso.date("not a date like 2027-01-31"),
    by: text,
    reason: text,
    config: text.optional(),
    json: flag,
  }),
  run: async ({ config, json, ...plan }, terminal) => {
    const done = await askOffice(config, office => office.call("gap-plan", plan))
    if (json) writeJsonLine(terminal, done)
    else row(terminal.out, "gap", `${done.gap}: ${plain(plan.owner)}, by ${plan.closes}`)
    return "good"
  },
})
