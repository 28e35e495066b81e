/**
 * How does this end talk over one connection that somebody opened? Frames in, one after another, each handled before the next is looked at;
 * messages out, to whoever reads them. What is said: the {@link Conversation}.
 */
import type { RawData, WebSocket } from "ws"
import { Malformed } from "../attestation/wire/codec.ts"
import { plainLine } from "../attestation/wire/text.ts"
import { chunkLimit, type ToAttester, type ToVerifier, writeMessage } from "../attestation/protocol/message.ts"

/** What one end says that the protocol has no place for. Its connection ends, and no other. */
export class Breach extends Error {
  readonly retryAfterSeconds: number
  constructor(reason: string, retryAfterSeconds = 60) {
    super(reason)
    this.name = "Breach"
    this.retryAfterSeconds = retryAfterSeconds
  }
}

/** What a connection's frames go to. Malformed and {@link Breach} end the connection; anything else is our own fault. */
export interface Conversation {
  text(bytes: Uint8Array): Promise<void>
  binary(bytes: Uint8Array): Promise<void>
  /** the connection is gone */
  closed(): void
}

/** Frames that may wait for their turn; one more, and no more are read. Pongs must come through while an answer takes long. */
const waitingLimit = 4
/** Bytes that may wait for a peer that does not read. */
const unreadLimit = 1 << 20

/** RFC 6455, 7.4.1. */
const closing = { normal: 1000, breach: 1008, fault: 1011 } as const

/** One end of a WebSocket over TLS. Its identity is the channel binding (M9), never a number of ours. */
export class Peer {
  readonly #socket: WebSocket
  readonly #say: (line: string) => void
  readonly channel: Uint8Array
  readonly address: string
  #last = Promise.resolve()
  #waiting = 0

  constructor(socket: WebSocket, channel: Uint8Array, address: string, say: (line: string) => void) {
    this.#socket = socket
    this.#say = say
    this.channel = channel
    this.address = address
  }

  get open(): boolean {
    return this.#socket.readyState === this.#socket.OPEN
  }

  /** Hands every frame to `conversation`, until the connection ends. */
  converse(conversation: Conversation): void {
    this.#socket.on("message", (data, binary) => {
      this.#waiting += 1
      if (this.#waiting > waitingLimit) this.#socket.pause()
      this.#last = this.#last.then(() => this.#handle(conversation, data, binary))
    })
    this.#socket.on("error", error => this.#say(`${this.address}: ${plainLine(error.message, 256)}`))
    this.#socket.on("close", () => conversation.closed())
  }

  async #handle(conversation: Conversation, data: RawData, binary: boolean): Promise<void> {
    try {
      if (this.open) await (binary ? conversation.binary(bytesOf(data)) : conversation.text(bytesOf(data)))
    } catch (error) {
      this.#end(error)
    }
    this.#waiting -= 1
    if (this.#waiting === waitingLimit) this.#socket.resume()
  }

  #end(error: unknown): void {
    if (error instanceof Breach) return this.goodbye(error.message, error.retryAfterSeconds)
    if (error instanceof Malformed) return this.goodbye(error.message, 60)
    this.#say(`${this.address}: fault: ${error instanceof Error ? error.stack : String(error)}`)
    this.#close("this end met a fault of its own", 60, closing.fault)
  }

  /** Sends a message; a peer that has let too much lie unread is dropped. */
  send(message: ToAttester | ToVerifier): void {
    if (!this.open) return
    if (this.#socket.bufferedAmount > unreadLimit) return this.#socket.terminate()
    this.#socket.send(writeMessage(message))
  }

  /** Sends the bytes that a message announced, as fast as they are taken. */
  async sendBytes(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length && this.open; at += chunkLimit)
      await new Promise<void>(sent => this.#socket.send(bytes.subarray(at, at + chunkLimit), () => sent()))
  }

  /** Says why, and ends the connection. */
  goodbye(reason: string, retryAfterSeconds: number): void {
    this.#say(`${this.address}: goodbye: ${plainLine(reason, 256)}`)
    this.#close(reason, retryAfterSeconds, closing.breach)
  }

  /** Ends the connection because this end stops. */
  leave(reason: string, retryAfterSeconds: number): void {
    this.#close(reason, retryAfterSeconds, closing.normal)
  }

  #close(reason: string, retryAfterSeconds: number, code: number): void {
    if (!this.open) return
    this.send({ type: "goodbye", reason: plainLine(reason, 256), retryAfterSeconds })
    this.#socket.resume()
    this.#socket.close(code)
  }
}

function bytesOf(data: RawData): Uint8Array {
  if (Array.isArray(data)) return new Uint8Array(Buffer.concat(data))
  return new Uint8Array(data)
}
