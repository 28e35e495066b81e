/**
 * What does the collector say to an outside verifier? Who an attester is, as it was enrolled; and it passes a question on, and
 * the evidence back, byte for byte. The token is looked at before anything else, and each question counted, before any TPM works.
 */
import { fromBase64 } from "../attestation/wire/text.ts"
import { spoken } from "../attestation/appraise/endorsement.ts"
import { inForce } from "./endorse.ts"
import { type FromVerifier, readFromVerifier } from "../attestation/protocol/message.ts"
import type { Ended } from "./challenge.ts"
import { admits, invitationOf } from "./enrol.ts"
import type { Parts } from "./parts.ts"
import { verifierRoute } from "./routes.ts"
import { Breach, type Conversation, type Peer } from "../channel/peer.ts"

export class VerifierSession implements Conversation {
  readonly #peer: Peer
  readonly #parts: Parts
  #deadline: NodeJS.Timeout | undefined

  /** How each proof that this door takes is checked; whoever passes has a name. */
  readonly #proven = { "a verifier's token": (question: FromVerifier) => this.#nameOf(question) }

  constructor(peer: Peer, parts: Parts) {
    this.#peer = peer
    this.#parts = parts
    this.#expect()
  }

  async text(bytes: Uint8Array): Promise<void> {
    clearTimeout(this.#deadline)
    const question = readFromVerifier(bytes)
    const name = await this.#proven[verifierRoute.says[question.type].needs](question)
    await (question.type === "who" ? this.#identify(question.attester) : this.#relay(question, name))
    this.#expect()
  }

  async binary(): Promise<void> {
    throw new Breach("a verifier sends no bytes")
  }

  closed(): void {
    clearTimeout(this.#deadline)
  }

  /** A verifier that asks nothing (more) needs no connection. */
  #expect(): void {
    const seconds = this.#parts.config.limits.greeting
    if (this.#peer.open)
      this.#deadline = setTimeout(() => this.#peer.goodbye(`no question within ${seconds} s`, 0), seconds * 1000)
  }

  /** Who asks. Throws {@link Breach} for a token that admits nobody, and for one question too many. */
  async #nameOf({ token }: FromVerifier): Promise<string> {
    const { store, now, questions } = this.#parts
    const invitation = token === null ? undefined : await invitationOf(store, fromBase64(token))
    if (!invitation || !admits(invitation, "verifier", now()))
      throw new Breach("the token is unknown, revoked or expired: ask the operator for a new one")
    if (!questions.take(invitation.id, now())) throw new Breach("too many questions within a minute", 60)
    return invitation.name
  }

  async #identify(attester: string): Promise<void> {
    const enrolment = await this.#parts.store.enrolment(attester)
    if (!enrolment) return this.#decline("no attester of this name is enrolled")
    const retirement = await this.#parts.store.retirement(attester)
    if (retirement) return this.#decline(`this attester was retired by ${retirement.by}`)
    const endorsement = await inForce(this.#parts.store, enrolment.endorsement)
    this.#peer.send({ type: "identity", identity: enrolment.identity, endorsement: spoken(endorsement) })
  }

  async #relay({ attester, nonce, depth, credential }: FromVerifier & { type: "ask" }, name: string): Promise<void> {
    const session = this.#parts.fleet.get(attester)
    if (!session) return this.#decline("this attester is not connected")
    const ask = { by: "verifier", audience: `verifier:${name}`, depth, nonce: fromBase64(nonce), credential } as const
    await this.#pass(await session.ask(ask))
  }

  async #pass(ended: Ended): Promise<void> {
    if (ended.kind === "judged") throw new Error("a relayed answer is not judged")
    if (ended.kind !== "delivered") return this.#decline(ended.reason)
    this.#peer.send(ended.delivered.message)
    await this.#peer.sendBytes(ended.delivered.whole)
  }

  #decline(reason: string): void {
    this.#peer.send({ type: "declined", challenge: null, reason })
  }
}
