/** What is fuzzed? One parser, what it may throw, and well-formed input to begin from. Which there are: `targets.ts`. */

/** What the input is made of: it decides which alterations are tried. */
export type Grammar = "bytes" | "text" | "json"

export type Target = {
  readonly name: string
  readonly grammar: Grammar
  /** the one error that this parser throws */
  readonly refusal: new (
    ...given: never[]
  ) => Error
  /** inputs that it accepts; made anew at every run */
  readonly seeds: () => readonly Uint8Array[]
  /** Parses, and throws {@link Broken} when what it accepted is not as it must be. */
  readonly take: (bytes: Uint8Array) => void
}

/** A parser accepted what it must not accept, or gave what cannot be. */
export class Broken extends Error {
  constructor(how: string) {
    super(how)
    this.name = "Broken"
  }
}
