/** When is a connected attester asked again? Regularly, with jitter, so that a fleet does not answer at one moment. */
import type { AttesterSession } from "./attester.ts"

/** How far an interval may lie from the configured one. */
const jitter = 0.1

/** Challenges `session` about every `seconds`, until stopped: the next is due when the one before has ended. */
export function challengeRegularly(session: AttesterSession, seconds: number): { stop(): void } {
  let timer: NodeJS.Timeout | undefined
  let stopped = false
  const wait = (): void => {
    if (stopped) return
    const spread = 1 + jitter * (2 * Math.random() - 1)
    timer = setTimeout(() => void session.askRegularly().finally(wait), seconds * 1000 * spread)
  }
  wait()
  return {
    stop: () => {
      stopped = true
      clearTimeout(timer)
    },
  }
}
