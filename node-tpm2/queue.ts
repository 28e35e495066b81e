/**
 * Whose turn is it? One piece of work at a time, in the order of asking; one that fails does not hold up the next.
 */
export class Queue {
  #tail: Promise<unknown> = Promise.resolve()

  /** Runs `work` after everything asked for before. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#tail.then(work)
    this.#tail = result.then(
      () => undefined,
      () => undefined,
    )
    return result
  }
}
