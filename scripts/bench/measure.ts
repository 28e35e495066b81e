/**
 * In which order are rows measured? All take turns, beginning with another one each time, in processes that are started anew: a
 * neighbour on this machine, a warm CPU or a lucky address meets everyone alike.
 */
import type { Case, Place } from "./cases.ts"
import { type Material, pathsOf } from "./material.ts"
import { type Launch, maskedEnvironment, Sampler } from "./processes.ts"
import type { Cost } from "./sampler.ts"
import type { Sample } from "./statistics.ts"
import { costOf, run } from "./usage.ts"

/** How often; `milliseconds` is how long one sample in memory takes. */
export type Extent = { readonly processes: number; readonly rounds: number; readonly milliseconds: number }

/** What was measured of a row, or why it was not. */
export type Measured = { readonly row: Case; readonly samples: readonly Sample[]; readonly failure: string }

/** What rows are measured with. `say` is told of progress. */
export type Bench = {
  readonly script: string
  readonly node: string
  readonly flags: readonly string[]
  readonly material: Material
  readonly say: (message: string) => void
}

type Row = { readonly row: Case; readonly samples: Sample[]; failure: string }
type Samplers = Readonly<Record<Place, Sampler>>

/** @throws when digests differ that should be equal. A row that cannot be measured says so. */
export async function measure(cases: readonly Case[], extent: Extent, bench: Bench): Promise<readonly Measured[]> {
  const rows = cases.map((row): Row => ({ row, samples: [], failure: "" }))
  const digests = new Map<string, string>()
  for (let process = 0; process < extent.processes; process++) {
    const samplers = start(bench)
    for (const each of rows) await guarded(each, () => prepare(each.row, samplers, bench))
    for (let round = 0; round < extent.rounds; round++) {
      for (const each of turned(rows, process + round)) {
        bench.say(`process ${process + 1} of ${extent.processes}, round ${round + 1}: ${each.row.says}`)
        await guarded(each, async () => {
          const { cost, digest } = await sample(each.row, samplers, extent, bench)
          assertEqual(digests, each.row, digest)
          each.samples.push({ ...cost, process, round })
        })
      }
    }
    await Promise.all([samplers.plain.end(), samplers.masked.end()])
  }
  return rows
}

const launches = ({ node, flags }: Bench): Record<Place, Launch> => ({
  plain: { node, flags, env: process.env },
  masked: { node, flags, env: maskedEnvironment },
})

function start(bench: Bench): Samplers {
  const { plain, masked } = launches(bench)
  return { plain: new Sampler(bench.script, plain), masked: new Sampler(bench.script, masked) }
}

/** Digests that differ end the whole run; whatever else goes wrong is the row's. */
class WrongDigest extends Error {}

async function guarded(row: Row, act: () => Promise<unknown>): Promise<void> {
  if (row.failure !== "") return
  try {
    await act()
  } catch (error) {
    if (error instanceof WrongDigest) throw error
    row.failure = error instanceof Error ? error.message : String(error)
  }
}

async function prepare({ place, work }: Case, samplers: Samplers, { material }: Bench): Promise<void> {
  if (work.kind !== "pass") return
  const paths = pathsOf(material, work.on)
  await samplers[place].ask({ kind: "prepare", name: work.name, paths, warm: material.warm })
}

type Sampled = { readonly cost: Cost; readonly digest: string }

async function sample({ place, work }: Case, samplers: Samplers, extent: Extent, bench: Bench): Promise<Sampled> {
  const { material } = bench
  if (work.kind === "kernel") {
    const { milliseconds } = extent
    return expectCost(await samplers[place].ask({ kind: "kernel", name: work.name, milliseconds }))
  }
  if (work.kind === "pass") {
    const paths = pathsOf(material, work.on)
    return expectCost(await samplers[place].ask({ kind: "pass", name: work.name, paths, bytes: material.bytes }))
  }
  const [command, ...args] = work.line
  const ran = run(command, [...args, ...material.weights], launches(bench)[place].env)
  return { cost: costOf(ran, material.bytes), digest: /[0-9a-f]{64}/.exec(ran.stdout)?.[0] ?? "none" }
}

function expectCost(reply: Awaited<ReturnType<Sampler["ask"]>>): Sampled {
  if (reply.kind !== "cost") throw new Error(`a cost was asked for, and the answer was ${reply.kind}`)
  return reply
}

/** Digests of the same kind are the same, whoever made them. */
function assertEqual(digests: Map<string, string>, { gives, says }: Case, digest: string): void {
  if (gives === "nothing") return
  const parts =
    gives === "both"
      ? ([
          ["sha256", digest.slice(0, 64)],
          ["verity", digest.slice(65)],
        ] as const)
      : ([[gives, digest]] as const)
  for (const [kind, seen] of parts) {
    const known = digests.get(kind)
    if (known !== undefined && known !== seen) throw new WrongDigest(`${says} gave ${kind} ${seen}, others ${known}`)
    digests.set(kind, seen)
  }
}

const turned = <T>(list: readonly T[], by: number): readonly T[] => [
  ...list.slice(by % list.length),
  ...list.slice(0, by % list.length),
]
