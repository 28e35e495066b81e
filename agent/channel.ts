/**
 * How does the agent reach its collector, and know that it is its collector? TLS 1.3 only; the peer's key is compared with the
 * pin before a byte is sent; then a WebSocket runs over that very connection, and the channel binding is taken from it.
 */
import { createHash, timingSafeEqual } from "node:crypto"
import { isIP } from "node:net"
import { connect, type TLSSocket } from "node:tls"
import { WebSocket } from "ws"
import { channelLabel, chunkLimit, paths, subprotocol } from "../attestation/protocol/message.ts"
import { Trouble } from "./trouble.ts"

/** `pin` is the SHA-256 of the collector's SubjectPublicKeyInfo. */
export type Endpoint = { readonly host: string; readonly port: number; readonly pin: Uint8Array }
/** An open connection; `binding` is what RFC 9266 exports from it, 32 bytes. */
export type Channel = { readonly socket: WebSocket; readonly binding: Uint8Array }

/** Milliseconds for TLS, and as many for the WebSocket's handshake. */
const handshakeDeadline = 20_000

/** Opens a channel to the collector's path for attesters. Throws Trouble. */
export async function openChannel(endpoint: Endpoint, signal: AbortSignal): Promise<Channel> {
  const tls = await connectTls(endpoint, signal)
  const stop = (): void => void tls.destroy()
  signal.addEventListener("abort", stop)
  try {
    comparePin(tls, endpoint)
    const binding = new Uint8Array(tls.exportKeyingMaterial(32, channelLabel, Buffer.alloc(0)))
    return { socket: await upgrade(tls, endpoint), binding }
  } catch (error) {
    tls.destroy()
    throw error
  } finally {
    signal.removeEventListener("abort", stop)
  }
}

/** The certificate is only a vessel for the key: whose it is, the pin says, so no authority is asked. */
function connectTls({ host, port }: Endpoint, signal: AbortSignal): Promise<TLSSocket> {
  const { promise, resolve, reject } = Promise.withResolvers<TLSSocket>()
  signal.throwIfAborted()
  const bare = host.replace(/^\[(.*)\]$/, "$1")
  const name = isIP(bare) === 0 ? { servername: bare } : {}
  const versions = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const
  const socket = connect({
    host: bare,
    port,
    ...name,
    ...versions,
    ALPNProtocols: ["http/1.1"],
    rejectUnauthorized: false,
  })
  const fail = (why: string): void => {
    socket.destroy()
    reject(
      new Trouble(
        `cannot reach the collector at ${host}:${port}: ${why}`,
        "look whether it runs, and at the network between",
      ),
    )
  }
  const late = setTimeout(() => fail("no TLS connection in time"), handshakeDeadline)
  const aborted = (): void => fail("stopped")
  signal.addEventListener("abort", aborted)
  socket.once("secureConnect", () => resolve(socket))
  socket.once("error", error => fail(error.message))
  socket.once("close", () => fail("the connection was closed"))
  return promise.finally(() => {
    clearTimeout(late)
    signal.removeEventListener("abort", aborted)
  })
}

function comparePin(socket: TLSSocket, { host, port, pin }: Endpoint): void {
  const key = socket.getPeerX509Certificate()?.publicKey.export({ type: "spki", format: "der" })
  const seen = createHash("sha256")
    .update(key ?? "")
    .digest()
  if (key && seen.length === pin.length && timingSafeEqual(seen, pin)) return
  throw new Trouble(
    `whoever answers at ${host}:${port} has another key than the collector that this agent joined (${seen.toString("hex").slice(0, 16)}…)`,
    "somebody is between, or the collector has a new key: join again with a new invitation that you trust",
  )
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
