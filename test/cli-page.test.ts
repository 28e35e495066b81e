/** Does docs/commands.md say what the table of commands says? It is made from it: bless with `--update`. */
import { join } from "node:path"
import { expect, test } from "vitest"
import type { Command } from "../cli/command.ts"
import { commands } from "../cli/commands.ts"
import { exits, meanings } from "../cli/exit.ts"

const page = (): string =>
  [
    "# The commands",
    "",
    "stdout is the result; stderr is for people. `--json` prints one JSON object where a script might read. Colours follow `NO_COLOR`",
    "and whether a terminal watches. This page is made from the table in `cli/commands.ts`.",
    "",
    "| exit | says |",
    "|---|---|",
    ...Object.entries(exits).map(([name, code]) => `| ${code} | ${meanings[name as keyof typeof exits]} |`),
    "",
    ...commands.flatMap(section),
  ].join("\n")

function section({ name, takes, options, teaches, examples, exits: used }: Command): string[] {
  const usage = ["assay", name, ...takes.map(([spelling]) => spelling)].join(" ")
  return [
    `## ${usage.replaceAll("<", "\\<")}`,
    "",
    teaches,
    "",
    ...(options.length === 0 ? [] : ["| option | |", "|---|---|", ...options.map(row), ""]),
    "```sh",
    ...examples,
    "```",
    "",
    `Exits: ${used.map(exit => exits[exit]).join(", ")}.`,
    "",
  ]
}

const row = ([flags, says]: readonly [string, string]): string => `| \`${flags.replaceAll("|", "\\|")}\` | ${says} |`

test("docs/commands.md is the table of commands", async () => {
  await expect(page()).toMatchFileSnapshot(join(import.meta.dirname, "../docs/commands.md"))
})
