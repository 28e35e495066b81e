/**
 * Which files did the kernel measure? Pairs of path and digest, each once, in the order of their first use. Kept by whoever judges one
 * machine again and again, so that only new entries are read. Which of them are acceptable: `appraise/`.
 */
import { eachImaEvent } from "../tcg/ima/replay.ts"
import { spokenDigest } from "../tcg/ima/event.ts"
import { openImaLog } from "../tcg/ima/log.ts"

export type MeasuredFile = readonly [path: string, digest: string]

/** The first `count` of `pairs`: what stands behind them was read later, for another. */
export type MeasuredFiles = {
  readonly pairs: readonly MeasuredFile[]
  readonly count: number
  readonly distinct: Distinct
}

/** Pairs without repetition, to which more are added at the end. */
class Distinct {
  readonly pairs: MeasuredFile[] = []
  readonly #seen = new Set<string>()

  add([path, digest]: MeasuredFile): void {
    const key = `${digest} ${path}`
    if (this.#seen.has(key)) return
    this.#seen.add(key)
    this.pairs.push([path, digest])
  }
}

const filesOf = (distinct: Distinct): MeasuredFiles => ({
  pairs: distinct.pairs,
  count: distinct.pairs.length,
  distinct,
})

export const noFiles = (): MeasuredFiles => filesOf(new Distinct())

/** `known`, which stays as it is, and what the bytes of covered entries name besides. Throws Malformed. */
export function filesAfter(known: MeasuredFiles, covered: Uint8Array): MeasuredFiles {
  if (covered.length === 0) return known
  const distinct = known.pairs.length === known.count ? known.distinct : copied(known)
  eachImaEvent(openImaLog(covered), covered.length, event => {
    if (event.kind === "measurement" && event.path !== "boot_aggregate")
      distinct.add([event.path, spokenDigest(event.digest)])
  })
  return filesOf(distinct)
}

function copied({ pairs, count }: MeasuredFiles): Distinct {
  const copy = new Distinct()
  for (const pair of pairs.slice(0, count)) copy.add(pair)
  return copy
}
