/**
 * When did this machine wake from a suspend? systemd-logind says so on the system's bus, and the clock shows it: it went on while
 * what counts the time of running stood still. A suspend clears the log's PCR, so that everything is to be measured again, at once.
 */
import { setTimeout as delay } from "node:timers/promises"
import type { Attester } from "../attester.ts"
import { type Say, told } from "../trouble.ts"
import { listen, type Signal } from "./bus.ts"

/** logind's PrepareForSleep: true before a suspend, false after it (org.freedesktop.login1(5)). */
export const prepareForSleep: Signal = {
  sender: "org.freedesktop.login1",
  path: "/org/freedesktop/login1",
  interface: "org.freedesktop.login1.Manager",
  member: "PrepareForSleep",
}

/** Milliseconds between looks at the clock, and by how much it must have gone ahead of the time of running. */
const lookEvery = 5000
const jump = 10_000
/** Milliseconds from one attempt to listen to the next. */
const firstPause = 1000
const longestPause = 300_000

export type ResumeParts = {
  /** the bus's socket, or "" for none */
  readonly bus: string
  /** milliseconds since 1970 */
  readonly now: () => number
  readonly say: Say
  /** called after each suspend, perhaps twice: by the bus and by the clock */
  readonly resumed: () => void
}

/** Watches until `signal` is aborted. */
export async function watchResume(parts: ResumeParts, signal: AbortSignal): Promise<void> {
  const looking = setInterval(lookerAt(parts), lookEvery)
  try {
    await watchBus(parts, signal)
  } finally {
    clearInterval(looking)
  }
}

/** Tells of a resume whenever the clock has gone ahead since the last look. A clock that is set does so too: then once too often. */
export function lookerAt(
  { now, resumed }: Pick<ResumeParts, "now" | "resumed">,
  running = (): number => performance.now(), // CLOCK_MONOTONIC, which stands still during a suspend
): () => void {
  let ahead = now() - running()
  return () => {
    const seen = now() - running()
    if (seen - ahead > jump) resumed()
    ahead = seen
  }
}

/** A machine without a bus, or without logind, is told once and watched by its clock. */
async function watchBus({ bus, say, resumed }: ResumeParts, signal: AbortSignal): Promise<void> {
  let said = bus === ""
  for (let pause = firstPause; !signal.aborted; pause = Math.min(2 * pause, longestPause)) {
    try {
      if (bus !== "") await listen(bus, prepareForSleep, asleep => void (asleep || resumed()), signal)
    } catch (error) {
      if (!said) say(`cannot hear of suspends on ${bus}: ${told(error).message}`, "the clock is watched in its place")
      said = true
    }
    await delay(pause, undefined, { signal }).catch(() => undefined)
  }
}

/** After a suspend the broker opens a log for the new epoch, and everything is measured into it: nobody waits for a challenge. */
export function measureAfterResume(
  parts: Omit<ResumeParts, "resumed">,
  attester: Pick<Attester, "measure">,
  signal: AbortSignal,
): Promise<void> {
  const resumed = (): void => {
    parts.say("this machine woke from a suspend: it is measured again", "")
    attester.measure("quick", signal).catch(error => {
      const { message, hint } = told(error)
      if (!signal.aborted) parts.say(`cannot measure this machine: ${message}`, hint)
    })
  }
  return watchResume({ ...parts, resumed }, signal)
}
