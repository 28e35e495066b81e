/** How is the agent started by hand or by systemd? With its configuration, until Ctrl-C. What it does: `agent/main.ts`. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { z } from "zod"
import { runAgent } from "../agent/main.ts"
import { supervisorOf } from "../local/supervisor.ts"
import { command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { untilEnded } from "./daemon.ts"
import { text } from "./given.ts"

export const agent = command({
  name: "agent",
  says: "run the agent: measure this machine and answer its collector",
  teaches:
    "Measures this machine, keeps reports while nobody asks, and answers its collector's challenges, until Ctrl-C.",
  takes: [],
  options: [configOf("agent")],
  examples: ["assay agent --config agent.toml"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ config: text.optional() }),
  run: async ({ config }, terminal) => {
    const supervisor = supervisorOf(process.env)
    const common = { now: terminal.now, random: () => Math.random(), supervisor, invitation: invitationOf(process.env) }
    const read = () => agentConfiguration(config)
    await untilEnded({ read, run: (given, signal) => runAgent(given, { ...common, signal }) }, terminal, supervisor)
    return "good"
  },
})

/** systemd.exec(5), LoadCredential=: an invitation that is handed to the service at its start, and joined by if nothing was yet. */
function invitationOf(environment: Readonly<Record<string, string | undefined>>): { readonly text: string } | "none" {
  const folder = environment["CREDENTIALS_DIRECTORY"]
  if (folder === undefined) return "none"
  try {
    return { text: readFileSync(join(folder, "assay.invitation"), "utf8").trim() }
  } catch (error) {
    // Where nothing was handed over, systemd 252 leaves a folder that only root may look into.
    if (error instanceof Error && "code" in error && ["ENOENT", "EACCES"].includes(String(error.code))) return "none"
    throw error
  }
}
