/** What does a command say? A terminal that keeps what is written to it, with a clock that stands still. */
import { styleText } from "node:util"
import { run } from "../cli/main.ts"
import type { Look, Output, Terminal } from "../cli/terminal.ts"

export type Recorded = { readonly exit: number; readonly out: string; readonly err: string }

const colours = { good: "green", doubtful: "yellow", bad: "red", strong: "bold", faint: "dim" } as const

const output = (parts: string[], watched: boolean): Output => ({
  write: text => void parts.push(Buffer.from(text).toString()),
  style: (look: Look, text) => (watched ? styleText(colours[look], text, { validateStream: false }) : text),
  watched,
  width: 80,
})

/** Runs a command line; `input` is what stands on stdin. */
export async function record(
  argv: readonly string[],
  { watched = false, input = "", now = "2026-12-01T00:00:00Z" } = {},
): Promise<Recorded> {
  const out: string[] = []
  const err: string[] = []
  const terminal: Terminal = {
    out: output(out, watched),
    err: output(err, watched),
    read: async (_prompt, limit) => input.slice(0, limit),
    readBytes: async limit => new Uint8Array(Buffer.from(input).subarray(0, limit)),
    now: () => Date.parse(now),
    interrupted: () => new Promise(() => undefined),
  }
  const exit = await run(argv, terminal)
  return { exit, out: out.join(""), err: err.join("") }
}

/** The same as a person would see it: the line, stdout, stderr, exit code. */
export async function session(argv: readonly string[], options: Parameters<typeof record>[1] = {}): Promise<string> {
  const { exit, out, err } = await record(argv, options)
  const line = ["assay", ...argv].map(each => (/^[\w./:=,-]+$/.test(each) ? each : `'${each}'`)).join(" ")
  return [`$ ${line}`, out, err === "" ? "" : `--- stderr\n${err}`, `--- exit ${exit}\n`]
    .filter(each => each !== "")
    .join("\n")
}
