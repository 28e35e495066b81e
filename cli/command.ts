/**
 * What is a command? A row: what it is called, what it takes, what an example of it looks like, which exits it has, and the
 * function that carries it out. Which commands there are: `commands.ts`.
 */
import { z, type ZodType } from "zod"
import { type Exit, Problem } from "./exit.ts"
import type { Terminal } from "./terminal.ts"

/** A command as the table holds it: what it was given on the line is read by its own schema before it runs. */
export type Command = {
  /** "verify", or "reference record" */
  readonly name: string
  /** for the list of commands: one line, lower case */
  readonly says: string
  /** a paragraph for its own help */
  readonly teaches: string
  /** commander's spelling: "<path>" must be there, "[path]" may */
  readonly takes: readonly (readonly [spelling: string, says: string])[]
  readonly options: readonly (readonly [flags: string, says: string])[]
  readonly examples: readonly string[]
  readonly exits: readonly Exit[]
  carryOut(given: unknown, terminal: Terminal): Promise<Exit>
}

type Row<T> = Omit<Command, "carryOut"> & {
  readonly reads: ZodType<T>
  readonly run: (given: T, terminal: Terminal) => Promise<Exit>
}

/** The command of `row`. What it is given wrongly is misuse, told with the option's name. */
export function command<T>({ reads, run, ...row }: Row<T>): Command {
  return {
    ...row,
    carryOut: (given, terminal) => {
      const read = reads.safeParse(given)
      if (read.success) return run(read.data, terminal)
      throw new Problem(
        "misuse",
        said(read.error.issues, given, row.takes),
        `assay ${row.name} --help shows how it is used`,
      )
    },
  }
}

/** What is missing, all of it; or else the first thing that is wrong. */
function said(issues: readonly z.core.$ZodIssue[], given: unknown, takes: Command["takes"]): string {
  const there = new Map(Object.entries(Object(given)))
  const nameOf = (place: PropertyKey): string =>
    takes.map(([spelling]) => spelling).find(each => each.slice(1, -1) === place) ?? dashed(String(place))
  const missing = issues.filter(({ path: [place] }) => typeof place === "string" && there.get(place) === undefined)
  const names = missing.flatMap(({ path: [place] }) => (place === undefined ? [] : [nameOf(place)]))
  if (names.length > 0) return `${names.join(", ")} ${names.length === 1 ? "is" : "are"} missing`
  const [issue] = issues
  const [place] = issue?.path ?? []
  const message = issue?.message ?? "the command line is not understood"
  return place === undefined ? message : `${nameOf(place)}: ${message}`
}

const dashed = (name: string): string => `--${name.replace(/[A-Z]/g, letter => `-${letter.toLowerCase()}`)}`

/** The option that every command which a script might read has. */
export const asJson = ["--json", "one JSON object on stdout, and no talk"] as const
