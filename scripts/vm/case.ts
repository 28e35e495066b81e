/**
 * What is a case? Something done to the machine, and what the collector must say of it: a tier, and a finding that names the cause.
 * In which order cases run, and when the machine is rebooted between them, is schedule.ts's.
 */
import type { Finding, FindingId } from "../../attestation/verify/finding.ts"
import { describe, type Site, type Verdict } from "./site.ts"

/** How the machine is left: as it was; contraindicated until it boots anew; switched off; without the package. */
export type Leaves = "as it was" | "contraindicated" | "off" | "bare"

export type Case = {
  readonly name: string
  /** what is tried, in a line */
  readonly says: string
  readonly leaves: Leaves
  /** it begins with a boot of its own: whatever came before need not be taken back first */
  readonly boots?: true
  /** what it begins with is gone afterwards: it cannot be tried again on the same machine */
  readonly once?: true
  /** gives a remark for the table: what was seen, in a few words */
  readonly run: (site: Site) => Promise<string>
}

/** @throws Error saying `otherwise` unless it holds */
export function must(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise)
}

/** The verdict must have a finding `id` about something that `component` fits. */
export function found(verdict: Verdict, id: FindingId, component: RegExp = /^/): Finding {
  const finding = verdict.findings.find(each => each.id === id && component.test(`${each.component}: ${each.seen}`))
  must(finding !== undefined, `no finding ${id} about ${component.source}:\n${describe(verdict)}`)
  return finding
}

/** No finding of the verdict may have an id that `id` fits. */
export function notFound(verdict: Verdict, id: RegExp): void {
  const finding = verdict.findings.find(each => id.test(each.id))
  must(finding === undefined, `${finding?.id} was found:\n${describe(verdict)}`)
}

/** What nothing that happens to an honest machine may lead to. */
const alarms =
  /^(?:reference\.differs|reference\.missing|boot\.|files\.(?:differs|module|replaced)|log\.|quote\.|clock\.|chain\.replayed|firmware\.(?:malformed|replay|grammar)|ima\.(?:malformed|replay|entry|boot-aggregate))/

/** Nothing is wrong with the machine: the tier is as good as its pins allow, and no finding is an alarm. */
export function good(verdict: Verdict): void {
  must(verdict.tier === "warning" || verdict.tier === "affirming", `the tier is not good:\n${describe(verdict)}`)
  notFound(verdict, alarms)
}

/** The machine is contraindicated, and this is why. */
export function bad(verdict: Verdict, id: FindingId, component: RegExp): Finding {
  must(verdict.tier === "contraindicated", `the tier is not contraindicated:\n${describe(verdict)}`)
  return found(verdict, id, component)
}
