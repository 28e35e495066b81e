/** Which quotes wait to be signed, while the logs that belong to them are read? One for each audience: the next takes its place. */
import { randomBytes } from "node:crypto"
import type { Unsigned } from "./evidence.ts"
import { Fault } from "./fault.ts"

const mostWaiting = 16

export class UnsignedQuotes {
  readonly #waiting = new Map<string, { readonly ticket: string; readonly unsigned: Unsigned }>()

  /** Keeps the newest quote for `audience`, and gives the ticket by which it is taken. */
  keep(audience: string, unsigned: Unsigned): string {
    const ticket = randomBytes(16).toString("hex")
    this.#waiting.delete(audience)
    this.#waiting.set(audience, { ticket, unsigned })
    const [oldest] = this.#waiting.keys()
    if (this.#waiting.size > mostWaiting && oldest !== undefined) this.#waiting.delete(oldest)
    return ticket
  }

  /** The quote of this ticket, once. Throws Fault when another took its place. */
  take(ticket: string): Unsigned {
    for (const [audience, each] of this.#waiting)
      if (each.ticket === ticket && this.#waiting.delete(audience)) return each.unsigned
    throw new Fault("this quote waits no more: another was made for its audience", "ask for evidence again")
  }
}
