/** Is every transition of an attester's standing the one that is written down, and does nothing launder a contraindication? */
import * as fc from "fast-check"
import { describe, expect, test } from "vitest"
import { type Tier, tiers } from "../attestation/appraise/appraise.ts"
import { after, cleared, shownAt, type Standing, unknown, type Verdict } from "../attestation/appraise/state.ts"

type State = Standing["state"]
const states: readonly State[] = ["unknown", "affirming", "warning", "contraindicated"]
const standing = (state: State): Standing => ({ state, resetCount: 5, fresh: 1000, under: null })
/** A verdict by one note, which approves nothing that it finds. */
const plain = { under: "note 1", approvable: false } as const

/** State now, tier of the verdict → state, for an answer of the same resetCount. */
const sameBoot: Record<State, Record<Tier, State>> = {
  unknown: { affirming: "affirming", warning: "warning", none: "warning", contraindicated: "contraindicated" },
  affirming: { affirming: "affirming", warning: "warning", none: "warning", contraindicated: "contraindicated" },
  warning: { affirming: "affirming", warning: "warning", none: "warning", contraindicated: "contraindicated" },
  contraindicated: Object.fromEntries(tiers.map(tier => [tier, "contraindicated"])) as Record<Tier, State>,
}

describe("C29 every transition", () => {
  for (const state of states)
    for (const tier of tiers) {
      const verdict = (resetCount: number, asked: number | null): Verdict => ({ tier, resetCount, asked, ...plain })
      const stateAfter = (resetCount: number, asked: number | null): State =>
        after(standing(state), verdict(resetCount, asked)).state

      test(`from ${state} by an answer that is ${tier}`, () => {
        expect(stateAfter(5, 2000)).toBe(sameBoot[state][tier])
        expect(stateAfter(4, 2000)).toBe(sameBoot[state][tier])
        expect(stateAfter(6, 2000)).toBe(sameBoot.unknown[tier])
      })
      test(`from ${state} by a report that is ${tier}`, () => {
        const bad = tier === "contraindicated"
        expect(stateAfter(5, null)).toBe(bad ? "contraindicated" : state)
        expect(stateAfter(6, null)).toBe(bad ? "contraindicated" : state)
        expect(stateAfter(4, null)).toBe(state)
      })
    }
})

const verdicts = fc.array(
  fc.record({
    tier: fc.constantFrom(...tiers),
    resetCount: fc.integer({ min: 0, max: 5 }),
    asked: fc.option(fc.nat(100), { nil: null }),
    under: fc.constantFrom(null, "note 1", "note 2"),
    approvable: fc.boolean(),
  }),
  { maxLength: 12 },
)

test("C29 M6 a contraindication is left only by an answer of a higher resetCount that is none, or under another approval", () =>
  fc.assert(
    fc.property(verdicts, all => {
      let now = unknown
      for (const verdict of all) {
        const next = after(now, verdict)
        if (now.state === "contraindicated" && next.state !== "contraindicated") {
          if (verdict.resetCount <= now.resetCount) {
            expect(now.under).not.toBeNull()
            expect(verdict.under).not.toBeNull()
            expect(verdict.under).not.toBe(now.under)
          }
          expect(verdict.tier).not.toBe("contraindicated")
          expect(verdict.asked).not.toBeNull()
        }
        expect(next.resetCount).toBeGreaterThanOrEqual(now.resetCount)
        expect(next.fresh ?? -1).toBeGreaterThanOrEqual(now.fresh ?? -1)
        now = next
      }
    }),
    { numRuns: 500 },
  ))

test("C29 a report never makes better and never renews freshness", () => {
  const order: readonly State[] = ["affirming", "warning", "unknown", "contraindicated"]
  for (const state of states)
    for (const tier of tiers)
      for (const resetCount of [4, 5, 6]) {
        const next = after(standing(state), { tier, resetCount, asked: null, ...plain })
        expect(order.indexOf(next.state)).toBeGreaterThanOrEqual(order.indexOf(state))
        expect(next.fresh).toBe(1000)
      }
})

test("C29 a named person's word leads to unknown, and forgets no counter", () => {
  expect(cleared(standing("contraindicated"))).toEqual({ state: "unknown", resetCount: 5, fresh: 1000, under: null })
})

describe("C30 M8 staleness is computed when it is asked, from the nonce's issue", () => {
  test("and hides nothing", () => {
    for (const state of states) {
      expect(shownAt(standing(state), 1000, 10)).toEqual({ state, stale: false })
      expect(shownAt(standing(state), 1010, 10)).toEqual({ state, stale: false })
      expect(shownAt(standing(state), 1011, 10)).toEqual({ state, stale: true })
    }
  })
  test("what was never seen fresh is stale", () =>
    expect(shownAt(unknown, 0, 10)).toEqual({ state: "unknown", stale: true }))
  test("a clock that was set back far makes nothing fresh", () =>
    expect(shownAt(standing("affirming"), 900, 10).stale).toBe(true))
  test("an answer that was asked for earlier does not make less fresh", () => {
    expect(after(standing("warning"), { tier: "warning", resetCount: 5, asked: 500, ...plain }).fresh).toBe(1000)
    expect(after(unknown, { tier: "warning", resetCount: 5, asked: 500, ...plain }).fresh).toBe(500)
  })
})

describe("what a quorum approved since", () => {
  const by = (tier: Tier, under: string | null, approvable = true): Verdict => ({
    ...{ tier, resetCount: 5, asked: 2000, under, approvable },
  })
  const led = (...verdicts: readonly Verdict[]): Standing => verdicts.reduce(after, standing("warning"))

  test("lifts a contraindication by what is approved alone", () => {
    expect(led(by("contraindicated", "note 1")).under).toBe("note 1")
    expect(led(by("contraindicated", "note 1"), by("affirming", "note 2"))).toMatchObject({
      ...{ state: "affirming", under: null },
    })
  })
  test("lifts nothing under the same note, nor without one", () => {
    expect(led(by("contraindicated", "note 1"), by("affirming", "note 1")).state).toBe("contraindicated")
    expect(led(by("contraindicated", null), by("affirming", "note 1")).state).toBe("contraindicated")
    expect(led(by("contraindicated", "note 1"), by("warning", null)).state).toBe("contraindicated")
  })
  test("lifts nothing else that was wrong, before or after", () => {
    const other = by("contraindicated", "note 1", false)
    expect(led(other, by("affirming", "note 2")).state).toBe("contraindicated")
    expect(led(other, by("contraindicated", "note 1"), by("affirming", "note 2")).state).toBe("contraindicated")
    expect(led(by("contraindicated", "note 1"), other, by("affirming", "note 2")).state).toBe("contraindicated")
  })
})
