/**
 * Is what firmware, boot loader, systemd and IMA logged acceptable? Only what replays to quoted PCRs says anything. What each log
 * proves: `verify/boot-logs.ts`.
 */
import { finding } from "../verify/finding.ts"
import type { Platform } from "../verify/boot-logs.ts"
import { type Component, tierOf } from "./component.ts"

/** How the machine booted, and which files its kernel measured. */
export function judgeBoot({ boot, ima, findings: found }: Platform): Component[] {
  const aboutIma = found.filter(({ id }) => id.startsWith("ima."))
  const aboutBoot = found.filter(({ id }) => !id.startsWith("ima."))
  return [
    judged("boot", boot, aboutBoot, "the boot, as its logs prove it"),
    judged("files", ima, aboutIma, "files that the kernel measured"),
  ]
}

function judged(name: string, facts: object | string, found: Component["findings"], what: string): Component {
  if (typeof facts === "string") return { name, tier: tierOf(found, "none"), says: facts, findings: found }
  const all = [...found, finding("reference.none", name, what, "a recorded reference")]
  const tier = tierOf(found, "none")
  return {
    name,
    tier: tier === "contraindicated" ? tier : "none",
    says: "proven, compared with nothing",
    findings: all,
  }
}
