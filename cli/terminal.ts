/**
 * How does a command speak? Results go to stdout, talk for people to stderr; colour only where a terminal shows it and
 * nobody said NO_COLOR. Text from evidence passes `plain`, so that it cannot drive the terminal. What is said: each command.
 */
import { styleText } from "node:util"
import { plainLine } from "../attestation/wire/text.ts"
import { withLevel } from "../local/journal.ts"

/** Colours by meaning, so that a verdict looks the same everywhere. */
const looks = {
  good: "green",
  doubtful: "yellow",
  bad: "red",
  strong: "bold",
  faint: "dim",
} as const
export type Look = keyof typeof looks

/** One of the two streams: text with its line ends, and whether a person watches it. */
export type Output = {
  /** text, or bytes as they are */
  write(text: string | Uint8Array): void
  readonly style: (look: Look, text: string) => string
  readonly watched: boolean
  /** characters in a line, at most 100 */
  readonly width: number
}

export type Terminal = {
  readonly out: Output
  readonly err: Output
  /** stdin to its end, or to the first line end when a person types; at most `limit` characters */
  readonly read: (prompt: string, limit: number) => Promise<string>
  /** the bytes of stdin to its end, at most `limit` of them; "watched" where a person would have to type them */
  readonly readBytes: (limit: number) => Promise<Uint8Array | "watched">
  /** milliseconds since 1970 */
  readonly now: () => number
  /** resolves at Ctrl-C or SIGTERM */
  readonly interrupted: () => Promise<void>
}

/** The terminal of this process. A reader of stdout that goes away is no error: what follows is said to nobody. */
export function processTerminal(): Terminal {
  return {
    out: outputTo(process.stdout),
    err: outputTo(process.stderr),
    read: readInput,
    readBytes: readBytesOfInput,
    now: () => Date.now(),
    interrupted: () =>
      new Promise(resolve => {
        for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve())
      }),
  }
}

const widest = 100

function outputTo(stream: NodeJS.WriteStream): Output {
  let gone = false
  stream.on("error", error => {
    if (!("code" in error) || error.code !== "EPIPE") throw error
    gone = true
  })
  return {
    write: text => {
      if (!gone) stream.write(text)
    },
    style: (look, text) => styleText(looks[look], text, { stream }),
    watched: stream.isTTY,
    width: Math.min(stream.columns || 80, widest),
  }
}

async function readInput(prompt: string, limit: number): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write(prompt)
  let text = ""
  for await (const chunk of process.stdin.setEncoding("utf8")) {
    text += String(chunk)
    if (text.length > limit || (process.stdin.isTTY && text.includes("\n"))) break
  }
  return text.slice(0, limit)
}

async function readBytesOfInput(limit: number): Promise<Uint8Array | "watched"> {
  if (process.stdin.isTTY) return "watched"
  const parts: Uint8Array[] = []
  for await (const chunk of process.stdin) {
    parts.push(Buffer.from(chunk))
    if (parts.reduce((sum, each) => sum + each.length, 0) > limit) break
  }
  return new Uint8Array(Buffer.concat(parts).subarray(0, limit))
}

/** Says why a command ends without its result. */
export function complain(terminal: Terminal, message: string, hint: string): void {
  const { err } = terminal
  err.write(withLevel("error", `assay: ${err.style("bad", "error")}: ${plain(message)}\n`))
  if (hint !== "") err.write(withLevel("error", `assay: ${err.style("strong", "hint")}: ${plain(hint)}\n`))
}

/** A remark for people, which is no result. */
export const remark = ({ err }: Terminal, message: string): void => err.write(`assay: ${plain(message)}\n`)

/** Format characters: they turn writing round or hide in it (Unicode category Cf), or are no characters at all. */
const unseen = /[\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu
const shown = (character: string): string => `\\u{${character.codePointAt(0)?.toString(16) ?? ""}}`

/** Text that anybody may have written, as one line that only shows itself. */
export const plain = (text: string, max = 400): string => plainLine(text, max).replace(unseen, shown)

/** `text` in lines of at most `width` characters, the second and later ones indented by `indent` more spaces. */
export function wrapped(text: string, width: number, indent: number): string {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line)
      line = word
    } else line = line === "" ? word : `${line} ${word}`
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`)
}

/** One JSON value on a line of its own. */
export const writeJsonLine = ({ out }: Terminal, value: unknown): void => out.write(`${JSON.stringify(value)}\n`)

/** A signal that is aborted when somebody interrupts. */
export function untilInterrupted(terminal: Terminal): AbortSignal {
  const controller = new AbortController()
  void terminal.interrupted().then(() => controller.abort(new Error("interrupted")))
  return controller.signal
}
