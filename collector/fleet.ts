/**
 * Which attesters are connected? Those of which a connection gave evidence that verified and was in time. A claim does not get
 * in here, and evicts nobody; the newer of two proven connections does.
 */
import type { AttesterSession } from "./attester.ts"
import { challengeRegularly } from "./schedule.ts"

type Place = { readonly session: AttesterSession; readonly schedule: { stop(): void } }

export class Fleet {
  readonly #places = new Map<string, Place>()
  readonly #everySeconds: number

  constructor(everySeconds: number) {
    this.#everySeconds = everySeconds
  }

  /** The proven connection of `attester`. */
  get(attester: string): AttesterSession | undefined {
    return this.#places.get(attester)?.session
  }

  get size(): number {
    return this.#places.size
  }

  /** `session` has proven to be `attester`'s: it is challenged from now on, and an older one ends. */
  take(attester: string, session: AttesterSession): void {
    const before = this.#places.get(attester)
    if (before?.session === session) return
    before?.schedule.stop()
    this.#places.set(attester, { session, schedule: challengeRegularly(session, this.#everySeconds) })
    before?.session.end("another connection of this attester has answered since")
  }

  /** `session` is gone. */
  drop(attester: string, session: AttesterSession): void {
    const place = this.#places.get(attester)
    if (place?.session !== session) return
    place.schedule.stop()
    this.#places.delete(attester)
  }

  stop(): void {
    for (const { schedule } of this.#places.values()) schedule.stop()
  }
}
