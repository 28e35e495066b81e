/**
 * Where does a process or a worker of ours start? One table, for those who start them and for the bundler
 * (scripts/entries.ts). How each is started, and with which rights, is left to whoever starts it.
 */
import { fileURLToPath } from "node:url"

/** Every entry point, by name: its file in a checkout. The bundle keeps the folders; its files end in `.js`. */
export const entryPoints = {
  cli: "cli/assay.mjs",
  broker: "agent/broker/main.ts",
  reader: "agent/reader/main.ts",
  hashWorker: "agent/hash/worker.ts",
} as const

export type EntryPoint = keyof typeof entryPoints

/** The absolute path to give to `new Worker(path)` or to Node as its program, in a checkout and in the bundle alike. */
export const entryPoint = (name: EntryPoint): string => entryPointFrom(import.meta.url, name)

/** The same, as seen from the URL of this module: a `.ts` file is in a checkout, a `.js` file is in a bundle. */
export function entryPointFrom(here: string, name: EntryPoint): string {
  const file = entryPoints[name]
  const there = here.endsWith(".ts") ? file : file.replace(/\.m?ts$|\.mjs$/, ".js")
  return fileURLToPath(new URL(`../${there}`, here))
}
