/**
 * How does the agent stay with its collector? It dials, and when a connection ends it waits a random part of a pause that
 * doubles from one second to five minutes, and never less than the collector asked for. What is said on a connection: `session.ts`.
 */
import { setTimeout as delay } from "node:timers/promises"
import { type Endpoint, openChannel } from "./channel.ts"
import { Goodbye, Session, type SessionParts } from "./session.ts"
import { told } from "./trouble.ts"

export type ConnectionParts = SessionParts & {
  readonly endpoint: Endpoint
  /** told of the pin that takes the place of the endpoint's, before anything is said to its holder */
  readonly succeeded: (pin: Uint8Array) => Promise<void>
  /** from 0 up to 1, as Math.random */
  readonly random: () => number
}

/** Seconds. */
const longestPause = 300

/** Milliseconds to wait after `failures` attempts in a row came to nothing, the first being 0. */
export function pauseAfter(failures: number, random: () => number, retryAfterSeconds: number): number {
  const pause = Math.min(longestPause, 2 ** Math.min(failures, 16))
  return Math.ceil(1000 * (retryAfterSeconds + random() * pause))
}

/** Stays connected until `signal` is aborted; then resolves when the connection is closed. */
export async function stayConnected(parts: ConnectionParts, signal: AbortSignal): Promise<void> {
  const { standing, say, random } = parts
  let { endpoint } = parts
  const succeeded = async (pin: Uint8Array): Promise<void> => {
    await parts.succeeded(pin)
    endpoint = { ...endpoint, pin }
  }
  for (let failures = 0; !signal.aborted; failures++) {
    standing.connecting()
    const { heard, why } = await attempt({ ...parts, endpoint, succeeded }, signal)
    if (signal.aborted) return
    if (heard) failures = 0
    const pause = pauseAfter(failures, random, why instanceof Goodbye ? why.retryAfterSeconds : 0)
    const { message, hint } = told(why)
    say(`${message}; next attempt in ${Math.ceil(pause / 1000)} s`, hint)
    standing.waiting(pause, message)
    await delay(pause, undefined, { signal }).catch(() => undefined)
  }
}

/** One connection: whether it came to anything, and why it ended. */
async function attempt(parts: ConnectionParts, signal: AbortSignal): Promise<{ heard: boolean; why: unknown }> {
  let session: Session | undefined
  try {
    const channel = await openChannel(parts.endpoint, signal)
    if (channel.successor !== "none") await parts.succeeded(channel.successor)
    session = new Session(parts, channel)
    parts.standing.connected()
    await session.run(signal)
    return { heard: session.heard, why: undefined }
  } catch (why) {
    return { heard: session?.heard ?? false, why }
  }
}
