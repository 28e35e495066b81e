/** What does the agent say when something does not work? What is wrong, and the fix; a person reads both. */

/** A failure with a hint: what a person should do about it. */
export class Trouble extends Error {
  readonly hint: string
  constructor(message: string, hint: string) {
    super(message)
    this.name = "Trouble"
    this.hint = hint
  }
}

/** Tells people what happened; `hint` is what to do, or empty. */
export type Say = (message: string, hint: string) => void

/** What an error says, and the fix that it names. */
export function told(error: unknown): { readonly message: string; readonly hint: string } {
  if (!(error instanceof Error)) return { message: String(error), hint: "" }
  return { message: error.message, hint: "hint" in error && typeof error.hint === "string" ? error.hint : "" }
}

/** On stderr, in house style. */
export function sayOnStderr(message: string, hint: string): void {
  process.stderr.write(`assay: agent: ${message}\n${hint === "" ? "" : `assay: hint: ${hint}\n`}`)
}
