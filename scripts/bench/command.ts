/**
 * What does the command cost as a person meets it? Processes that start, hash and end: their memory, the second time, and very
 * many small files. What hashing itself costs: cases.ts.
 */
import { rmSync } from "node:fs"
import { join } from "node:path"
import { type Bundle, folder, type Material, makeSmallFiles } from "./material.ts"
import { type Figure, figure } from "./statistics.ts"
import { type Verdict, verdict } from "./targets.ts"
import { type Ran, run } from "./usage.ts"

/** How often, and how many small files. */
export type CommandExtent = { readonly times: number; readonly smallFiles: number }

/** A verdict, or why there is none. */
export type Outcome = { readonly verdicts: readonly Verdict[]; readonly failures: readonly string[] }

/** Makes the process say its peak memory in KiB on descriptor 3 when it ends. Not by getrusage, which counts its parent's too. */
const atExit = `
  import { isMainThread } from "node:worker_threads"
  import { readFileSync, writeSync } from "node:fs"
  const peak = () => /VmHWM:\\s*(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]
  if (isMainThread) process.on("exit", () => writeSync(3, peak()))`

type Assay = (...args: readonly string[]) => Ran

/** The bundled command, with folders of its own for what it keeps. */
function assayOf({ command }: Bundle): Assay {
  const home = join(folder, "home")
  rmSync(home, { recursive: true, force: true })
  const env = { ...process.env, HOME: home, XDG_CACHE_HOME: join(home, "cache"), XDG_STATE_HOME: join(home, "state") }
  const preload = `data:text/javascript,${encodeURIComponent(atExit)}`
  return (...args) => run(process.execPath, ["--import", preload, command, ...args], env)
}

/** Every outcome of the command; what cannot be measured says why. */
export function commandVerdicts(bundle: Bundle, material: Material, extent: CommandExtent): Outcome {
  const assay = assayOf(bundle)
  const parts = [
    () => peakMemory(assay, material, extent),
    () => secondTime(assay, material, extent),
    () => smallFiles(assay, extent),
  ]
  const failures: string[] = []
  const verdicts = parts.flatMap(part => {
    try {
      return part()
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error))
      return []
    }
  })
  return { verdicts, failures }
}

const times = <T>(count: number, act: () => T): T[] => Array.from({ length: count }, act)

function peakMemory(assay: Assay, { weights, bytes }: Material, extent: CommandExtent): Verdict[] {
  const [weight = ""] = weights
  const peak = figure(times(extent.times, () => (Number(assay("hash", "--full", weight).note) * 1024) / 1e6))
  return [verdict("peak", `peak memory of assay hash, ${bytes >> 20} MiB`, peak, "MB", { atMost: 150 })]
}

/** By how much a second hash of an unchanged file is longer than the start and end of the command. */
function secondTime(assay: Assay, { weights, bytes }: Material, extent: CommandExtent): Verdict[] {
  const [weight = ""] = weights
  assay("hash", weight)
  const pairs = times(extent.times, () => [assay("hash", weight), assay("--version")] as const)
  const added = (part: "wall" | "cpu"): Figure =>
    figure(pairs.map(([hash, start]) => (hash[part] - start[part]) * 1000))
  const says = `a second assay hash of ${bytes >> 20} MiB, beyond assay --version`
  return [
    verdict("second", `${says}, on the wall`, added("wall"), "ms", { atMost: 100 }),
    verdict("second cpu", `${says}, CPU time`, added("cpu"), "ms", "nothing"),
  ]
}

function smallFiles(assay: Assay, extent: CommandExtent): Verdict[] {
  const path = makeSmallFiles(extent.smallFiles)
  const pipeline = 'cd "$0" && find . -type f -printf "%P\\0" | LC_ALL=C sort -z | xargs -0 sha256sum --'
  const pairs = times(Math.min(extent.times, 3), () => {
    const [ours, theirs] = [assay("hash", "--full", path), run("sh", ["-c", pipeline, path])] as const
    if (ours.stdout !== theirs.stdout) throw new Error(`assay hash and sha256sum differ over ${path}`)
    return [ours, theirs] as const
  })
  const part = (of: "wall" | "cpu"): Figure => figure(pairs.map(([ours, theirs]) => ours[of] / theirs[of]))
  const says = `assay hash / find, sort, sha256sum, ${extent.smallFiles} small files`
  const wanted = extent.smallFiles < 100_000 ? "nothing" : ({ atMost: 1.5 } as const) // of few, it is the start that counts
  return [
    verdict("small", `${says}, CPU time`, part("cpu"), "×", wanted),
    verdict("small wall", `${says}, on the wall`, part("wall"), "×", wanted),
  ]
}
