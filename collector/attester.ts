/**
 * What does the collector say to an attester, and in which order? Enrolment, greeting, challenges, evidence. Until evidence has
 * verified in time, the name that a connection says is a claim: nothing is changed, evicted or told for it.
 */
import { Malformed } from "../attestation/wire/codec.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { type FromAttester, readFromAttester } from "../attestation/protocol/message.ts"
import { type Ask, Challenges, type Ended, messageOf, type Open, outcomeOf, readingAskedBy } from "./challenge.ts"
import { type Announced, type Delivered, Delivery } from "./delivery.ts"
import { admit, type Candidate, consider } from "./enrol.ts"
import type { Lacking } from "./conclude.ts"
import type { Judged } from "./judge.ts"
import type { Parts } from "./parts.ts"
import { Wishes } from "./release.ts"
import { attesterRoute, type StageName } from "./routes.ts"
import { Breach, type Conversation, type Peer } from "../channel/peer.ts"
import type { Incident } from "./store.ts"

type Stage =
  | { readonly at: "new" | "enrolled" }
  | { readonly at: "applying"; readonly candidate: Candidate }
  | { readonly at: "greeted"; readonly claimedAttester: string }
  | { readonly at: "proven"; readonly attester: string }

/** How much evidence of one connection may be refused before it ends. */
const refusalsBorne = 8
/** How many answered-too-late questions of outside verifiers are remembered, so that their evidence is let pass. */
const lapsedKept = 64

type Message<T extends FromAttester["type"]> = Extract<FromAttester, { type: T }>

export class AttesterSession implements Conversation {
  readonly #peer: Peer
  readonly #parts: Parts
  readonly #challenges = new Challenges()
  readonly #lapsed = new Set<string>()
  readonly #wishes: Wishes
  #stage: Stage = { at: "new" }
  #delivery: Delivery | undefined
  #deadline: NodeJS.Timeout | undefined
  #refusals = 0
  #resending = false

  constructor(peer: Peer, parts: Parts) {
    this.#peer = peer
    this.#parts = parts
    this.#wishes = new Wishes(parts, {
      attester: () => this.#claimed(),
      ask: what => this.ask(what),
      send: message => peer.send(message),
      fault: error => this.#fault(error),
    })
    this.#expectWithin(parts.config.limits.greeting, "no first message")
  }

  async text(bytes: Uint8Array): Promise<void> {
    if (this.#delivery) throw new Breach("a message came where bytes of evidence were due")
    const message = readFromAttester(bytes)
    this.#requireTurn(message.type)
    switch (message.type) {
      case "hello":
        return this.#greet(message)
      case "enrol":
        return this.#apply(message)
      case "activated":
        return this.#enrol(message)
      case "evidence":
        return this.#announce(message)
      case "declined":
        return this.#challenges.end(message.challenge, { kind: "declined", reason: message.reason })
      case "hashed":
        return this.#askAfterHashing(message)
      case "want":
        return this.#wishes.take(message.secret)
      case "goodbye":
        return this.#peer.leave("goodbye", 0)
    }
  }

  async binary(frame: Uint8Array): Promise<void> {
    const delivery = this.#delivery
    if (!delivery) throw new Breach("bytes came that no evidence message announced")
    const delivered = delivery.push(frame)
    if (!this.#parts.buffered.hold(frame.length)) {
      this.#parts.buffered.release(delivery.got - frame.length)
      this.#delivery = undefined
      throw new Breach("the collector has too much evidence on its way", 30)
    }
    if (delivered === "more") return
    try {
      this.#delivery = undefined
      this.#settleDeadline()
      await this.#take(delivered)
    } finally {
      this.#parts.buffered.release(delivery.got)
    }
  }

  closed(): void {
    this.#settleDeadline()
    this.#parts.buffered.release(this.#delivery?.got ?? 0)
    this.#delivery = undefined
    if (this.#stage.at === "proven") this.#parts.fleet.drop(this.#stage.attester, this)
    this.#challenges.endAll({ kind: "gone", reason: "the connection ended" })
  }

  /** Ends this connection because another took its place. */
  end(reason: string): void {
    this.#peer.goodbye(reason, 0)
  }

  /** Asks, and gives how that ended. Throws {@link Breach} when too much is open. */
  async ask(what: Ask): Promise<Ended> {
    const second = what.by === "collector" && what.hashed !== "nothing"
    if (this.#challenges.full && !second) throw new Breach("too many challenges are open on this connection")
    const { config, store, now } = this.#parts
    const long = what.by === "collector" && what.depth === "full"
    const deadline = long ? config.challenge.full : config.challenge.deadline
    const { promise, resolve } = Promise.withResolvers<Ended>()
    const open = this.#challenges.begin(what, now(), deadline, (ended, which) => {
      this.#ended(ended, which)
      resolve(ended)
    })
    if (what.by === "collector") await store.issue({ ...open, attester: this.#claimed(), channel: this.#peer.channel })
    this.#peer.send(messageOf(open, deadline))
    return promise
  }

  /**
   * The second step of a full challenge: a nonce that is quoted after everything was read. How it ends is how both end. What was
   * open and is not any more came too late.
   */
  #askAfterHashing({ challenge }: Message<"hashed">): void {
    const first = this.#challenges.get(challenge)
    if (!first) return
    if (first.ask.by !== "collector" || first.ask.depth !== "full")
      throw new Breach("hashed came for a challenge that asks for no full reading")
    if (this.#challenges.secondOf(first)) throw new Breach("hashed came twice for one challenge")
    this.ask({ ...first.ask, depth: "quick", hashed: first.nonce }).then(
      ended => this.#challenges.end(challenge, outcomeOf(ended)),
      error => this.#fault(error),
    )
  }

  /** Asks for what changed, unless that is being asked already. */
  async askRegularly(): Promise<void> {
    if (this.#challenges.own("quick") || this.#challenges.full) return
    const audience = this.#parts.config.name
    await this.ask({ by: "collector", audience, depth: "quick", hashed: "nothing" }).catch(error => this.#fault(error))
  }

  /** Throws {@link Breach} for a message that the table of routes does not let in at this stage. */
  #requireTurn(type: FromAttester["type"]): void {
    const stages: readonly StageName[] = attesterRoute.says[type].at
    if (stages.includes(this.#stage.at)) return
    if (stages.includes("greeted")) throw new Breach("hello must come first")
    throw new Breach(`${type} came where another message was due`)
  }

  async #greet({ attester }: Message<"hello">): Promise<void> {
    this.#settleDeadline()
    this.#stage = { at: "greeted", claimedAttester: attester }
    void this.askRegularly()
  }

  async #apply({ invitation, identity, label }: Message<"enrol">): Promise<void> {
    this.#stage = { at: "enrolled" }
    const { store, now, config } = this.#parts
    const application = { token: fromBase64(invitation), identity, label }
    const candidate = await consider(store, application, now())
    if ("refused" in candidate) throw new Breach(candidate.refused)
    this.#stage = { at: "applying", candidate }
    this.#expectWithin(config.limits.delivery, "the credential was not activated")
    const { idObject, encryptedSecret } = candidate.credential
    const credential = { idObject: toBase64(idObject), encryptedSecret: toBase64(encryptedSecret) }
    this.#peer.send({ type: "credential", credential })
  }

  async #enrol({ secret, audit }: Message<"activated">): Promise<void> {
    if (this.#stage.at !== "applying") throw new Breach("activated came where another message was due")
    const { candidate } = this.#stage
    this.#stage = { at: "enrolled" }
    const { store, now, config, resultKey, say } = this.#parts
    const enrolled = await admit(store, candidate, { secret: fromBase64(secret), audit }, now())
    if ("refused" in enrolled) throw new Breach(enrolled.refused)
    say(`enrolled ${enrolled.attester}, number ${enrolled.number}, called ${enrolled.label}`)
    this.#expectWithin(config.limits.delivery, "no hello after enrolment")
    const { attester } = enrolled
    this.#peer.send({ type: "enrolled", attester, resultKey: toBase64(resultKey), audience: config.name })
  }

  async #announce(message: Announced): Promise<void> {
    this.#delivery = new Delivery(message)
    this.#expectWithin(this.#parts.config.limits.delivery, "the announced bytes did not come")
  }

  async #take(delivered: Delivered): Promise<void> {
    const open = this.#challenges.get(delivered.message.challenge)
    if (open?.ask.by === "verifier") return this.#challenges.end(open.id, { kind: "delivered", delivered })
    if (this.#lapsed.has(delivered.message.challenge ?? "")) return
    const judged = await this.#parts.judge({
      claimedAttester: this.#claimed(),
      resending: this.#resending,
      channel: this.#peer.channel,
      challenge: open ?? "none of this connection",
      hashed: open ? readingAskedBy(open) : "nothing",
      delivered,
    })
    if (judged.kind === "acknowledged") this.#acknowledge(judged, open)
    else await this.#refuse(judged, open)
  }

  #acknowledge(judged: Judged & { kind: "acknowledged" }, open: Open | undefined): void {
    if (judged.timely) this.#prove()
    const { evidence, tier } = judged
    const nextSeconds = this.#parts.config.challenge.every
    this.#peer.send({ type: "acknowledged", evidence, tier: this.#proven ? tier : "none", nextSeconds })
    if (open && judged.timely) this.#challenges.end(open.id, { kind: "judged", judged })
    this.#askAgain(judged.lacking)
  }

  /** This connection is the attester's from now on. */
  #prove(): void {
    const attester = this.#claimed()
    if (!this.#peer.open) return
    this.#stage = { at: "proven", attester }
    this.#parts.fleet.take(attester, this)
  }

  /** Once a connection: what this store lacks, because it came out of a backup or an acknowledgement was lost, is sent again (M12). */
  #askAgain(lacking: Lacking): void {
    if (lacking === "nothing" || this.#resending || !this.#proven) return
    this.#resending = true
    this.#peer.send({ type: "resend", after: lacking.after })
  }

  async #refuse(judged: Judged & { kind: "refused" }, open: Open | undefined): Promise<void> {
    const { evidence, told, findings, enrolled, own } = judged
    // a machine that shows a broken log is still that machine: it can be asked again, and is not sent away for long
    if (own) this.#prove()
    this.#peer.send({ type: "refused", evidence, findings: [...told] })
    const worthAnotherTry = findings.some(each => each.id === "log.missing")
    if (open && !worthAnotherTry) this.#challenges.end(open.id, { kind: "judged", judged })
    if (++this.#refusals >= refusalsBorne) this.#peer.goodbye("too much evidence was refused", 60)
    // last, so that its time tells a stranger nothing
    if (enrolled) await this.#tell({ kind: "refused", evidence, findings: told, says: this.#peer.address })
  }

  /** A challenge is over. A connection that has proven nothing by then is of no use to anybody. */
  #ended(ended: Ended, { id, ask }: Open): void {
    if (ended.kind === "gone" || ended.kind === "delivered") return
    if (ask.by === "verifier") {
      if (this.#lapsed.size >= lapsedKept) this.#lapsed.clear()
      this.#lapsed.add(id)
      return
    }
    if (!this.#proven)
      return this.#peer.goodbye("no evidence that verifies came in time", this.#parts.config.challenge.every)
    if (ended.kind !== "judged")
      void this.#tell({ kind: ended.kind, evidence: null, findings: [], says: ended.reason }).catch(error =>
        this.#fault(error),
      )
  }

  #tell(what: Pick<Incident, "kind" | "evidence" | "findings" | "says">): Promise<void> {
    const { store, now, config } = this.#parts
    return store.tell({ ...what, attester: this.#claimed(), at: now() }, config.limits.incidents)
  }

  get #proven(): boolean {
    return this.#stage.at === "proven"
  }

  /** The name that this connection is under, proven or not. Throws {@link Breach} before a hello. */
  #claimed(): string {
    if (this.#stage.at === "proven") return this.#stage.attester
    if (this.#stage.at === "greeted") return this.#stage.claimedAttester
    throw new Breach("hello must come first")
  }

  #expectWithin(seconds: number, otherwise: string): void {
    this.#settleDeadline()
    this.#deadline = setTimeout(() => this.#peer.goodbye(`${otherwise} within ${seconds} s`, 60), seconds * 1000)
  }

  #settleDeadline(): void {
    clearTimeout(this.#deadline)
    this.#deadline = undefined
  }

  #fault(error: unknown): void {
    if (error instanceof Breach || error instanceof Malformed) return this.#peer.goodbye(error.message, 60)
    this.#parts.say(`${this.#peer.address}: fault: ${error instanceof Error ? error.stack : String(error)}`)
    this.#peer.leave("the collector met a fault of its own", 60)
  }
}
