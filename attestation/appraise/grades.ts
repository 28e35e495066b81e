/**
 * Whose word is a digest that the agent measured? The kernel's, where that digest stands in the IMA log that replayed to the quote;
 * otherwise the agent's alone, whose own code the kernel measured or did not. No agent can say which: an event has no such member.
 */
import type { LogEvent } from "../protocol/event.ts"
import { keyOfMeasurement, newestMeasurements } from "../pins/reference.ts"
import { filesOf } from "../verify/ima-files.ts"
import type { VerifiedEvidence } from "../verify/verify.ts"

export type Grade = "kernel-measured" | "self-reported"

/** A fact that holds a file's digest, and whose word that digest is. */
export type Graded = { readonly component: string; readonly fact: string; readonly grade: Grade }

export type Grades = {
  readonly facts: readonly Graded[]
  /** whether the kernel measured the program that runs the agent */
  readonly agent: Grade
}

/** Grades what the newest measurements say of files. */
export function gradesOf({
  events,
  platform,
}: Pick<VerifiedEvidence, "events"> & { readonly platform: Pick<VerifiedEvidence["platform"], "files"> }): Grades {
  const kernels = new Set(filesOf(platform.files).map(([, digest]) => digest))
  const facts = gradedIn(events, kernels)
  const own = facts.filter(({ component }) => component === "agent interpreter")
  const isMeasured = own.length > 0 && own.every(({ grade }) => grade === "kernel-measured")
  return { facts, agent: isMeasured ? "kernel-measured" : "self-reported" }
}

const digests = /(?:^|\s)(?:(verity|fs-verity):)?(?:sha256:)?([0-9a-f]{64})(?=$|\s|,)/g

function gradedIn(events: readonly LogEvent[], kernels: ReadonlySet<string>): Graded[] {
  return newestMeasurements(events).flatMap(each =>
    each.facts.flatMap(([fact, value]) => {
      const spoken = [...value.matchAll(digests)].map(([, kind, digest]) =>
        kind === undefined && fact !== "fs-verity" ? `sha256:${digest}` : `verity:sha256:${digest}`,
      )
      if (spoken.length === 0) return []
      const grade: Grade = spoken.some(digest => kernels.has(digest)) ? "kernel-measured" : "self-reported"
      return [{ component: keyOfMeasurement(each), fact, grade }]
    }),
  )
}
