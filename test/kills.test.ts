/** Does the whole survive being killed at any moment? Three kills of each part here; fifty in `npm run soak`. */
import { randomInt } from "node:crypto"
import { expect, it } from "vitest"
import { exercise } from "../scripts/soak/kills.ts"

it("loses nothing acknowledged, uses no number twice, and says what a killed TPM cost", {
  timeout: 240_000,
}, async () => {
  const seed = randomInt(2 ** 31)
  const outcome = await exercise(seed, 3, () => {})
  expect(outcome.faults, `run it again: npm run soak -- --times 3 --seed ${seed}`).toEqual([])
  expect(outcome.kills).toBe(12)
  expect(outcome.evidence).toBeGreaterThan(12)
})
