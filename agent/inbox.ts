/**
 * What did the collector say, one message after another? Each text frame is read by its schema when it comes; the first that
 * is none, a binary one, too many at once or silence ends the connection with its reason. What messages mean: `session.ts`.
 */
import type { WebSocket } from "ws"
import { Malformed } from "../attestation/wire/codec.ts"
import { readToAttester, type ToAttester, writeMessage } from "../attestation/protocol/message.ts"
import { plainLine } from "../attestation/wire/text.ts"
import { Trouble } from "./trouble.ts"

/** The most messages that wait to be dealt with. */
const mostWaiting = 64
/** Milliseconds between pings; a peer that is silent for two of them is gone. */
export const pingEvery = 30_000

/** The messages of one connection, in order, until it ends. */
export class Inbox {
  readonly #socket: WebSocket
  readonly #waiting: ToAttester[] = []
  readonly #ended = Promise.withResolvers<never>()
  #arrived = Promise.withResolvers<void>()
  #silent = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
    this.#ended.promise.catch(() => undefined)
    socket.on("message", (data, isBinary) => this.#take(data, isBinary))
    socket.on("pong", () => (this.#silent = 0))
    socket.on("ping", () => (this.#silent = 0))
    const timer = setInterval(() => this.#ping(), pingEvery)
    socket.once("close", (code, reason) => {
      clearInterval(timer)
      const why = reason.length > 0 ? plainLine(reason.toString("utf8"), 200) : `code ${code}`
      this.end(new Trouble(`the collector closed the connection (${why})`, "look at the collector's log"))
    })
  }

  /** Rejects, with the reason, when the connection has ended. */
  get ended(): Promise<never> {
    return this.#ended.promise
  }

  /** The next message. Throws the reason when the connection has ended. */
  async next(): Promise<ToAttester> {
    for (;;) {
      const message = this.#waiting.shift()
      if (message) return message
      await Promise.race([this.#arrived.promise, this.#ended.promise])
    }
  }

  /** Ends the connection; the first reason stays. */
  end(reason: Error): void {
    this.#ended.reject(reason)
    this.#socket.close(1000)
    setTimeout(() => this.#socket.terminate(), 1000).unref()
  }

  #take(data: unknown, isBinary: boolean): void {
    this.#silent = 0
    try {
      if (isBinary || !Buffer.isBuffer(data)) throw new Malformed("a binary frame")
      if (this.#waiting.push(readToAttester(data)) > mostWaiting) throw new Malformed("too many messages at once")
      this.#arrived.resolve()
      this.#arrived = Promise.withResolvers()
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      this.#refuse(error.message)
    }
  }

  #refuse(why: string): void {
    const reason = plainLine(`not the protocol: ${why}`, 256)
    if (this.#socket.readyState === this.#socket.OPEN)
      this.#socket.send(writeMessage({ type: "goodbye", reason, retryAfterSeconds: 0 }))
    this.end(
      new Trouble(`the collector does not keep to the protocol: ${why}`, "bring agent and collector to one version"),
    )
  }

  #ping(): void {
    if (++this.#silent > 2) {
      this.#socket.terminate()
      this.end(new Trouble("the collector is silent", "look at the network between"))
    } else this.#socket.ping()
  }
}
