/**
 * How is a text spelled that people approve? One fact a line, in plain ASCII, so that no two lines that look alike differ, and no
 * line stands twice. Which lines a policy or a pin has: `policy.ts`, `pin.ts`. Who signed it: `note.ts`.
 */
import { Malformed } from "../wire/codec.ts"

/** What a text is: its second line, so that a signature under one kind of text fits no other. */
export const statementKinds = ["policy", "pin", "rollback", "certification"] as const
export type StatementKind = (typeof statementKinds)[number]

/** A text, read into lines: the first word of each and what follows it. */
export type Statement = {
  readonly origin: string
  readonly kind: StatementKind
  readonly lines: readonly Line[]
}
export type Line = readonly [word: string, rest: string]

const mostLines = 10_000
const longestLine = 4096
const originPattern = /^[a-z0-9][a-z0-9.-]{0,127}(\/[a-z0-9][a-z0-9._-]{0,63}){1,4}$/
const headPattern = /^assay ([a-z]+) v1$/

/** Whether `text` names an origin: a URL without scheme, in lower case. */
export const isOrigin = (text: string): boolean => originPattern.test(text)

/** The lines of `text`. Throws {@link Malformed}. */
export function readStatement(text: string): Statement {
  const lines = text.split("\n")
  if (lines.pop() !== "") throw new Malformed("the text does not end with a newline")
  if (lines.length > mostLines) throw new Malformed(`the text has more than ${mostLines} lines`)
  for (const [i, line] of lines.entries()) checkLine(line, i + 1)
  const twice = lines.find((line, i) => lines.indexOf(line) < i)
  if (twice !== undefined) throw new Malformed(`the line "${twice}" stands twice`)
  const [origin = "", head = "", ...rest] = lines
  if (!isOrigin(origin)) throw new Malformed("the first line is not an origin like firm.example/pins")
  const kind = statementKinds.find(each => each === headPattern.exec(head)?.[1])
  if (!kind) throw new Malformed(`the second line is not "assay ${statementKinds.join("|")} v1"`)
  return { origin, kind, lines: rest.map(asLine) }
}

function checkLine(line: string, number: number): void {
  const strange = /[^ -~]/u.exec(line)?.[0]
  if (strange !== undefined) {
    const code = strange.codePointAt(0)?.toString(16).toUpperCase().padStart(4, "0")
    throw new Malformed(`line ${number} holds U+${code}, which may look like another character: plain ASCII only`)
  }
  if (line.length > longestLine) throw new Malformed(`line ${number} is longer than ${longestLine} characters`)
  if (line === "" || /^ | $| {2}/.test(line))
    throw new Malformed(`line ${number} is empty, or spaced otherwise than once`)
}

function asLine(line: string): Line {
  const at = line.indexOf(" ")
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)]
}

/** The text of a statement. */
export const writeStatement = ({ origin, kind, lines }: Statement): string =>
  [origin, `assay ${kind} v1`, ...lines.map(([word, rest]) => `${word} ${rest}`)].map(each => `${each}\n`).join("")

/** The lines of a statement, taken by their words; `left` are those that nobody took. */
export class Taken {
  readonly #lines: Line[]

  constructor({ lines }: Statement) {
    this.#lines = [...lines]
  }

  /** What follows the one line with this word. Throws {@link Malformed}. */
  one(word: string): string {
    const [first, another] = this.all(word)
    if (first === undefined) throw new Malformed(`there is no line "${word} …"`)
    if (another !== undefined) throw new Malformed(`there are two lines "${word} …"`)
    return first
  }

  /** What follows each line with this word, in their order. */
  all(word: string): string[] {
    const found = this.#lines.filter(line => line[0] === word)
    for (const line of found) this.#lines.splice(this.#lines.indexOf(line), 1)
    return found.map(([, rest]) => rest)
  }

  /** The lines that are left. */
  get left(): readonly Line[] {
    return this.#lines
  }
}

/** "sha256:…" as its hex. Throws {@link Malformed}. */
export function readDigest(text: string): string {
  const digest = /^sha256:([0-9a-f]{64})$/.exec(text)?.[1]
  if (digest === undefined) throw new Malformed(`"${text}" is not a digest like sha256:…`)
  return digest
}
export const writeDigest = (digest: string): string => `sha256:${digest}`

/** "none", or what `read` makes of it. */
export const orNone = <T>(text: string, read: (text: string) => T): T | null => (text === "none" ? null : read(text))
export const noneOr = <T>(value: T | null, write: (value: T) => string): string =>
  value === null ? "none" : write(value)

/** A moment in UTC to the second, as milliseconds since 1970. Throws {@link Malformed}. */
export function readMoment(text: string): number {
  const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isFinite(time) || writeMoment(time) !== text)
    throw new Malformed(`"${text}" is not a moment like 2026-12-01T06:00:00Z`)
  return time
}
export const writeMoment = (time: number): string => `${new Date(time).toISOString().slice(0, 19)}Z`

/** A version, from 1 on. Throws {@link Malformed}. */
export function readVersion(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new Malformed(`"${text}" is not a version like 17`)
  return Number(text)
}

const personPattern = /^[a-z][a-z0-9-]{0,31}$/

/** What a policy calls a person. Throws {@link Malformed}. */
export function readPersonId(text: string): string {
  if (!personPattern.test(text)) throw new Malformed(`"${text}" is not what a policy calls a person, like ada`)
  return text
}

/** Some words of a person's, of at most 300 characters. Throws {@link Malformed}. */
export function readWords(text: string): string {
  if (text === "" || text.length > 300) throw new Malformed("words are missing, or more than 300 characters")
  return text
}
