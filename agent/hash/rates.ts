/**
 * How fast is each implementation here? Each hashes the same buffer for an equal share of some milliseconds, and is asked for
 * known answers once it is hot. What follows from it: engine.ts.
 */
import { createHash, randomFillSync } from "node:crypto"
import type { Core } from "../../wasm/core.ts"
import { CHAINS, DIGEST_BYTES, DIGESTS, INPUTS, MESSAGE_BLOCK, WINDOW, WINDOW_BYTES } from "../../wasm/memory.ts"
import { selfTest } from "../../wasm/selftest.ts"
import { BLOCK_BYTES } from "../../wasm/tree.ts"
import type { Rates } from "./job.ts"
import { NativeVerity } from "./native.ts"

const portion = WINDOW_BYTES / 4

/** Bytes per second of each way to hash; `lanes` is of eight messages together. 0 where the core does not work. */
export function measureRates(core: Core | "none", milliseconds: number): Rates {
  const bytes = randomFillSync(core === "none" ? Buffer.alloc(portion) : core.window.subarray(0, portion))
  const share = milliseconds / 4
  const flat = rateOf(share, () => createHash("sha256").update(bytes).digest())
  const native = rateOf(share, () => new NativeVerity().update(bytes))
  if (core === "none") return { kind: "rates", flat, lanes: 0, verity: { wasm: 0, "node:crypto": native } }
  core.hold(core)
  const verity = rateOf(share, () => core.leaves(WINDOW, portion / BLOCK_BYTES, DIGESTS))
  const lanes = rateOf(share, () => allLanes(core))
  selfTest(core)
  return { kind: "rates", flat, lanes, verity: { wasm: verity, "node:crypto": native } }
}

function allLanes(core: Core): void {
  for (let lane = 0; lane < 8; lane++) {
    core.start(CHAINS + lane * DIGEST_BYTES)
    core.view.setUint32(INPUTS + lane * 4, WINDOW + (lane * portion) / 8, true)
  }
  core.lanes(CHAINS, INPUTS, portion / 8 / MESSAGE_BLOCK)
}

/** The best of several rounds: what disturbs only ever slows down. */
function rateOf(milliseconds: number, hash: () => void): number {
  hash()
  let best = Infinity
  for (const end = performance.now() + milliseconds; performance.now() < end; ) {
    const begun = performance.now()
    hash()
    best = Math.min(best, performance.now() - begun)
  }
  return (portion / best) * 1000
}
