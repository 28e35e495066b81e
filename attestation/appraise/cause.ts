/**
 * For which one reason is this verdict not better? The gravest finding and the one thing that differs, so that machines which are
 * red for one reason are one line. All reasons: the findings themselves.
 */
import { plainLine } from "../wire/text.ts"
import { type Effect, type Finding, findings } from "../verify/finding.ts"

/** The gravest first; what only notes is no cause. */
const grave: readonly Effect[] = ["refuses", "contraindicates", "warns"]

/** Findings whose value is the same wherever the cause is: it tells one change from another. */
const telling = /^(pin|reference|source)\./

/** The cause key of a verdict with these findings, in at most 256 characters, or null where nothing holds it down. */
export function causeOf(found: readonly Finding[]): string | null {
  const worst = grave
    .map(effect => found.find(({ id }) => findings[id].effect === effect))
    .find(each => each !== undefined)
  if (!worst) return null
  const { id, component, seen } = worst
  const what = `${id} ${component.replace(/\b[0-9a-f]{32,}\b/g, "…")}`
  return plainLine(telling.test(id) ? `${what}: ${seen}` : what, 256)
}
