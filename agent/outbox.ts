/**
 * How does evidence travel? Announced, then its envelope and its logs in binary frames, and one piece after another: the next
 * is sent when the collector has said what became of the last. What it starts from: a log prefix that this collector has.
 */
import { createHash } from "node:crypto"
import type { WebSocket } from "ws"
import { chunkLimit, type FromAttester, type ToAttester, writeMessage } from "../attestation/protocol/message.ts"
import type { Spooled } from "./spool-file.ts"
import { Trouble } from "./trouble.ts"

/** What became of a piece of evidence. */
export type Verdict = Extract<ToAttester, { type: "acknowledged" | "refused" }>

/** Milliseconds after the last byte until a collector that says nothing is given up. */
const verdictDeadline = 120_000

/** A log that a collector has: its length in bytes and SHA-256. */
type Prefix = { readonly length: number; readonly digest: string }

/** What one collector has of our logs, across connections to it. */
export class KnownPrefix {
  readonly #prefixes = new Map<string, Prefix>()

  /** How much of the log `name` the collector has. */
  offsetIn(name: string, log: Uint8Array): number {
    const known = this.#prefixes.get(name)
    if (!known || known.length > log.length) return 0
    return sha256(log.subarray(0, known.length)) === known.digest ? known.length : 0
  }
  acknowledged(name: string, log: Uint8Array): void {
    this.#prefixes.set(name, { length: log.length, digest: sha256(log) })
  }
  forget(): void {
    this.#prefixes.clear()
  }
}

/** Every log of a piece of evidence, ours first. */
const logsOf = ({ log, bootLogs }: Spooled): [name: string, bytes: Uint8Array][] => [["assay", log], ...bootLogs]

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** The sending side of one connection. */
export class Outbox {
  readonly #socket: WebSocket
  readonly #known: KnownPrefix
  #last: Promise<unknown> = Promise.resolve()
  #transmitting = false
  #inFlight: { readonly digest: string; readonly decided: (verdict: Verdict) => void } | undefined

  constructor(socket: WebSocket, known: KnownPrefix) {
    this.#socket = socket
    this.#known = known
  }

  say(message: FromAttester): Promise<void> {
    return this.#inTurn(() => send(this.#socket, writeMessage(message)))
  }

  /** Says goodbye at once, unless a piece is half sent: nothing else may come until it is whole. */
  async farewell(reason: string): Promise<void> {
    if (this.#transmitting) return
    await send(this.#socket, writeMessage({ type: "goodbye", reason, retryAfterSeconds: 0 }))
  }

  /** Sends evidence, and gives what the collector said of it. Throws when the connection ends. */
  submit(evidence: Spooled, ended: Promise<never>): Promise<Verdict> {
    return this.#inTurn(async () => {
      const parts = logsOf(evidence).map(([name, log]) => partOf(name, log, this.#known.offsetIn(name, log)))
      const verdict = await this.#attempt(evidence, parts, ended)
      if (parts.every(({ offset }) => offset === 0) || !lacksLog(verdict)) return this.#learnt(evidence, verdict)
      this.#known.forget()
      return this.#learnt(evidence, await this.#attempt(evidence, wholeLogs(evidence), ended))
    })
  }

  /** Sends evidence for somebody behind the collector, with its whole logs; nobody says what became of it. */
  relay(evidence: Spooled): Promise<void> {
    return this.#inTurn(() => this.#transmit(evidence, wholeLogs(evidence)))
  }

  /** Whether the verdict was of what is in flight, and so is dealt with. */
  decided(verdict: Verdict): boolean {
    const inFlight = this.#inFlight
    if (!inFlight || (verdict.evidence !== null && verdict.evidence !== inFlight.digest)) return false
    this.#inFlight = undefined
    inFlight.decided(verdict)
    return true
  }

  #learnt(evidence: Spooled, verdict: Verdict): Verdict {
    if (verdict.type === "acknowledged") for (const [name, log] of logsOf(evidence)) this.#known.acknowledged(name, log)
    return verdict
  }

  async #attempt(evidence: Spooled, parts: readonly LogPart[], ended: Promise<never>): Promise<Verdict> {
    const { promise, resolve } = Promise.withResolvers<Verdict>()
    this.#inFlight = { digest: evidence.digest, decided: resolve }
    await this.#transmit(evidence, parts)
    const late = Promise.withResolvers<never>()
    const hint = "look at the collector's log; the evidence is kept and sent again"
    const timer = setTimeout(
      () => late.reject(new Trouble("the collector does not say what became of evidence", hint)),
      verdictDeadline,
    )
    return Promise.race([promise, ended, late.promise]).finally(() => clearTimeout(timer))
  }

  async #transmit({ challenge, envelope }: Spooled, parts: readonly LogPart[]): Promise<void> {
    this.#transmitting = true
    const logs = parts.map(({ name, offset, bytes }) => ({ name, offset, length: bytes.length }))
    await send(this.#socket, writeMessage({ type: "evidence", challenge, envelope: envelope.length, logs }))
    for (const bytes of [envelope, ...parts.map(part => part.bytes)])
      for (let at = 0; at < bytes.length; at += chunkLimit)
        await send(this.#socket, bytes.subarray(at, at + chunkLimit))
    this.#transmitting = false
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work)
    this.#last = turn.catch(() => undefined)
    return turn
  }
}

/** What of a log is sent: its bytes from `offset` on. */
type LogPart = { readonly name: string; readonly offset: number; readonly bytes: Uint8Array }

const partOf = (name: string, log: Uint8Array, offset: number): LogPart => ({
  name,
  offset,
  bytes: log.subarray(offset),
})
const wholeLogs = (evidence: Spooled): LogPart[] => logsOf(evidence).map(([name, log]) => partOf(name, log, 0))

/** A collector that was set back has less of the log than it said. */
const lacksLog = (verdict: Verdict): boolean =>
  verdict.type === "refused" && verdict.findings.some(({ id }) => id === "log.missing")

/** Resolves when the frame is handed to the network, so that a slow one slows the sender. */
function send(socket: WebSocket, frame: string | Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => socket.send(frame, error => (error ? reject(error) : resolve())))
}
