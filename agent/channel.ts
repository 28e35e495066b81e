/**
 * How does the agent reach its collector, and know that it is its collector? By the pinned key, or a successor that this key signed; then a
 * WebSocket runs over that very connection, and the channel binding is taken from it. How connections come about: `channel/dial.ts`.
 */
import type { TLSSocket } from "node:tls"
import { WebSocket } from "ws"
import { chunkLimit, paths, subprotocol } from "../attestation/protocol/message.ts"
import { dial, NoChannel, type Endpoint } from "../channel/dial.ts"
import { bindingOf } from "../channel/pin.ts"
import { Trouble } from "./trouble.ts"

export type { Endpoint } from "../channel/dial.ts"

/** An open connection; `binding` is what RFC 9266 exports from it, 32 bytes; `successor` the pin that took the place of the endpoint's. */
export type Channel = {
  readonly socket: WebSocket
  readonly binding: Uint8Array
  readonly successor: Uint8Array | "none"
}

/** Milliseconds for TLS, and as many for the WebSocket's handshake. */
const handshakeDeadline = 20_000

/** Opens a channel to the collector's path for attesters. Throws Trouble. */
export async function openChannel(endpoint: Endpoint, signal: AbortSignal): Promise<Channel> {
  const { tls, successor } = await dial(endpoint, handshakeDeadline, signal).catch(error => {
    if (!(error instanceof NoChannel)) throw error
    throw new Trouble(`cannot reach the collector: ${error.message}`, error.hint)
  })
  const stop = (): void => void tls.destroy()
  signal.addEventListener("abort", stop)
  try {
    const binding = bindingOf(tls)
    if (!binding) throw new Trouble("the connection to the collector was closed", "")
    return { socket: await upgrade(tls, endpoint), binding, successor }
  } catch (error) {
    tls.destroy()
    throw error
  } finally {
    signal.removeEventListener("abort", stop)
  }
}

/** RFC 6455 over a connection that is open already. */
function upgrade(tls: TLSSocket, { host, port }: Endpoint): Promise<WebSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<WebSocket>()
  const socket = new WebSocket(`wss://${host}:${port}${paths.attester}`, [subprotocol], {
    createConnection: () => tls,
    perMessageDeflate: false,
    maxPayload: chunkLimit,
    handshakeTimeout: handshakeDeadline,
    skipUTF8Validation: false,
  })
  const fail = (error: Error): void =>
    reject(
      new Trouble(
        `${host}:${port} does not speak as a collector does: ${error.message}`,
        "look at the collector's log",
      ),
    )
  socket.once("error", fail)
  socket.once("open", () => {
    socket.off("error", fail)
    socket.on("error", () => socket.terminate())
    resolve(socket)
  })
  return promise
}
