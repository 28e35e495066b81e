/**
 * How does an outside verifier reach an attester? Over the collector's relay: TLS 1.3 to the key that it pinned, and nothing is
 * said before that key is seen. What is asked and what is made of the answer: `challenge.ts`.
 */
import { on } from "node:events"
import type { TLSSocket } from "node:tls"
import { WebSocket } from "ws"
import { type Delivered, Delivery } from "../collector/delivery.ts"
import {
  chunkLimit,
  type FromVerifier,
  messageLimit,
  paths,
  readToVerifier,
  subprotocol,
  type ToVerifier,
  writeMessage,
} from "../attestation/protocol/message.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { dial, type Endpoint, NoChannel, type Shown } from "../channel/dial.ts"
import { bindingOf } from "../channel/pin.ts"
import { type Exit, Problem } from "./exit.ts"

/** Where the collector is; `pin` is the SHA-256 of its SubjectPublicKeyInfo. */
export type Place = Endpoint

/** A conversation with a collector's relay. Every wait ends with a Problem when the deadline has passed. */
export type Relay = {
  /** this end's export of the channel binding */
  readonly binding: Uint8Array
  readonly say: (message: FromVerifier) => void
  readonly hear: () => Promise<ToVerifier>
  /** the bytes that an evidence message announced */
  readonly receive: (message: ToVerifier & { type: "evidence" }) => Promise<Delivered>
  readonly close: () => void
}

/** Opens the relay at `place`; after `deadline` milliseconds it is over. */
export async function openRelay(place: Place, deadline: number, shown: Shown | undefined): Promise<Relay> {
  const signal = AbortSignal.timeout(deadline)
  const tls = await connectPinned(place, deadline, shown)
  const binding = bindingOf(tls)
  if (!binding) throw late(place.host, place.port)
  const url = `ws://${place.host}:${place.port}${paths.verifier}`
  const limits = { maxPayload: Math.max(messageLimit, chunkLimit), perMessageDeflate: false }
  const socket = new WebSocket(url, subprotocol, { ...limits, createConnection: () => tls })
  await opened(socket, signal)
  const frames = on(socket, "message", { close: ["close"], signal })
  return {
    binding,
    say: message => socket.send(writeMessage(message)),
    hear: async () => readMessage(await next(frames, place)),
    receive: async message => {
      const delivery = new Delivery(message)
      for (;;) {
        const given = delivery.push((await next(frames, place)).bytes)
        if (given !== "more") return given
      }
    },
    close: () => socket.terminate(),
  }
}

/** A TLS connection to whoever holds the pinned key, or its successor: its key is compared before a byte is sent. Throws Problem. */
export async function connectPinned(place: Place, deadline: number, shown?: Shown): Promise<TLSSocket> {
  try {
    return (await dial(place, deadline, new AbortController().signal, shown)).tls
  } catch (error) {
    if (!(error instanceof NoChannel)) throw error
    throw new Problem(exitOf[error.kind], error.message, error.hint)
  }
}

const exitOf: Readonly<Record<NoChannel["kind"], Exit>> = {
  unreachable: "missing",
  late: "later",
  stopped: "later",
  proxy: "missing",
  "channel-differs": "unauthentic",
}

const late = (host: string, port: number): Problem =>
  new Problem("later", `${host}:${port} did not answer in time`, "try again, or give it longer with --deadline")

function opened(socket: WebSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => socket.terminate())
    socket.once("open", resolve)
    socket.once("error", error =>
      reject(new Problem("failed", `the collector offers no relay: ${error.message}`, "is this a collector's port?")),
    )
  })
}

type Frame = { readonly bytes: Uint8Array; readonly binary: boolean }

async function next(frames: NodeJS.AsyncIterator<unknown[]>, { host, port }: Place): Promise<Frame> {
  const { value, done } = await frames.next().catch((error: Error) => {
    throw error.name === "AbortError" ? late(host, port) : error
  })
  if (done)
    throw new Problem("later", `${host}:${port} ended the connection`, "look at the collector's log, and try again")
  const [data, binary] = value
  if (!(data instanceof Uint8Array)) throw new TypeError("ws gave no bytes")
  return { bytes: new Uint8Array(data), binary: binary === true }
}

function readMessage({ bytes, binary }: Frame): ToVerifier {
  if (binary)
    throw new Problem("failed", "the collector sent bytes that it did not announce", "compare both sides' versions")
  try {
    return readToVerifier(bytes)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem(
      "failed",
      `the collector said what is no message: ${error.message}`,
      "compare both sides' versions",
    )
  }
}
