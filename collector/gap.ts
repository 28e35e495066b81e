/**
 * Which answers are missing, of which machine, and what does that hold back? Computed from the newest result, so a gap is shown
 * until it is closed, and closes by itself when a name is there. Who owns it and until when: `GapPlan` in `approval.ts`.
 */
import type { Result } from "../attestation/appraise/result.ts"
import type { Gap, Row } from "./store.ts"

/** Whose hash, whose key, whose pin; and history that was lost. */
export const questions = ["hash", "key", "pin", "history"] as const
export type Question = (typeof questions)[number]

/** A gap as it is shown: called by its question and the beginning of the attester's name. */
export type Held = {
  readonly gap: string
  readonly question: Question
  readonly attester: string
  readonly label: string
  readonly says: string
  readonly holds: string
}

const says: Readonly<Record<Exclude<Question, "history">, string>> = {
  hash: "nobody answers for the weights' hash",
  key: "nobody answers for the signing key",
  pin: "nobody answers for what it may run",
}

/** What is missing of one machine. Lost history holds no present verdict down. */
export function heldBack({ attester, label }: Row, result: Result | undefined, lost: readonly Gap[]): Held[] {
  const of = (question: Question, what: string, holds: string): Held => ({
    ...{ gap: `${question}:${attester.slice(0, 20)}`, question, attester, label, says: what, holds },
  })
  const missing = (["hash", "key", "pin"] as const).filter(question => !result?.authority[question])
  return [
    ...missing.map(question => of(question, says[question], "the verdict: a warning at best")),
    ...lost.slice(0, 1).map(({ evidence }) => {
      const more = lost.length > 1 ? `, and ${lost.length - 1} more` : ""
      return of(
        "history",
        `evidence before ${evidence.slice(0, 16)}… is missing${more}`,
        "nothing: present verdicts stand",
      )
    }),
  ]
}
