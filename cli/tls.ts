/** How does the collector get another TLS key without anybody joining again? The key of before signs the new one's certificate, and peers follow. */
import { z } from "zod"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice } from "./office.ts"
import { remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const tlsRotate = command({
  name: "tls rotate",
  says: "give the collector a new TLS key, which agents follow by themselves",
  teaches:
    "The present key signs the certificate of a new one and is then destroyed. Agents, outside verifiers and open invitations that know an " +
    "earlier pin accept the new key because of that signature, up to eight successors on. Where a key may have leaked this helps " +
    "nobody: whoever has it can name successors too. Then start with a new state folder's key, and let every machine join again.",
  takes: [],
  options: [["--by <person>", "who replaces it"], ["--reason <text>", "why"], configOf("collector"), asJson],
  examples: ["assay tls rotate --by 'Ada Lovelace' --reason 'yearly'"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ by: text, reason: text, config: text.optional(), json: flag }),
  run: async ({ by, reason, config, json }, terminal) => {
    const rotated = await askOffice(config, office => office.call("tls-rotate", { by, reason }))
    if (json) writeJsonLine(terminal, rotated)
    else {
      row(terminal.out, "pin", rotated.pin)
      row(terminal.out, "before", rotated.before)
      remark(terminal, "agents follow with their next connection")
    }
    return "good"
  },
})
