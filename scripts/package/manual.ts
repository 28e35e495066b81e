/**
 * What do the manual pages say? What the table of commands and the pages of configuration under docs say: they are made from
 * them, so that there is one source. How they are set: `roff.ts`.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import type { Command } from "../../cli/command.ts"
import { commands } from "../../cli/commands.ts"
import { exits, meanings } from "../../cli/exit.ts"
import { bold, inline, type Page, set, tagged, verbatim } from "./roff.ts"

const root = join(import.meta.dirname, "../..")

/** Every page of the package. */
export const pages = (): readonly Page[] => [
  assay(),
  agent(),
  collector(),
  configuration("agent", 8),
  configuration("collector", 8),
]

function assay(): Page {
  return {
    name: "assay",
    section: 1,
    says: "proves, to someone who is not in the room, what a GPU workstation runs",
    body: [
      ...[".SH SYNOPSIS", `${bold("assay")} ${set("COMMAND [OPTIONS]")}`, ".SH DESCRIPTION"],
      inline("stdout is the result; stderr is for people. `--json` prints one JSON object where a script might read."),
      ...[".SH COMMANDS", ...commands.flatMap(section)],
      ...[".SH EXIT STATUS", ...Object.entries(meanings).flatMap(([name, says]) => exitRow(name, says))],
      ...seeAlso("assay-agent(8)", "collector(8)", "agent.toml(5)", "collector.toml(5)"),
    ],
  }
}

const exitRow = (name: string, says: string): string[] => {
  const [, code = 0] = Object.entries(exits).find(([each]) => each === name) ?? []
  return tagged(String(code), set(says))
}

function section({ name, takes, options, teaches, examples, exits: used }: Command): string[] {
  const usage = [`assay ${name}`, ...takes.map(([spelling]) => spelling)].join(" ")
  return [
    `.SS "${set(usage)}"`,
    inline(teaches),
    ...takes.flatMap(([spelling, says]) => tagged(spelling, inline(says))),
    ...options.flatMap(([flags, says]) => tagged(flags, inline(says))),
    ...[".PP", "Example:", ...verbatim(examples)],
    ...[".PP", set(`Exits: ${used.map(exit => exits[exit]).join(", ")}.`)],
  ]
}

function agent(): Page {
  return {
    name: "assay-agent",
    section: 8,
    says: "measures this machine, and answers its collector",
    body: [
      ...[".SH SYNOPSIS", set("systemctl start assay-agent.service"), ".br", set("assay agent [--config FILE]")],
      ".SH DESCRIPTION",
      ...teachingOf("agent"),
      ".PP",
      inline(
        "Three services make it up, each with a user of its own: `assay-broker`, which alone opens the TPM and has no",
      ),
      inline(
        "network; `assay-reader`, which shows what root alone may see, question by question, and has no network either; and",
      ),
      inline(
        "`assay-agent`, which has the network and no right at all. `assay join` lets the machine in at a collector;",
      ),
      inline("`assay doctor` says what is missing, and the fix."),
      ...files([
        ["/etc/assay/agent.toml", "the configuration: agent.toml(5)"],
        ["/var/lib/assay-agent", "the enrolment, and evidence that waits for the collector"],
        ["/var/lib/assay-broker", "the broker's sealed keys, and the event logs"],
        ["/run/assay-broker/broker.sock", "the one door to the TPM"],
        ["/run/assay-reader/reader.sock", "where the reader is asked"],
        ["/usr/share/assay", "digests of the package's own files, and the IMA rule that covers its code"],
      ]),
      ...seeAlso("assay(1)", "agent.toml(5)", "collector(8)"),
    ],
  }
}

function collector(): Page {
  return {
    name: "collector",
    section: 8,
    says: "challenges a fleet of agents, verifies, judges and keeps what they answer",
    body: [
      ...[".SH SYNOPSIS", set("systemctl enable --now assay-collector.service"), ".br"],
      set("assay collector [--config FILE]"),
      ".SH DESCRIPTION",
      ...teachingOf("collector"),
      ".PP",
      inline("The service `assay-collector` is installed and not started: it listens on the network."),
      ...files([
        ["/etc/assay/collector.toml", "the configuration: collector.toml(5)"],
        ["/var/lib/assay-collector", "its keys and its store: back it up"],
        ["/run/assay-collector/admin.sock", "how assay(1) asks it"],
      ]),
      ...seeAlso("assay(1)", "collector.toml(5)", "assay-agent(8)"),
    ],
  }
}

function teachingOf(name: string): string[] {
  const command = commands.find(each => each.name === name)
  if (command === undefined) throw new Error(`there is no command ${name}`)
  return [inline(command.teaches)]
}

/** The page under docs, of which the first table lists the keys; what follows the table stands as it is. */
function configuration(who: "agent" | "collector", seen: 8): Page {
  const page = readFileSync(join(root, `docs/${who}-configuration.md`), "utf8")
  const [, before = "", rows = "", after = ""] = /^# .*\n([^|]*)\n\|.*\n\|.*\n((?:\|.*\n)+)([^]*)$/m.exec(page) ?? []
  const keys = [...rows.matchAll(/^\| `([^`]+)` \| (.*?) \| (.*) \|$/gm)]
  if (keys.length === 0) throw new Error(`docs/${who}-configuration.md has no table of keys`)
  const title = who === "agent" ? `assay-agent(${seen})` : `collector(${seen})`
  return {
    name: `${who}.toml`,
    section: 5,
    says: `configuration of ${title}`,
    body: [
      ...[".SH SYNOPSIS", set(`/etc/assay/${who}.toml`), ".SH DESCRIPTION", ...paragraphs(before)],
      ".SH KEYS",
      ...keys.flatMap(([, key = "", usual = "", says = ""]) =>
        tagged(key, `${inline(says)}. Default: ${inline(usual)}`),
      ),
      ...(after.trim() === "" ? [] : [".SH NOTES", ...paragraphs(after)]),
      ...seeAlso("assay(1)", title),
    ],
  }
}

/** Paragraphs and fenced blocks. */
const paragraphs = (markdown: string): string[] =>
  markdown.split(/^(```[^]*?^```)$/m).flatMap(part =>
    part.startsWith("```")
      ? verbatim(part.split("\n").slice(1, -1))
      : part
          .trim()
          .split(/\n\n+/)
          .filter(text => text !== "")
          .flatMap(text => [".PP", ...text.split("\n").map(inline)]),
  )

const files = (rows: readonly (readonly [path: string, says: string])[]): string[] => [
  ".SH FILES",
  ...rows.flatMap(([path, says]) => tagged(path, set(says))),
]

const seeAlso = (...names: string[]): string[] => [
  ".SH SEE ALSO",
  names.map(name => name.replace(/^(.*)\((\d)\)$/, (_, page: string, at: string) => `${bold(page)}(${at})`)).join(", "),
]
