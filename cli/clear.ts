/** Who takes a contraindication back? A named person, with a reason; nothing is known then until new evidence. */
import { z } from "zod"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice } from "./office.ts"
import { writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const clear = command({
  name: "clear",
  says: "take a contraindication back and close every gap, under your name",
  teaches:
    "A contraindication ends by a reboot with passing evidence, or by a person who looked into it. Afterwards nothing is " +
    "known of the machine until it answers again. What once differed stays in its log until it reboots.",
  takes: [["<attester>", "by name or label"]],
  options: [["--by <person>", "who clears it"], ["--reason <text>", "why"], configOf("collector"), asJson],
  examples: ["assay clear workstation-7 --by 'Ada Lovelace' --reason 'weights updated, change 4711'"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ attester: text, by: text, reason: text, config: text.optional(), json: flag }),
  run: async ({ attester, by, reason, config, json }, terminal) => {
    const done = await askOffice(config, office => office.call("clear", { attester, by, reason }))
    if (json) writeJsonLine(terminal, done)
    else {
      row(terminal.out, "attester", done.attester)
      row(terminal.out, "cleared", `was ${done.was}, by ${by}`)
    }
    return "good"
  },
})
