/**
 * What would be measured of this machine, weights and its own code aside? Every source looks, and nothing is appended, quoted or written: no TPM is
 * asked, and no process started but the programs that are a fact's only source. With evidence: once.ts.
 */
import type { Measurement } from "../attestation/protocol/event.ts"
import { Hasher } from "./hash/hasher.ts"
import { thisMachine } from "./reader/ask.ts"
import { noRuns } from "./run/runs.ts"
import { ownSelf } from "./self.ts"
import { sources } from "./sources/index.ts"
import { scanOf } from "./sources/process/scan.ts"

/** Not the machine: the agent's own code, which is read when evidence is made; and weights, which take long. */
const aside = new Set(["agent", "weights"])

/** Every measurement of the machine, in the order in which they would be appended. `reader`: its socket. */
export async function lookAtMachine(reader: string, signal: AbortSignal): Promise<readonly Measurement[]> {
  const hasher = new Hasher({ engine: "native" }) // nobody compares: to warm the other one up would take longer
  const common = { hasher, signal, depth: "quick", progress: () => undefined, weights: [], runs: noRuns } as const
  const host = thisMachine({ reader })
  const context = { ...common, host, scan: scanOf(host), self: ownSelf(), tpm: "not asked" } as const
  try {
    const looked = sources.filter(({ name }) => !aside.has(name)).map(source => source.measure(context))
    return (await Promise.all(looked)).flat()
  } finally {
    await hasher.close()
  }
}
