/**
 * When have the bytes that an `evidence` message announced come whole, and which are they? Exactly as many as announced, the
 * envelope's first, then each log part's. What they hold: `judge.ts`.
 */
import { Malformed } from "../attestation/wire/codec.ts"
import { envelopeLimit } from "../attestation/protocol/dsse.ts"
import { logLimits } from "../attestation/protocol/evidence.ts"
import type { FromAttester } from "../attestation/protocol/message.ts"

export type Announced = Extract<FromAttester, { type: "evidence" }>

/** A log from `offset` on. */
export type LogPart = { readonly name: string; readonly offset: number; readonly bytes: Uint8Array }
/** Evidence as it came; `message` is what announced it, `whole` every byte after it. */
export type Delivered = {
  readonly message: Announced
  readonly whole: Uint8Array
  readonly envelope: Uint8Array
  readonly logs: readonly LogPart[]
}

/** The most bytes of one delivery. */
export const deliveryLimit = Object.values(logLimits).reduce((sum, limit) => sum + limit, envelopeLimit)

/** Bytes of evidence on their way, over all connections. */
export class Buffered {
  readonly #limit: number
  #held = 0

  constructor(limit: number) {
    this.#limit = limit
  }
  /** Whether `bytes` more may be held, and holds them if so. */
  hold(bytes: number): boolean {
    if (this.#held + bytes > this.#limit) return false
    this.#held += bytes
    return true
  }
  release(bytes: number): void {
    this.#held -= bytes
  }
}

/** One delivery, from its announcement until it is whole or given up. */
export class Delivery {
  readonly #message: Announced
  readonly #wanted: number
  readonly #chunks: Uint8Array[] = []
  #got = 0

  /** Throws Malformed for an announcement beyond the bounds. */
  constructor(message: Announced) {
    this.#message = message
    this.#wanted = message.logs.reduce((sum, log) => sum + log.length, message.envelope)
    if (message.envelope === 0) throw new Malformed("evidence without an envelope")
    if (this.#wanted > deliveryLimit)
      throw new Malformed(`${this.#wanted} bytes announced, more than the ${deliveryLimit} of one delivery`)
  }

  get got(): number {
    return this.#got
  }

  /** Takes a frame. Throws Malformed for an empty one, or for more bytes than were announced. */
  push(frame: Uint8Array): Delivered | "more" {
    if (frame.length === 0) throw new Malformed("an empty binary frame")
    if (this.#got + frame.length > this.#wanted)
      throw new Malformed(`more than the ${this.#wanted} bytes that were announced`)
    this.#chunks.push(frame)
    this.#got += frame.length
    return this.#got === this.#wanted ? this.#delivered() : "more"
  }

  #delivered(): Delivered {
    const whole = new Uint8Array(Buffer.concat(this.#chunks))
    const message = this.#message
    let at = message.envelope
    const logs = message.logs.map(({ name, offset, length }) => {
      at += length
      return { name, offset, bytes: whole.subarray(at - length, at) }
    })
    return { message, whole, envelope: whole.subarray(0, message.envelope), logs }
  }
}
