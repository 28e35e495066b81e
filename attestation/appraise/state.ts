/**
 * What is an attester's standing after a new verdict, and at the moment of asking? Transitions are a table. A
 * contraindication is left only by passing evidence of a higher resetCount, or by a named person; staleness hides nothing.
 */
import type { Tier } from "./appraise.ts"

/** `resetCount` is the quoted one of the evidence that led here. */
export type Standing = {
  readonly state: "unknown" | Exclude<Tier, "none">
  readonly resetCount: number
  /** when the nonce of the newest answer in time was issued (ms since 1970), or null: nothing fresh was ever seen */
  readonly fresh: number | null
}

export const unknown: Standing = { state: "unknown", resetCount: 0, fresh: null }

/** A verdict over evidence; `asked` is when its nonce was issued, or null for a report or a late answer. */
export type Verdict = { readonly tier: Tier; readonly resetCount: number; readonly asked: number | null }

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
  const from = verdict.resetCount > standing.resetCount ? "unknown" : standing.state
  const fresh = Math.max(standing.fresh ?? 0, verdict.asked)
  const resetCount = Math.max(standing.resetCount, verdict.resetCount)
  return { state: answers[from][verdict.tier], resetCount, fresh }
}

/** An old report contraindicates the boot that it is from; a later boot is not touched by it. */
function contraindicatedBy(standing: Standing, { resetCount }: Verdict): Standing {
  if (resetCount < standing.resetCount) return standing
  return { ...standing, state: "contraindicated", resetCount }
}

/** The standing after a named person has cleared it: nothing is known until new evidence. */
export const cleared = (standing: Standing): Standing => ({ ...standing, state: "unknown" })

/** What to show at `now` (ms since 1970): the state, and whether it is older than `limit` ms, counted from the nonce's issue. A clock that was set back makes stale too. */
export function shownAt({ state, fresh }: Standing, now: number, limit: number): { state: State; stale: boolean } {
  return { state, stale: fresh === null || Math.abs(now - fresh) > limit }
}
