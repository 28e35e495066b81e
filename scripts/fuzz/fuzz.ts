/**
 * Does a parser hold? Alters what it accepts, over and over, and goes on from what it answered something new to: its own
 * words for a refusal guide the search. How long one case takes and what memory it needs is watched from outside: `watch.ts`.
 */
import { Lot } from "./lot.ts"
import { mutate } from "./mutate.ts"
import type { Target } from "./target.ts"

/** What a case came to that must not be. */
export type Crash = { readonly target: string; readonly what: string; readonly bytes: Uint8Array }

export type Tally = {
  readonly target: string
  readonly cases: number
  readonly accepted: number
  /** how many different answers there were, numbers in them aside */
  readonly answers: number
  /** milliseconds of the case that took longest */
  readonly slowest: number
}
export type Outcome = { readonly tally: Tally; readonly crash: Crash | "none" }

/** What a case is shown to before it is tried, so that it is known when it does not end. */
export type Witness = (bytes: Uint8Array) => void

/** The most inputs that are kept to go on from, and the most bytes of each. */
const mostKept = 512
const longestKept = 1 << 14

/** Tries seeds, then alterations of them, while `goOn` says so; ends with the first crash. */
export function fuzz(target: Target, seed: number, goOn: (cases: number) => boolean, witness: Witness): Outcome {
  const lot = new Lot(seed)
  const kept = [...target.seeds()]
  const answers = new Set<string>()
  let [cases, accepted, slowest] = [0, 0, 0]
  const tally = (): Tally => ({ target: target.name, cases, accepted, answers: answers.size, slowest })
  const attempt = (bytes: Uint8Array, mustPass: boolean): Crash | "none" => {
    witness(bytes)
    const begun = performance.now()
    const answer = answerOf(target, bytes)
    slowest = Math.max(slowest, performance.now() - begun)
    cases++
    if ("crash" in answer) return { target: target.name, what: answer.crash, bytes }
    if (mustPass && answer.refused !== "no")
      return { target: target.name, what: `a seed is refused: ${answer.refused}`, bytes }
    if (answer.refused === "no") accepted++
    if (answers.has(answer.refused)) return "none"
    answers.add(answer.refused)
    if (kept.length < mostKept && bytes.length <= longestKept) kept.push(bytes)
    return "none"
  }
  for (const each of [...kept]) {
    const crash = attempt(each, true)
    if (crash !== "none") return { tally: tally(), crash }
  }
  while (goOn(cases)) {
    const crash = attempt(mutate(target.grammar, lot.one(kept), lot.one(kept), lot), false)
    if (crash !== "none") return { tally: tally(), crash }
  }
  return { tally: tally(), crash: "none" }
}

/** How `target` takes `bytes`: it accepts, it refuses in words of its own, or it does what it must not. */
export function answerOf(target: Target, bytes: Uint8Array): { refused: string } | { crash: string } {
  const before = Buffer.from(bytes)
  try {
    target.take(bytes)
  } catch (error) {
    if (!(error instanceof Error)) return { crash: `threw ${String(error)}` }
    if (error.constructor !== target.refusal) return { crash: error.stack ?? error.message }
    return { refused: error.message.replace(/0x[0-9a-f]+|[0-9a-f]{6,}|[0-9]+/g, "#").slice(0, 120) }
  }
  return before.equals(bytes) ? { refused: "no" } : { crash: "altered its input" }
}
