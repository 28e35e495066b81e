/** How fast may a thread read, and is anybody still waiting for what it reads? A token bucket that ends its sleep when told to stop. */

/** Nobody waits for the answer any more. */
export class Stopped extends Error {
  constructor() {
    super("stopped")
    this.name = "Stopped"
  }
}

/** What a thread may have saved up, in milliseconds of its rate. */
const burst = 100

/** Of one thread, for all its jobs: a limit does not begin anew with each file. */
export class Pace {
  readonly #bytesPerSecond: number
  #stop: Int32Array = new Int32Array(1)
  /** when what was read so far would have been read at the rate */
  #due = 0

  constructor(bytesPerSecond: number) {
    this.#bytesPerSecond = bytesPerSecond
  }

  /** Whose flag counts from now on: 0 as long as somebody waits. */
  heed(stop: Int32Array): void {
    this.#stop = stop
  }

  /** Sleeps until `bytes` more were in order. Throws {@link Stopped}. */
  spend(bytes: number): void {
    if (Atomics.load(this.#stop, 0) !== 0) throw new Stopped()
    if (this.#bytesPerSecond === Infinity) return
    const now = performance.now()
    this.#due = Math.max(this.#due, now - burst) + (bytes / this.#bytesPerSecond) * 1000
    if (this.#due > now) Atomics.wait(this.#stop, 0, 0, this.#due - now)
    if (Atomics.load(this.#stop, 0) !== 0) throw new Stopped()
  }
}
