/**
 * Who is told of what will have to be shown years later? Whoever takes leaves: each published note, approval, enrolment, gap and
 * result is handed on once, as the bytes that were signed or decided. What a taker makes of them is its own business.
 */

/** What a leaf is: notes of quorums, lines that approve them, and what followed from them. */
export const leafKinds = [
  "policy",
  "pin",
  "rollback",
  "certification",
  "approval",
  "enrolment",
  "gap",
  "evidence",
  "result",
] as const
export type LeafKind = (typeof leafKinds)[number]

/** Takes a leaf; it is kept when the promise resolves. */
export type Taker = (kind: LeafKind, bytes: Uint8Array) => Promise<void>

/** Hands each leaf to every taker, one leaf after another in the order of their coming. */
export class Ledger {
  readonly #takers: Taker[] = []
  #last: Promise<void> = Promise.resolve()

  /** From now on `taker` is handed every leaf. */
  handTo(taker: Taker): void {
    this.#takers.push(taker)
  }

  /** Resolves when every taker has kept it; rejects when one could not. */
  append(kind: LeafKind, bytes: Uint8Array): Promise<void> {
    const turn = this.#last.then(async () => {
      for (const taker of this.#takers) await taker(kind, bytes)
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }
}
