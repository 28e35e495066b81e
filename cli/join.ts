/** How does this machine join a collector? With an invitation from stdin, never from the command line, which others can read. */
import { z } from "zod"
import { joinCollector, rotateKey } from "../agent/main.ts"
import { asJson, command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { type Terminal, untilInterrupted, writeJsonLine } from "./terminal.ts"
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
  run: (given, terminal) => enter(joinCollector, given, terminal),
})

export const rotate = command({
  name: "rotate",
  says: "draw a new attestation key, and join again under it",
  teaches:
    "Reads an invitation from stdin, as join does. The key of before stays if the collector does not let the new one in. " +
    "Nothing of it lies on disk; enrolments under both stay with the collector.",
  takes: [],
  options: [configOf("agent"), asJson],
  examples: ["assay rotate < invitation"],
  exits: ["good", "failed", "misuse", "configuration"],
  reads: z.object({ config: text.optional(), json: flag }),
  run: (given, terminal) => enter(rotateKey, given, terminal),
})

type Given = { readonly config?: string | undefined; readonly json: boolean }

async function enter(how: typeof joinCollector, { config, json }: Given, terminal: Terminal): Promise<Exit> {
  const configuration = await agentConfiguration(config)
  const invitation = (await terminal.read("invitation: ", 1024)).trim()
  if (invitation === "") throw new Problem("misuse", "no invitation came on stdin", "give it by < FILE, or paste it")
  const joined = await how(configuration, invitation, { signal: untilInterrupted(terminal), now: terminal.now })
  const { attester, host, port } = joined
  if (json) writeJsonLine(terminal, { attester, host, port })
  else {
    row(terminal.out, "joined", `${host}:${port}`)
    row(terminal.out, "attester", attester)
  }
  return "good"
}
