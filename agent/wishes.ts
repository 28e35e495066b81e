/**
 * How does this machine come by a secret that its collector keeps for it? It says what it wants on the connection that stands; what comes
 * is sealed under a key that only this TPM opens, for evidence that was made since. When it comes: `collector/release.ts`.
 */
import type { ToAttester } from "../attestation/protocol/message.ts"
import { openSecret } from "../attestation/protocol/release.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import type { Broker } from "./record.ts"
import { told, Trouble } from "./trouble.ts"

/** What the collector says to a wish. */
export type Said = Extract<ToAttester, { type: "released" | "withheld" }>
/** `made` are the digests of evidence that was made for the collector between the wish and what was said to it. */
export type Answered = { readonly said: Said; readonly made: ReadonlySet<string> }

/** A connection on which something can be wanted. */
export type Line = { want(secret: string): Promise<Answered> }

/** What is wanted on this machine, one secret after another, on whichever connection stands. */
export class Wishes {
  #line: Line | "none" = "none"
  #last: Promise<unknown> = Promise.resolve()

  connected(line: Line): void {
    this.#line = line
  }
  ended(line: Line): void {
    if (this.#line === line) this.#line = "none"
  }

  /** What is said to the wish for `secret`. Throws Trouble where there is no connection, or it ends before. */
  want(secret: string): Promise<Answered> {
    const turn = this.#last.then(() => {
      if (this.#line !== "none") return this.#line.want(secret).catch(withFix)
      throw new Trouble("the agent is not connected to a collector", "assay status says why; ask again when it is")
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

/** A collector that does not know the wish ends the connection, without a fix. */
function withFix(error: unknown): never {
  const { message, hint } = told(error)
  throw new Trouble(message, hint || "ask again; if it repeats, bring agent and collector to one version")
}

/** The secret with the evidence that it was released for, or why it was not. */
export type Fetched =
  | { readonly kind: "released"; readonly evidence: string; readonly secret: Uint8Array }
  | { readonly kind: "withheld"; readonly reason: string; readonly hint: string }

/** Wants `secret` and opens what comes with this TPM. Throws Trouble and CallFailed. */
export async function fetchSecret(broker: Broker, wishes: Wishes, secret: string): Promise<Fetched> {
  const { said, made } = await wishes.want(secret)
  if (said.type === "withheld") return { kind: "withheld", reason: said.reason, hint: said.hint }
  const { evidence, credential, sealed } = said
  if (!made.has(evidence))
    throw new Trouble(
      "the secret was released for evidence that was not made for it",
      "tell whoever runs the collector",
    )
  const { identity } = await broker.call("identity", {})
  const key = fromBase64((await broker.call("activate", { credential })).secret)
  try {
    const opened = openSecret(fromBase64(sealed), key, { attester: identity.attester, secret, evidence })
    return { kind: "released", evidence, secret: opened }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Trouble(`the secret does not open: ${error.message}`, "tell whoever runs the collector")
  }
}
