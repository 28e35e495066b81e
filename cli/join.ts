/** How does this machine join a collector? With an invitation from stdin, never from the command line, which others can read. */
import { z } from "zod"
import { joinCollector } from "../agent/main.ts"
import { asJson, command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { untilInterrupted, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const join = command({
  name: "join",
  says: "join a collector, with an invitation from stdin",
  teaches:
    "Reads the invitation from stdin, or asks for it. Goes through the running agent if there is one. The collector's key " +
    "must be the one in the invitation, and this machine's TPM proves that it holds the keys it shows.",
  takes: [],
  options: [configOf("agent"), asJson],
  examples: ["assay join < invitation"],
  exits: ["good", "failed", "misuse", "configuration"],
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const configuration = await agentConfiguration(config)
    const invitation = (await terminal.read("invitation: ", 1024)).trim()
    if (invitation === "") throw new Problem("misuse", "no invitation came on stdin", "assay join < FILE, or paste it")
    const joined = await joinCollector(configuration, invitation, {
      signal: untilInterrupted(terminal),
      now: terminal.now,
    })
    const { attester, host, port } = joined
    if (json) writeJsonLine(terminal, { attester, host, port })
    else {
      row(terminal.out, "joined", `${host}:${port}`)
      row(terminal.out, "attester", attester)
    }
    return "good"
  },
})
