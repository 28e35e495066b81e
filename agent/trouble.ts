/** What does the agent say when something does not work? What is wrong, and the fix; a person reads both. */
import { Hinted, hintOf } from "../attestation/wire/hinted.ts"
import { plainLine } from "../attestation/wire/text.ts"
import { withLevel } from "../local/journal.ts"

/** A failure with a hint: what a person should do about it. */
export class Trouble extends Hinted {}

/** Tells people what happened; `hint` is what to do, or empty. */
export type Say = (message: string, hint: string) => void

/** What an error says, and the fix that it names. */
export function told(error: unknown): { readonly message: string; readonly hint: string } {
  return { message: error instanceof Error ? error.message : String(error), hint: hintOf(error) }
}

/** On stderr, in house style, and harmless to a terminal whoever the words are from. What has a fix is a warning. */
export function sayOnStderr(message: string, hint: string): void {
  const fix = hint === "" ? "" : `assay: hint: ${plainLine(hint, longest)}\n`
  const line = `assay: agent: ${plainLine(message, longest)}\n`
  process.stderr.write(withLevel(hint === "" ? "info" : "warning", `${line}${fix}`))
}

/** Characters of one line. */
const longest = 2000
