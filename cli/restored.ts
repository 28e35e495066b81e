/** What does an operator say who has put the collector's store back from a backup? That it was, and why; under their name. */
import { z } from "zod"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice } from "./office.ts"
import { writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const restored = command({
  name: "restored",
  says: "say that the collector's store came out of a backup",
  teaches:
    "A store out of a backup has forgotten what came after it. Attesters send again what they still have, and each stays a " +
    "warning until it has booted anew. The collector notices by itself when its store holds less than its folder remembers; " +
    "say it yourself when the whole folder was put back.",
  takes: [],
  options: [["--by <person>", "who put it back"], ["--reason <text>", "why"], configOf("collector"), asJson],
  examples: ["assay restored --by 'Ada Lovelace' --reason 'disk failed, change 4712'"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ by: text, reason: text, config: text.optional(), json: flag }),
  run: async ({ by, reason, config, json }, terminal) => {
    const done = await askOffice(config, office => office.call("restored", { by, reason }))
    if (json) writeJsonLine(terminal, done)
    else row(terminal.out, "restored", `told by ${by}; ${done.attesters} attesters are warnings until they boot anew`)
    return "good"
  },
})
