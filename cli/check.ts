/** What is one line of the doctor's? What was looked at, how it is, and where it is not well, the fix. */

/** ok; problem: it would not work; missing: something is not there that could be; note: it works, and this should be known. */
export type Verdict = "ok" | "problem" | "missing" | "note"
export type Check = { readonly what: string; readonly verdict: Verdict; readonly says: string; readonly fix: string }

export const ok = (what: string, says: string): Check => ({ what, verdict: "ok", says, fix: "" })
export const bad = (what: string, verdict: Verdict, says: string, fix: string): Check => ({ what, verdict, says, fix })
