/** In which order does the broker work? One piece of work after another: an append never falls between log and quote. */
import { Fault } from "./fault.ts"

/** The most pieces of work that may wait. */
const mostWaiting = 256

export class SerialQueue {
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #closed: Fault | undefined

  /** Runs `work` after everything that was given before. Throws what `work` throws, or why the queue takes nothing. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting >= mostWaiting)
      throw new Fault(`${mostWaiting} calls wait for the TPM already`, "ask less often, or find out who asks")
    this.#waiting++
    const turn = this.#tail.then(() => {
      this.#waiting--
      if (this.#closed) throw this.#closed
      return work()
    })
    this.#tail = turn.catch(() => undefined)
    return turn
  }

  /** Takes nothing more, refuses what waits, and resolves when the work in progress has ended. */
  async close(because: Fault): Promise<void> {
    this.#closed ??= because
    await this.#tail
  }
}
