/**
 * The `assay` command: which command is meant, and how does it end? What each command does stands in its own file.
 */
import { CallFailed } from "../local/call.ts"
import { BadConfiguration } from "../local/configuration.ts"
import { hintOf } from "../attestation/wire/hinted.ts"
import { Command as Line, CommanderError } from "commander"
import type { Command } from "./command.ts"
import { commands } from "./commands.ts"
import { type Exit, exits, meanings, Problem } from "./exit.ts"
import { complain, processTerminal, type Terminal } from "./terminal.ts"
import project from "../package.json" with { type: "json" }

/** Carries out the command line `argv` (without the program's name) on this process's terminal, and gives its exit code. */
export const main = (argv: readonly string[]): Promise<number> => run(argv, processTerminal())

/** The same on a given terminal. */
export async function run(argv: readonly string[], terminal: Terminal): Promise<number> {
  let exit: Exit = "good"
  const line = program(terminal, ended => {
    exit = ended
  })
  try {
    await line.parseAsync(listing(argv), { from: "user" })
    return exits[exit]
  } catch (error) {
    return exits[explained(error, argv, terminal)]
  }
}

/** A group of commands that is named alone lists, where it has a list: `assay gaps` is `assay gaps list`. */
function listing(argv: readonly string[]): readonly string[] {
  const [word, ...rest] = argv
  const alone = rest[0]?.startsWith("-") ?? true
  const helped = rest.includes("-h") || rest.includes("--help")
  return alone && !helped && commands.some(({ name }) => name === `${word} list`) ? [`${word}`, "list", ...rest] : argv
}

function program(terminal: Terminal, ended: (exit: Exit) => void): Line {
  const line = new Line("assay")
    .description("proves what a workstation runs: measure, challenge, verify, appraise")
    .version(`assay ${project.version}`, "--version", "the version of this program")
    .helpOption("-h, --help", "how it is used")
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: text => terminal.out.write(text),
      writeErr: () => undefined,
      getOutHelpWidth: () => terminal.out.width,
    })
    .addHelpText("after", `\nassay COMMAND --help shows an example of each, and its exit codes.`)
  for (const each of commands) declare(line, each, terminal, ended)
  return line
}

/** "reference record" stands under a command `reference`, which has no action of its own. */
function declare(line: Line, row: Command, terminal: Terminal, ended: (exit: Exit) => void): void {
  const words = row.name.split(" ")
  const parent = words.length === 1 ? line : group(line, words[0] ?? "")
  const own = parent
    .command(words.at(-1) ?? "")
    .summary(row.says)
    .description(row.teaches)
  if (parent !== line && parent.description() === "")
    parent.summary(parent.commands.map(each => each.name()).join(", "))
  own.helpOption("-h, --help", "how it is used")
  for (const [spelling, says] of row.takes) own.argument(spelling, says)
  for (const [flags, says] of row.options) own.option(flags, says)
  own.addHelpText("after", () => lesson(row))
  own.action(async () => {
    const taken = Object.fromEntries(
      own.registeredArguments.map((each, i) => [each.name(), each.variadic ? own.args.slice(i) : own.args[i]]),
    )
    ended(await row.carryOut({ ...own.opts<Record<string, unknown>>(), ...taken }, terminal))
  })
}

function group(line: Line, name: string): Line {
  const there = line.commands.find(each => each.name() === name)
  return there ?? line.command(name).helpCommand(false).helpOption("-h, --help", "how it is used")
}

function lesson({ examples, exits: used }: Command): string {
  const codes = used.map(exit => `  ${String(exits[exit]).padEnd(3)} ${meanings[exit]}`)
  return ["", "Example:", ...examples.map(each => `  ${each}`), "", "Exit codes:", ...codes].join("\n")
}

function explained(error: unknown, argv: readonly string[], terminal: Terminal): Exit {
  if (error instanceof CommanderError && error.code === "commander.help") return unnamed(argv[0], terminal)
  if (error instanceof CommanderError) return misused(error, terminal)
  const { message, hint, exit } = fault(error)
  complain(terminal, message, hint)
  return exit
}

/** No command, or the first word of several. */
function unnamed(word: string | undefined, terminal: Terminal): Exit {
  const own = commands.filter(({ name }) => name.startsWith(`${word} `)).map(({ name }) => `assay ${name}`)
  if (own.length === 0) complain(terminal, "no command is named", "assay --help lists the commands")
  else complain(terminal, `assay ${word} does nothing by itself`, own.join(", "))
  return "misuse"
}

/** commander says "error: what (Did you mean this?)"; help and version that were asked for are no error. */
function misused(error: CommanderError, terminal: Terminal): Exit {
  if (error.exitCode === 0) return "good"
  const [first = "", second = ""] = error.message.replace(/^error: /, "").split("\n")
  const shown = first.replace(/\.$/, "")
  const near = /Did you mean (.*)\?/.exec(second)?.[1]
  complain(terminal, shown, near ? `did you mean ${near}?` : "assay --help lists the commands")
  return "misuse"
}

function fault(error: unknown): { message: string; hint: string; exit: Exit } {
  if (error instanceof Problem) return error
  if (!(error instanceof Error)) return { message: String(error), hint: "", exit: "failed" }
  const hint = hintOf(error)
  return { message: error.message, hint, exit: exitOf(error) }
}

/** What other rooms throw. */
function exitOf(error: Error): Exit {
  if (error instanceof BadConfiguration) return "configuration"
  if (error instanceof CallFailed && error.message.startsWith("nothing answers")) return "missing"
  return "failed"
}
