/**
 * What is an attester's standing after a new verdict, and at the moment of asking? Transitions are a table. A contraindication is
 * left only by passing evidence of a higher resetCount, by a named person, or, where nothing was wrong but that it was not what is
 * approved, by the people who approved something else since. Staleness hides nothing.
 */
import { type Finding, findings } from "../verify/finding.ts"
import type { Tier } from "./component.ts"

/** `resetCount` is the quoted one of the evidence that led here. */
export type Standing = {
  readonly state: "unknown" | Exclude<Tier, "none">
  readonly resetCount: number
  /** when the nonce of the newest answer in time was issued (ms since 1970), or null: nothing fresh was ever seen */
  readonly fresh: number | null
  /** digest of the note that was in force when it was contraindicated by nothing but what is approved; else null */
  readonly under: string | null
}

export const unknown: Standing = { state: "unknown", resetCount: 0, fresh: null, under: null }

/**
 * A verdict over evidence; `asked` is when its nonce was issued, or null for a report or a late answer; `under` is the note that it
 * was judged by, and `approvable` whether approving what was measured would be the end of a contraindication.
 */
export type Verdict = {
  readonly tier: Tier
  readonly resetCount: number
  readonly asked: number | null
  readonly under: string | null
  readonly approvable: boolean
}

/** Whether another approval would lift the contraindication by these findings. */
export const approvable = (found: readonly Finding[]): boolean =>
  found.every(({ id }) => findings[id].effect !== "contraindicates" || id.startsWith("pin."))

type State = Standing["state"]

/** [state now][tier of the new evidence] → state, within one resetCount. A report may only contraindicate. */
const answers: Readonly<Record<State, Readonly<Record<Tier, State>>>> = {
  unknown: { affirming: "affirming", warning: "warning", none: "warning", contraindicated: "contraindicated" },
  affirming: { affirming: "affirming", warning: "warning", none: "warning", contraindicated: "contraindicated" },
  warning: { affirming: "affirming", warning: "warning", none: "warning", contraindicated: "contraindicated" },
  contraindicated: {
    affirming: "contraindicated",
    warning: "contraindicated",
    none: "contraindicated",
    contraindicated: "contraindicated",
  },
}

/** The standing after `verdict`. */
export function after(standing: Standing, verdict: Verdict): Standing {
  if (verdict.asked === null)
    return verdict.tier === "contraindicated" ? contraindicatedBy(standing, verdict) : standing
  const left = verdict.resetCount > standing.resetCount || approvedSince(standing, verdict)
  const state = answers[left ? "unknown" : standing.state][verdict.tier]
  const fresh = Math.max(standing.fresh ?? 0, verdict.asked)
  const resetCount = Math.max(standing.resetCount, verdict.resetCount)
  return { state, resetCount, fresh, under: blamed(left ? unknown : standing, verdict, state) }
}

/** The people who approved something else since have looked at what was contraindicated. */
const approvedSince = ({ state, under }: Standing, verdict: Verdict): boolean =>
  state === "contraindicated" && under !== null && verdict.under !== null && verdict.under !== under

/** What else was wrong once stays so: only a contraindication by what is approved alone can be lifted by approval. */
function blamed(standing: Standing, verdict: Verdict, state: State): string | null {
  if (state !== "contraindicated") return null
  if (verdict.tier !== "contraindicated") return standing.under
  const before = standing.state !== "contraindicated" || standing.under !== null
  return before && verdict.approvable ? verdict.under : null
}

/** An old report contraindicates the boot that it is from; a later boot is not touched by it. */
function contraindicatedBy(standing: Standing, verdict: Verdict): Standing {
  const { resetCount } = verdict
  if (resetCount < standing.resetCount) return standing
  return { ...standing, state: "contraindicated", resetCount, under: blamed(standing, verdict, "contraindicated") }
}

/** The standing after a named person has cleared it: nothing is known until new evidence. */
export const cleared = (standing: Standing): Standing => ({ ...standing, state: "unknown", under: null })

/** What to show at `now` (ms since 1970): the state, and whether it is older than `limit` ms, counted from the nonce's issue. A clock that was set back makes stale too. */
export function shownAt({ state, fresh }: Standing, now: number, limit: number): { state: State; stale: boolean } {
  return { state, stale: fresh === null || Math.abs(now - fresh) > limit }
}
