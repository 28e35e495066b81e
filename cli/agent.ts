/** How is the agent started by hand or by systemd? With its configuration, until Ctrl-C. What it does: `agent/main.ts`. */
import { z } from "zod"
import { runAgent } from "../agent/main.ts"
import { command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { text } from "./given.ts"
import { untilInterrupted } from "./terminal.ts"

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
    const configuration = await agentConfiguration(config)
    await runAgent(configuration, {
      signal: untilInterrupted(terminal),
      now: terminal.now,
      random: () => Math.random(),
    })
    return "good"
  },
})
