/**
 * Which configuration is meant? The file that is named, or the one at its usual place; where there is none there, every default
 * holds. What it may say: `agent/config.ts` and `collector/config.ts`.
 */
import { hostname } from "node:os"
import {
  type Configuration as Agent,
  configurationPath as agentPath,
  readConfiguration as readAgent,
} from "../agent/config.ts"
import {
  type Configuration as Collector,
  configurationPath as collectorPath,
  readConfiguration as readCollector,
} from "../collector/config.ts"
import { BadConfiguration } from "../local/configuration.ts"
import { readBounded } from "./bundle.ts"
import { Problem } from "./exit.ts"

/** The agent's configuration. Throws Problem. */
export const agentConfiguration = (path: string | undefined): Promise<Agent> =>
  read(path ?? agentPath, path === undefined, text => readAgent(text, process.env))

/** The collector's configuration. Throws Problem. */
export const collectorConfiguration = (path: string | undefined): Promise<Collector> =>
  read(path ?? collectorPath, path === undefined, text =>
    readCollector(text, { hostname: hostname(), environment: process.env }),
  )

async function read<T>(path: string, usual: boolean, parse: (text: string) => T): Promise<T> {
  const text = await readText(path, usual)
  try {
    return parse(text)
  } catch (error) {
    if (!(error instanceof BadConfiguration)) throw error
    throw new Problem("configuration", `${path}: ${error.message}`, error.hint)
  }
}

async function readText(path: string, usual: boolean): Promise<string> {
  try {
    return Buffer.from(await readBounded(path, 1 << 20)).toString("utf8")
  } catch (error) {
    if (!(error instanceof Problem)) throw error
    if (usual && error.message.endsWith("does not exist")) return ""
    throw new Problem("configuration", error.message, error.hint)
  }
}

/** The option that names a configuration. */
export const configOf = (who: "agent" | "collector") =>
  ["--config <file>", `the ${who}'s configuration (default: ${who === "agent" ? agentPath : collectorPath})`] as const
