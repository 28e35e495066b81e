/** What does the command's exit status say? One table; scripts may rely on it. Why these: docs/decisions/exit-codes.md. */
import { Hinted } from "../attestation/wire/hinted.ts"

/** Exit codes by name. 0 to 4 are our answers; from 69 on they are those of sysexits(3), which systemd knows by name. */
export const exits = {
  good: 0,
  failed: 1,
  misuse: 2,
  unacceptable: 3,
  unauthentic: 4,
  missing: 69,
  later: 75,
  configuration: 78,
} as const
export type Exit = keyof typeof exits

/** What each says to a person. */
export const meanings: Readonly<Record<Exit, string>> = {
  good: "it is as asked",
  failed: "it could not be done",
  misuse: "the command line is not understood",
  unacceptable: "authentic, and not acceptable: it is not what is wanted",
  unauthentic: "not authentic",
  missing: "something that is needed is not there",
  later: "try again later",
  configuration: "the configuration cannot be used",
}

/** A command cannot go on: what is wrong, what to do, and the exit it ends with. */
export class Problem extends Hinted {
  readonly exit: Exit
  constructor(exit: Exit, message: string, hint: string) {
    super(message, hint)
    this.exit = exit
  }
}
