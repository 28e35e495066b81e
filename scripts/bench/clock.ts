/**
 * How fast can SHA-256 be in SIMD128 at the clock that this CPU has right now? A virtual machine has no cycle counter, so a
 * chain of instructions whose latency is known is timed beside each sample.
 */

/**
 * A compression of four lanes takes 3257 vector operations, and loading its blocks 48 more: 3305 for 256 bytes. Per round Σ1 11,
 * Σ0 11, Ch 3, Maj 3 (a ⊕ b is known from the round before), 7 sums: 35 × 64. Per scheduled word σ0 9, σ1 9, 3 sums: 21 × 48.
 * Adding the chaining value: 8. One ⊕ before the first round.
 */
const operations = 64 * (11 + 11 + 3 + 3 + 7) + 48 * (9 + 9 + 3) + 8 + 1 + 48

/** Cycles per byte where that many vector operations start in a cycle: 3 on Intel (4.30), 4 on AMD since Zen 2 (3.23). */
export const limit = (ports: number): number => operations / 256 / ports

const links = 1 << 20

/** Multiplication 3, rotation 1: on Intel since Nehalem, on AMD since Zen. */
const cyclesPerLink = 4

function chain(seed: number): number {
  let x = seed
  for (let i = 0; i < links; i++) {
    x = Math.imul(x, 0x5bd1e995)
    x = (x << 7) | (x >>> 25)
  }
  return x
}

let state = 1

/** Cycles per second of CPU time, over about a millisecond. The first calls, not compiled yet, say too little. */
export function measureClock(): number {
  const begun = process.cpuUsage()
  state = chain(state)
  const { user, system } = process.cpuUsage(begun)
  return (links * cyclesPerLink * 1e6) / (user + system)
}
