/** How is the collector started? With its configuration, until Ctrl-C. What it does: `collector/main.ts`. */
import { z } from "zod"
import { runCollector } from "../collector/main.ts"
import { supervisorOf } from "../local/supervisor.ts"
import { command } from "./command.ts"
import { collectorConfiguration, configOf } from "./configuration.ts"
import { untilEnded } from "./daemon.ts"
import { text } from "./given.ts"

export const collector = command({
  name: "collector",
  says: "run the collector: challenge the fleet, verify and keep what it answers",
  teaches: "Listens for agents, challenges them, verifies, judges and keeps their evidence, until Ctrl-C.",
  takes: [],
  options: [configOf("collector")],
  examples: ["assay collector --config collector.toml"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ config: text.optional() }),
  run: async ({ config }, terminal) => {
    const supervisor = supervisorOf(process.env)
    const read = () => collectorConfiguration(config)
    await untilEnded(
      { read, run: (given, signal) => runCollector(given, { signal, supervisor }) },
      terminal,
      supervisor,
    )
    return "good"
  },
})
