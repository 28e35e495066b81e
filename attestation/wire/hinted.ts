/** What should a person do about a failure? Every failure that reaches one carries its fix. */

/** A failure, and what to do about it. */
export class Hinted extends Error {
  readonly hint: string
  constructor(message: string, hint: string) {
    super(message)
    this.name = new.target.name
    this.hint = hint
  }
}

/** The fix that an error names, or "": of errors of other makes too. */
export const hintOf = (error: unknown): string =>
  error instanceof Error && "hint" in error && typeof error.hint === "string" ? error.hint : ""
