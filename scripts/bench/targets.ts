/**
 * What is wanted of the figures, and is it so? Goals, not tests: a machine may miss them, and docs/performance.md says why this
 * one does.
 */
import { limit } from "./clock.ts"
import type { Measured } from "./measure.ts"
import { type Figure, overProcesses, rate, ratio, type Sample } from "./statistics.ts"

/** One line of the verdict. `unit` stands behind the figures: × where they are ratios. */
export type Verdict = {
  readonly id: string
  readonly says: string
  readonly seen: Figure
  readonly unit: "×" | "ms" | "MB"
  readonly wanted: { readonly atLeast: number } | { readonly atMost: number } | "nothing"
  readonly met: boolean
}

/** A ratio of two rows: how much faster `of` is than `over`, per CPU-second. */
type Goal = {
  readonly id: string
  readonly of: string
  readonly over: string
  readonly says: string
  readonly wanted: Verdict["wanted"]
}

const faster = (of: string, over: string, atLeast: number, says: string): Goal => ({
  id: `${of}/${over}`,
  of,
  over,
  says,
  wanted: { atLeast },
})
/** How many times the CPU time of `over` `of` takes: the ratio of rates the other way round. */
const dearer = (of: string, over: string, atMost: number, says: string): Goal => ({
  id: `cost ${of}/${over}`,
  of: over,
  over: of,
  says,
  wanted: { atMost },
})
const shown = (of: string, over: string, says: string): Goal => ({
  id: `${of}/${over}`,
  of,
  over,
  says,
  wanted: "nothing",
})

export const goals: readonly Goal[] = [
  faster("leaves", "hash-wasm", 2.4, "leaf kernel / hash-wasm"),
  faster("leaves", "crypto-masked", 1.5, "leaf kernel / node:crypto flat, masked"),
  shown("leaves", "crypto-blocks-masked", "leaf kernel / node:crypto a call per 4 KiB, masked"),
  shown("leaves", "crypto", "leaf kernel / node:crypto flat"),
  faster("stream", "hash-wasm", 1.45, "single stream / hash-wasm"),
  shown("crypto", "crypto-masked", "what the mask takes: node:crypto flat / the same, masked"),
  faster("verity", "sha256sum", 1.8, "fs-verity digest / sha256sum"),
  faster("verity", "fsverity-masked", 1.45, "fs-verity digest / fsverity digest, masked"),
  shown("verity", "fsverity", "fs-verity digest / fsverity digest"),
  shown("verity", "file-crypto-masked", "fs-verity digest / node:crypto's plain loop, masked"),
  faster("both", "sha256sum", 1.4, "both digests in one read / sha256sum"),
  faster("auto", "file-crypto", 0.97, "engine auto / node:crypto's plain loop"),
  shown("auto-masked", "file-crypto-masked", "engine auto / node:crypto's plain loop, masked"),
  faster("shards-lanes", "shards-crypto-masked", 1.35, "eight shards in lanes / node:crypto one by one, masked"),
  shown("shards-flat-masked", "shards-crypto-masked", "eight shards by engine auto / the same, masked"),
  dearer("shards-both-2", "shards-both", 1.05, "CPU time of two threads / of one, both digests of eight shards"),
  dearer("wasm-2", "wasm", 1.05, "CPU time of two threads / of one, stripes of one file"),
]

/** The verdicts that these rows allow: none of a row that was not measured. */
export function judge(measured: readonly Measured[], ports: number): readonly Verdict[] {
  const samplesOf = new Map(measured.map(({ row, samples }) => [row.id, samples]))
  const ratios = goals.flatMap(({ id, of, over, says, wanted }): Verdict[] => {
    const [above, below] = [samplesOf.get(of) ?? [], samplesOf.get(over) ?? []]
    return above.length === 0 || below.length === 0 ? [] : [verdict(id, says, ratio(above, below), "×", wanted)]
  })
  return [...ratios, ...ofLimit(samplesOf.get("leaves") ?? [], ports)]
}

export function verdict(
  id: string,
  says: string,
  seen: Figure,
  unit: Verdict["unit"],
  wanted: Verdict["wanted"],
): Verdict {
  return { id, says, seen, unit, wanted, met: isMet(seen.median, wanted) }
}

function isMet(seen: number, wanted: Verdict["wanted"]): boolean {
  if (wanted === "nothing") return true
  return "atLeast" in wanted ? seen >= wanted.atLeast : seen <= wanted.atMost
}

/** What is wanted is a part of the limit of three operations a cycle: CPUs without SHA instructions have as many. */
function ofLimit(samples: readonly Sample[], ports: number): Verdict[] {
  if (samples.length === 0) return []
  const part = (of: number): Figure => overProcesses(samples, each => (rate(each) * limit(of)) / each.hertz)
  const says = (of: number): string => `leaf kernel / limit of SIMD128 at ${of} operations a cycle`
  const three = verdict("leaves/limit-3", `${says(3)} (4.30 cycles a byte)`, part(3), "×", { atLeast: 0.9 })
  if (ports === 3) return [three]
  return [three, verdict(`leaves/limit-${ports}`, `${says(ports)}, as this CPU has`, part(ports), "×", "nothing")]
}
