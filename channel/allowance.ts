/** How often may something be done, and by whom? So many times a minute for each key, saved up to one minute's worth. */

type Bucket = { left: number; at: number }

/** The most keys that are remembered: more come only from a flood, which then shares what is left. */
const most = 100_000

export class Allowance {
  readonly #perMinute: number
  readonly #buckets = new Map<string, Bucket>()

  constructor(perMinute: number) {
    this.#perMinute = perMinute
  }

  /** Whether `key` may once more at `now` (ms), and counts it if so. */
  take(key: string, now: number): boolean {
    const bucket = this.#bucket(key, now)
    const earned = ((now - bucket.at) / 60_000) * this.#perMinute
    bucket.left = Math.min(this.#perMinute, bucket.left + Math.max(0, earned))
    bucket.at = now
    if (bucket.left < 1) return false
    bucket.left -= 1
    return true
  }

  #bucket(key: string, now: number): Bucket {
    const known = this.#buckets.get(key)
    if (known) return known
    if (this.#buckets.size >= most) this.#forget(now)
    const shared = this.#buckets.size >= most ? "" : key
    const bucket = this.#buckets.get(shared) ?? { left: this.#perMinute, at: now }
    this.#buckets.set(shared, bucket)
    return bucket
  }

  /** Whoever has waited a minute has all of it again, so nothing is lost. */
  #forget(now: number): void {
    for (const [key, { at }] of this.#buckets) if (now - at >= 60_000) this.#buckets.delete(key)
  }
}
