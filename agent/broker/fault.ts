/** What does the broker say when it cannot do something? What is wrong, and the fix; both reach the caller and stderr. */

/** A failure with a hint: what a person should do about it. */
export class Fault extends Error {
  readonly hint: string
  constructor(message: string, hint: string) {
    super(message)
    this.name = "Fault"
    this.hint = hint
  }
}

/** The hint that an error carries, or an empty text. */
export const hintOf = (error: unknown): string =>
  error instanceof Error && "hint" in error && typeof error.hint === "string" ? error.hint : ""

/** Tells people on stderr, in house style. */
export function say(message: string, hint = ""): void {
  process.stderr.write(`assay: broker: ${message}\n${hint === "" ? "" : `assay: hint: ${hint}\n`}`)
}
