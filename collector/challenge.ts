/**
 * Which challenges of one connection are open? Each until it is answered, declined, or past its deadline; in all of them the
 * nonce is ours, or an outside verifier's whose question is passed on.
 */
import { randomBytes } from "node:crypto"
import { toBase64, toHex } from "../attestation/wire/text.ts"
import type { Challenge } from "../attestation/protocol/message.ts"
import type { Delivered } from "./delivery.ts"
import type { Judged } from "./judge.ts"

/** How a challenge ended. */
export type Ended =
  | { readonly kind: "judged"; readonly judged: Judged }
  | { readonly kind: "delivered"; readonly delivered: Delivered }
  | { readonly kind: "declined"; readonly reason: string }
  | { readonly kind: "missed"; readonly reason: string }
  | { readonly kind: "gone"; readonly reason: string }

/** What is asked: by the collector itself, or by an outside verifier through it. */
export type Ask =
  | {
      readonly by: "collector"
      readonly audience: string
      readonly depth: Challenge["depth"]
      /** the nonce of the full challenge whose second step this is */
      readonly hashed: Uint8Array | "nothing"
    }
  | {
      readonly by: "verifier"
      readonly audience: string
      readonly depth: Challenge["depth"]
      readonly nonce: Uint8Array
      readonly credential: NonNullable<Challenge["credential"]>
    }

/** An open challenge. Times in ms since 1970. */
export type Open = {
  readonly id: string
  readonly ask: Ask
  readonly nonce: Uint8Array
  readonly issued: number
  readonly expires: number
}

/** The most that are open at once on one connection, second steps of full ones aside: there is one at most for each. */
const most = 8

/** The open challenges of one connection. */
export class Challenges {
  readonly #open = new Map<string, Open & { readonly end: (ended: Ended) => void; readonly timer: NodeJS.Timeout }>()

  get full(): boolean {
    return this.#open.size >= most
  }

  /** The challenge of the collector's own with this depth that is open already. */
  own(depth: Challenge["depth"]): Open | undefined {
    return [...this.#open.values()].find(each => each.ask.by === "collector" && each.ask.depth === depth)
  }

  /** The open second step of this full challenge. */
  secondOf({ nonce }: Open): Open | undefined {
    return [...this.#open.values()].find(({ ask }) => ask.by === "collector" && ask.hashed === nonce)
  }

  /** Opens one; `ended` is told once. */
  begin(ask: Ask, issued: number, deadlineSeconds: number, ended: (ended: Ended, open: Open) => void): Open {
    const nonce = ask.by === "verifier" ? ask.nonce : new Uint8Array(randomBytes(32))
    const expires = issued + deadlineSeconds * 1000
    const open: Open = { id: toHex(randomBytes(16)), ask, nonce, issued, expires }
    const end = (how: Ended): void => {
      const known = this.#open.get(open.id)
      if (!known) return
      clearTimeout(known.timer)
      this.#open.delete(open.id)
      ended(how, open)
    }
    const late = (): void => end({ kind: "missed", reason: `no answer within ${deadlineSeconds} s` })
    this.#open.set(open.id, { ...open, end, timer: setTimeout(late, deadlineSeconds * 1000) })
    return open
  }

  get(id: string | null): Open | undefined {
    return id === null ? undefined : this.#open.get(id)
  }

  end(id: string, how: Ended): void {
    this.#open.get(id)?.end(how)
  }

  endAll(how: Ended): void {
    for (const each of this.#open.values()) each.end(how)
  }
}

/** The message that asks. */
export const messageOf = ({ id, ask, nonce }: Open, deadlineSeconds: number): Challenge => ({
  type: "challenge",
  id,
  nonce: toBase64(nonce),
  audience: ask.audience,
  depth: ask.depth,
  deadlineSeconds,
  credential: ask.by === "verifier" ? ask.credential : null,
})

/** The nonce around whose full reading the log must hold records; of a full challenge that is answered in one step, its own. */
export function readingAskedBy({ ask, nonce }: Open): Uint8Array | "nothing" {
  if (ask.by !== "collector") return "nothing"
  return ask.depth === "full" ? nonce : ask.hashed
}

/** What became of the second step became of both; what went wrong there was told there. */
export const outcomeOf = (ended: Ended): Ended =>
  ended.kind === "judged" || ended.kind === "delivered" ? ended : { kind: "gone", reason: ended.reason }
