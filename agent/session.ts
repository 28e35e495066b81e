/**
 * What happens on one connection? Hello; then each challenge is answered in its turn, and what waits in the spool is sent
 * between answers. Evidence for the collector is on disk before it is sent and stays there until it is acknowledged; what
 * an outside verifier asked through the collector is for that verifier, and is not kept.
 */
import type { Challenge, ToAttester } from "../attestation/protocol/message.ts"
import { plainLine, toBase64 } from "../attestation/wire/text.ts"
import type { Attester, Evidence } from "./attester.ts"
import type { Channel } from "./channel.ts"
import { Inbox } from "./inbox.ts"
import { type KnownPrefix, Outbox, type Verdict } from "./outbox.ts"
import type { Spool } from "./spool.ts"
import type { Spooled } from "./spool-file.ts"
import type { Standing } from "./standing.ts"
import { type Say, Trouble, told } from "./trouble.ts"
import { version } from "./version.ts"
import type { Answered, Said, Wishes } from "./wishes.ts"

/** What connections have in common. */
export type SessionParts = {
  readonly attester: Attester
  /** Names of EK and AK */
  readonly who: { readonly attester: string; readonly ak: string }
  readonly spool: Spool
  readonly known: KnownPrefix
  readonly standing: Standing
  readonly wishes: Wishes
  readonly say: Say
}

/** The collector ended the connection, and says when to come back. */
export class Goodbye extends Trouble {
  readonly retryAfterSeconds: number
  constructor(reason: string, retryAfterSeconds: number) {
    super(`the collector says goodbye: ${reason}`, "")
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** What is wanted, the evidence that was made since, and who waits for what is said to it. */
type Wish = {
  readonly secret: string
  readonly made: Set<string>
  readonly answered: (answered: Answered) => void
}

/** Milliseconds in which a collector that was asked for a secret has said something, however long its deadline is. */
const wishDeadline = 3_600_000
/** The most challenges that wait to be answered. */
const mostChallenges = 8

/** An outside verifier's question, which the collector passes on: it has one nonce and one deadline, whatever its depth. */
const isOutside = ({ audience }: Challenge): boolean => audience.startsWith("verifier:")
const isFullReading = (challenge: Challenge): boolean => challenge.depth === "full" && !isOutside(challenge)

/** One connection from hello to its end. */
export class Session {
  readonly #parts: SessionParts
  readonly #channel: Channel
  readonly #inbox: Inbox
  readonly #outbox: Outbox
  readonly #over = new AbortController()
  /** digests that are on their way because they were asked for */
  readonly #live = new Set<string>()
  #challenges = 0
  #answering: Promise<void> = Promise.resolve()
  /** full readings, one after another: what else is asked does not wait for them */
  #reading: Promise<void> = Promise.resolve()
  #heard = false
  #resending: Promise<void> | undefined
  #wish: Wish | undefined

  constructor(parts: SessionParts, channel: Channel) {
    this.#parts = parts
    this.#channel = channel
    this.#inbox = new Inbox(channel.socket)
    this.#outbox = new Outbox(channel.socket, parts.known)
  }

  /** Whether the collector said anything but goodbye. */
  get heard(): boolean {
    return this.#heard
  }

  /** Runs until the connection ends, and throws why; resolves when it was told to stop. */
  async run(signal: AbortSignal): Promise<void> {
    const stop = (): void => void this.#stop()
    signal.addEventListener("abort", stop)
    let backlog = Promise.resolve()
    try {
      await this.#outbox.say({ type: "hello", ...this.#parts.who, version })
      backlog = this.#sendBacklog()
      this.#parts.wishes.connected(this)
      for (;;) await this.#take(await this.#inbox.next())
    } catch (error) {
      this.#inbox.end(error instanceof Error ? error : new Error(String(error)))
      if (!signal.aborted) throw error
    } finally {
      signal.removeEventListener("abort", stop)
      this.#parts.wishes.ended(this)
      this.#over.abort(new Trouble("the connection ended", ""))
      await Promise.all([backlog, this.#answering, this.#reading, this.#resending])
    }
  }

  /** Wants `secret`; resolves with what is said to that. One at a time. Throws the reason when the connection ends before. */
  async want(secret: string): Promise<Answered> {
    const { promise, resolve, reject } = Promise.withResolvers<Answered>()
    this.#wish = { secret, made: new Set(), answered: resolve }
    const late = new Trouble("the collector says nothing to the wish", "look at the collector's log")
    const timer = setTimeout(() => reject(late), wishDeadline)
    try {
      await this.#outbox.say({ type: "want", secret })
      return await Promise.race([promise, this.#inbox.ended])
    } finally {
      clearTimeout(timer)
      this.#wish = undefined
    }
  }

  #grant(said: Said): void {
    const wish = this.#wish
    if (wish?.secret !== said.secret)
      throw new Trouble("the collector speaks of a secret that nobody wants", "look at the collector's log")
    wish.answered({ said, made: wish.made })
  }

  async #stop(): Promise<void> {
    await this.#outbox.farewell("the agent stops").catch(() => undefined)
    this.#inbox.end(new Trouble("the agent stops", ""))
  }

  async #take(message: ToAttester): Promise<void> {
    if (message.type === "goodbye") throw new Goodbye(message.reason, message.retryAfterSeconds)
    this.#heard = true
    if (message.type === "challenge") return this.#enqueue(message)
    if (message.type === "acknowledged" || message.type === "refused") {
      if (this.#outbox.decided(message)) return
      if (message.evidence !== null) await this.#settle(message, message.evidence)
      return
    }
    if (message.type === "released" || message.type === "withheld") return this.#grant(message)
    if (message.type === "resend") return this.#startResending(message.after)
    throw new Trouble(
      `the collector sends "${message.type}" where it means nothing`,
      "bring agent and collector to one version",
    )
  }

  async #enqueue(challenge: Challenge): Promise<void> {
    if (this.#challenges >= mostChallenges) {
      await this.#decline(challenge, "too many challenges wait already")
      return
    }
    this.#challenges++
    if (isFullReading(challenge)) this.#reading = this.#afterOthers(this.#reading, () => this.#hashAll(challenge))
    else this.#answering = this.#afterOthers(this.#answering, () => this.#answer(challenge))
  }

  async #afterOthers(others: Promise<void>, work: () => Promise<void>): Promise<void> {
    await others
    await work().catch(error => this.#inbox.end(error))
    this.#challenges--
  }

  async #answer(challenge: Challenge): Promise<void> {
    const made = await this.#make(challenge)
    if (made === "declined") return
    this.#parts.standing.made(made)
    for (const { message, hint } of made.remarks) this.#parts.say(message, hint)
    const evidence = { ...made, challenge: challenge.id }
    if (isOutside(challenge)) return this.#outbox.relay(evidence)
    this.#wish?.made.add(made.digest)
    this.#live.add(made.digest)
    try {
      await this.#keep(evidence)
      await this.#submit(evidence)
    } finally {
      this.#live.delete(made.digest)
    }
  }

  /** What may take hours binds in two steps: this nonce goes into the log around the reading, and the next is quoted after it. */
  async #hashAll({ id, nonce, deadlineSeconds }: Challenge): Promise<void> {
    const done = await this.#within({ id, deadlineSeconds }, async signal => {
      await this.#parts.attester.hashAll(nonce, signal)
      return "hashed" as const
    })
    if (done === "hashed") await this.#outbox.say({ type: "hashed", challenge: id })
  }

  async #make({ id, nonce, audience, depth, deadlineSeconds, credential }: Challenge): Promise<Evidence | "declined"> {
    const asked = { kind: "answer", nonce, channel: toBase64(this.#channel.binding), credential } as const
    return this.#within({ id, deadlineSeconds }, signal =>
      this.#parts.attester.answer({ asked, audience, depth }, signal),
    )
  }

  /** Does what a challenge asks before its deadline, or declines it. */
  async #within<T>(
    { id, deadlineSeconds }: Pick<Challenge, "id" | "deadlineSeconds">,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T | "declined"> {
    const inTime = AbortSignal.timeout(deadlineSeconds * 1000)
    try {
      return await work(AbortSignal.any([this.#over.signal, inTime]))
    } catch (error) {
      if (this.#over.signal.aborted) throw error
      const { message, hint } = told(error)
      const why = inTime.aborted ? `not measured within ${deadlineSeconds} seconds` : message
      this.#parts.say(`cannot answer a challenge: ${why}`, hint)
      await this.#decline({ id }, why)
      return "declined"
    }
  }

  #decline({ id }: Pick<Challenge, "id">, why: string): Promise<void> {
    return this.#outbox.say({ type: "declined", challenge: id, reason: plainLine(why, 512) })
  }

  /** Without room on disk an answer is better sent than not made. */
  async #keep(evidence: Spooled): Promise<void> {
    try {
      await this.#parts.spool.add(evidence)
    } catch (error) {
      this.#parts.say(
        `cannot keep evidence: ${told(error).message}`,
        "make room on the disk that holds the agent's state",
      )
    }
  }

  async #submit(evidence: Spooled): Promise<void> {
    await this.#settle(await this.#outbox.submit(evidence, this.#inbox.ended), evidence.digest)
  }

  async #settle(verdict: Verdict, digest: string): Promise<void> {
    const { spool, standing } = this.#parts
    standing.decided({ ...verdict, evidence: digest })
    if (verdict.type === "acknowledged") return spool.acknowledge(digest)
    await spool.refuse(digest, verdict.findings.map(({ id }) => id).join(", ") || "no reason given")
  }

  /** Once a connection: a collector that keeps asking gets nothing twice. */
  #startResending(after: string | null): void {
    if (this.#resending) throw new Trouble("the collector asks twice for what it lacks", "look at the collector's log")
    this.#resending = this.#resend(after).catch(error =>
      this.#inbox.end(error instanceof Error ? error : new Error(String(error))),
    )
  }

  /** What the collector had acknowledged and has lost, oldest first; what it says of it changes nothing here (M12). */
  async #resend(after: string | null): Promise<void> {
    const { spool, say } = this.#parts
    const entries = spool.acknowledgedAfter(after)
    say(`the collector lacks evidence that it acknowledged: ${entries.length} pieces are sent again`, "")
    for (const entry of entries) {
      if (this.#over.signal.aborted) return
      const evidence = await spool.read(entry)
      if (evidence !== "gone") await this.#outbox.submit(evidence, this.#inbox.ended)
    }
  }

  /** What waits is sent oldest first, then what joins it. Whatever ends the connection ends this too. */
  async #sendBacklog(): Promise<void> {
    const { spool } = this.#parts
    const tried = new Set<string>()
    try {
      for (;;) {
        const { added } = spool
        const entry = spool.waiting.find(({ digest }) => !tried.has(digest) && !this.#live.has(digest))
        if (!entry) {
          await Promise.race([added, this.#inbox.ended])
          continue
        }
        tried.add(entry.digest)
        const evidence = await spool.read(entry)
        if (evidence !== "gone") await this.#submit(evidence)
      }
    } catch (error) {
      this.#inbox.end(error instanceof Error ? error : new Error(String(error)))
    }
  }
}
