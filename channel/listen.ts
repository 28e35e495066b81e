/**
 * Who may connect, and how much of each thing before they have shown anything? TLS 1.3 and WebSocket paths; every count and every wait is bounded
 * here, for the collector and for an agent that listens. What is said on a connection: whoever is given the {@link Peer}.
 */
import { createServer as createHttps, type Server as HttpsServer } from "node:https"
import type { IncomingMessage, ServerResponse } from "node:http"
import { createServer, isIPv6, type Server, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { type SecureContextOptions, TLSSocket } from "node:tls"
import { type WebSocket, WebSocketServer } from "ws"
import { chunkLimit, subprotocol, writeMessage } from "../attestation/protocol/message.ts"
import { Allowance } from "./allowance.ts"
import { type Conversation, Peer } from "./peer.ts"
import { bindingOf } from "./pin.ts"
import { pages, type Route } from "./route.ts"

/** Seconds between pings; a peer that let two go by is gone. */
const pingSeconds = 30
/** When peers may come back after this end stops: a restart takes no longer. Their own jitter spreads them. */
const awaySeconds = 2
/** The most bytes of a request's head, and requests on one connection: each of ours is the only one. */
const headLimit = 8192

/** A route, and who talks there. "refused" before anything is said: the door is not for that peer. */
export type Door = Route & { readonly open: (peer: Peer, tls: TLSSocket) => Conversation | "refused" }

export type Listen = {
  readonly host: string
  readonly port: number
  /** key and certificate; TLS 1.3 whatever they say */
  readonly tls: SecureContextOptions
  /** "asked": peers show a certificate of their own, which is not looked at here */
  readonly peerCertificates: "asked" | "not asked"
  readonly doors: readonly Door[]
  /** seconds for each step before a conversation; connections at a time; new ones of one address in a minute */
  readonly limits: { readonly greeting: number; readonly connections: number; readonly accepts: number }
  /** what goodbye says when this end stops */
  readonly farewell: string
  /** milliseconds since 1970 */
  readonly now: () => number
  readonly say: (line: string) => void
}

/** An open door. */
export type Serving = {
  readonly port: number
  /** how many WebSockets are open */
  connections(): number
  /** Meets new connections with another key; those that are open stay. */
  renew(tls: SecureContextOptions): void
  /** Says goodbye to everybody, and stops listening. */
  stop(): Promise<void>
}

/** Listens. Rejects when the address cannot be had. */
export async function listen(door: Listen): Promise<Serving> {
  const { limits, tls } = door
  const greeting = limits.greeting * 1000
  const bounds = { handshakeTimeout: greeting, headersTimeout: greeting, requestTimeout: greeting }
  const versions = { minVersion: "TLSv1.3", maxVersion: "TLSv1.3" } as const
  const peers = { requestCert: door.peerCertificates === "asked", rejectUnauthorized: false }
  const common = { ...versions, ...peers, ...bounds, maxHeaderSize: headLimit, keepAliveTimeout: 1 }
  const https = createHttps({ ...tls, ...common }, answer)
  https.maxRequestsPerSocket = 1
  const wss = new WebSocketServer({
    ...{ noServer: true, clientTracking: true, perMessageDeflate: false, maxPayload: chunkLimit, maxFragments: 64 },
    ...{ closeTimeout: 5000, handleProtocols: () => subprotocol },
  })
  https.on("upgrade", (request, socket, head) => upgrade(door, wss, request, socket, head))
  https.on("tlsClientError", (_, socket) => socket.destroy())
  const gate = createServer(gateTo(https, door, new Allowance(limits.accepts)))
  gate.maxConnections = limits.connections
  const sockets = trackSockets(gate)
  await listening(gate, door)
  const pings = setInterval(() => pingAll(wss), pingSeconds * 1000)
  const address = gate.address()
  return {
    port: typeof address === "object" && address ? address.port : door.port,
    connections: () => wss.clients.size,
    renew: identity => https.setSecureContext({ ...identity, ...versions }),
    stop: async () => {
      clearInterval(pings)
      const closed = new Promise<void>(resolve => gate.close(() => resolve()))
      await closeAll(wss, sockets, door.farewell)
      await closed
    },
  }
}

/** What is no WebSocket: one of the pages, and nothing else. */
function answer({ method, url }: IncomingMessage, response: ServerResponse): void {
  const page = pages.find(each => each.method === method && each.path === url)
  response.writeHead(page ? 200 : 404, { "content-type": "text/plain", "cache-control": "no-store" })
  response.end(page?.text ?? "not found\n")
}

/** Counts an address before the handshake costs us anything. */
function gateTo(https: HttpsServer, { now }: Listen, accepts: Allowance): (socket: Socket) => void {
  return socket => {
    socket.on("error", () => socket.destroy())
    if (accepts.take(networkOf(socket.remoteAddress ?? ""), now())) https.emit("connection", socket)
    else socket.destroy()
  }
}

/** An IPv4 address, or the /64 that one party has of IPv6. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  const [head = "", tail] = address.split("::")
  const first = head === "" ? [] : head.split(":")
  const missing = tail === undefined ? 0 : 8 - first.length - tail.split(":").filter(each => each !== "").length
  return [...first, ...Array.from({ length: Math.max(0, missing) }, () => "0")].slice(0, 4).join(":")
}

function upgrade(door: Listen, wss: WebSocketServer, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  const { doors, say } = door
  const open = doors.find(({ path }) => path === request.url)?.open
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",")
  const tls = request.socket
  if (!open || !(tls instanceof TLSSocket)) return refuse(socket, "404 Not Found")
  // a page in a browser sends where it comes from; no agent and no verifier of ours is one
  if (request.headers.origin !== undefined) return refuse(socket, "403 Forbidden")
  if (!offered.some(each => each.trim() === subprotocol)) return refuse(socket, "400 Bad Request")
  const channel = bindingOf(tls)
  if (!channel) return void socket.destroy()
  const address = tls.remoteAddress ?? "?"
  wss.handleUpgrade(request, socket, head, ws => {
    watchPongs(ws)
    const peer = new Peer(ws, channel, address, say)
    const conversation = open(peer, tls)
    if (conversation !== "refused") peer.converse(conversation)
  })
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
}

/** Pings that were not answered, by connection. */
const unanswered = new WeakMap<WebSocket, number>()

function watchPongs(ws: WebSocket): void {
  unanswered.set(ws, 0)
  ws.on("pong", () => unanswered.set(ws, 0))
}

function pingAll(wss: WebSocketServer): void {
  for (const ws of wss.clients) {
    const missed = unanswered.get(ws) ?? 0
    unanswered.set(ws, missed + 1)
    if (missed >= 2) ws.terminate()
    else ws.ping()
  }
}

function trackSockets(gate: Server): ReadonlySet<Socket> {
  const sockets = new Set<Socket>()
  gate.on("connection", socket => {
    sockets.add(socket)
    socket.on("close", () => sockets.delete(socket))
  })
  return sockets
}

/** Each is told when to come back; whoever has not gone after a second is cut off. */
async function closeAll(wss: WebSocketServer, sockets: ReadonlySet<Socket>, reason: string): Promise<void> {
  const message = writeMessage({ type: "goodbye", reason, retryAfterSeconds: awaySeconds })
  for (const ws of wss.clients) {
    ws.send(message)
    ws.close(1001)
  }
  const until = Date.now() + 1000
  while (wss.clients.size > 0 && Date.now() < until) await new Promise(resolve => setTimeout(resolve, 10))
  for (const socket of sockets) socket.destroy()
}

function listening(gate: Server, { host, port }: { readonly host: string; readonly port: number }): Promise<void> {
  return new Promise((resolve, reject) => {
    gate.once("error", reject)
    gate.listen(port, host, () => resolve())
  })
}
