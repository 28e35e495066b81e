/** What was computed of these bytes before? The same value again, and of the newest only: nothing that is computed depends on it. */
export class Memo<T> {
  readonly #limit: number
  readonly #values = new Map<string, T>()

  /** @param limit the most values that are kept */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** The value for `key`, computed if it is not known. What computing throws is thrown, and not kept. */
  get(key: string, compute: () => T): T {
    const known = this.#values.get(key)
    if (known !== undefined) return known
    const value = compute()
    this.#values.set(key, value)
    const [oldest] = this.#values.keys()
    if (this.#values.size > this.#limit && oldest !== undefined) this.#values.delete(oldest)
    return value
  }
}
