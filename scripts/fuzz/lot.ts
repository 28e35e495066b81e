/** Where does a fuzzer's chance come from? From a seed, so that a run can be had again. */

/** Draws that depend on the seed alone. */
export class Lot {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 32 bits: a counter with Weyl's increment, its bits mixed by two multiplications and shifts. */
  next(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let mixed = this.#state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return (mixed ^ (mixed >>> 16)) >>> 0
  }
  /** A whole number from 0 to below `n`; 0 where `n` is 0. */
  below(n: number): number {
    return n < 1 ? 0 : this.next() % n
  }
  /** One time in `n`. */
  once(n: number): boolean {
    return this.below(n) === 0
  }
  /** One of `items`, of which there must be some. */
  one<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new RangeError("nothing to draw from")
    return item
  }
  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.next() & 0xff)
  }
}
