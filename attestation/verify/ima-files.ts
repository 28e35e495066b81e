/**
 * Which files did the kernel measure? Pairs of path and digest in the order of their use. What was read of a log before is kept as
 * it is, and what came after is linked to it; entries are read when somebody asks. Which are acceptable: `appraise/`.
 */
import { spokenDigest } from "../tcg/ima/event.ts"
import { openImaLog } from "../tcg/ima/log.ts"
import { eachImaEvent } from "../tcg/ima/replay.ts"

export type MeasuredFile = readonly [path: string, digest: string]

/** The files of covered entries, read once. */
class Pass {
  #bytes: Uint8Array | "read"
  #pairs: readonly MeasuredFile[] = []

  constructor(covered: Uint8Array) {
    this.#bytes = covered
  }

  get pairs(): readonly MeasuredFile[] {
    if (this.#bytes !== "read") this.#pairs = readFiles(this.#bytes)
    this.#bytes = "read"
    return this.#pairs
  }
}

/** What one pass over a log covered, and what passes before it did. */
export type MeasuredFiles = { readonly pass: Pass; readonly before: MeasuredFiles } | "nothing"

export const noFiles = (): MeasuredFiles => "nothing"

/** `before`, and what the bytes of covered entries name after it. */
export const filesAfter = (before: MeasuredFiles, covered: Uint8Array): MeasuredFiles =>
  covered.length === 0 ? before : { pass: new Pass(covered), before }

/** Every file, each pair once. */
export function filesOf(files: MeasuredFiles): MeasuredFile[] {
  const passes: (readonly MeasuredFile[])[] = []
  for (let at = files; at !== "nothing"; at = at.before) passes.push(at.pass.pairs)
  return [...new Map(passes.toReversed().flatMap(pairs => pairs.map(pair => [pair.join(" "), pair]))).values()]
}

function readFiles(covered: Uint8Array): MeasuredFile[] {
  const pairs: MeasuredFile[] = []
  eachImaEvent(openImaLog(covered), covered.length, event => {
    if (event.kind === "measurement" && event.path !== "boot_aggregate")
      pairs.push([event.path, spokenDigest(event.digest)])
  })
  return pairs
}
