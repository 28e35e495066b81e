/**
 * Which implementation hashes what? A file that is seen for the first time gets both digests, by both implementations. To see
 * whether a known file is still the same, one digest is enough: the engine says which, by a measurement or by a person's word.
 */
import type { EngineName, Rates, Reading } from "./job.ts"

/** auto: the fastest here, by known answers and a measurement of 30 ms; wasm, native: that one. */
export type Engine = "auto" | "wasm" | "native"
export const engines: readonly Engine[] = ["auto", "wasm", "native"]

/** How known files are hashed again. */
export type Plan = {
  /** a whole file by one thread */
  readonly again: Exclude<Reading, { kind: "both" }>
  /** bytes per second of that, as measured */
  readonly rate: number
  /** a piece of a file, by records */
  readonly pieces: EngineName
  readonly piecesRate: number
  /** SHA-256 alone: one file after the other, or eight side by side */
  readonly flat: EngineName | "lanes"
}

/** How long `auto` measures, in milliseconds. */
export const measuring = 30

/** The plan of an engine. */
export function planFor(engine: Engine, { flat, lanes, verity }: Rates): Plan {
  if (engine === "native") {
    const pieces = { pieces: "node:crypto", piecesRate: verity["node:crypto"] } as const
    return { again: { kind: "flat", by: "node:crypto" }, rate: flat, ...pieces, flat: "node:crypto" }
  }
  if (engine === "wasm") return { ...byTree("wasm", verity.wasm), flat: "lanes" }
  const tree = verity.wasm >= verity["node:crypto"] ? "wasm" : "node:crypto"
  const plan = byTree(tree, verity[tree])
  const widest = lanes > flat ? "lanes" : "node:crypto"
  if (flat < verity[tree]) return { ...plan, flat: widest }
  return { ...plan, again: { kind: "flat", by: "node:crypto" }, rate: flat, flat: widest }
}

const byTree = (by: EngineName, rate: number): Omit<Plan, "flat"> => ({
  again: { kind: "verity", by },
  rate,
  pieces: by,
  piecesRate: rate,
})

/** Eight messages side by side pay from this many on; the lanes themselves finish what is left one by one. */
export const fewestTogether = 3

/** The other implementation, which confirms what one found. */
export const otherThan = (name: EngineName): EngineName => (name === "wasm" ? "node:crypto" : "wasm")
