/**
 * Whom does an agent's connection meet in a test? A peer made of node:tls and ws that says whatever the test says, and shows
 * what came. It judges nothing; the real collector is tested with the real agent elsewhere.
 */
import { execFileSync } from "node:child_process"
import { createHash, createPublicKey, X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:https"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { TLSSocket } from "node:tls"
import { type WebSocket, WebSocketServer } from "ws"
import {
  channelLabel,
  type FromAttester,
  readFromAttester,
  subprotocol,
  type ToAttester,
  writeMessage,
} from "../attestation/protocol/message.ts"

/** What came: messages and the bytes of binary frames. */
type Came = { readonly message: FromAttester } | { readonly bytes: Buffer } | { readonly closed: number }

/** The collector's end of one connection. */
export class PeerConnection {
  readonly socket: WebSocket
  /** this end's own export of the channel binding */
  readonly binding: Uint8Array
  readonly #came: Came[] = []
  #arrived = Promise.withResolvers<void>()

  constructor(socket: WebSocket, tls: TLSSocket) {
    this.socket = socket
    this.binding = new Uint8Array(tls.exportKeyingMaterial(32, channelLabel, Buffer.alloc(0)))
    socket.on("message", (data, isBinary) => {
      if (!Buffer.isBuffer(data)) throw new Error("fragments")
      this.#push(isBinary ? { bytes: data } : { message: readFromAttester(data) })
    })
    socket.on("close", code => this.#push({ closed: code }))
    socket.on("error", () => undefined)
  }

  say(message: ToAttester): void {
    this.socket.send(writeMessage(message))
  }

  /** The next message, which must be of this type. */
  async next<const T extends FromAttester["type"]>(type: T): Promise<Extract<FromAttester, { type: T }>> {
    const came = await this.#next()
    if ("message" in came && came.message.type === type) return came.message as Extract<FromAttester, { type: T }>
    throw new Error(`wanted ${type}, got ${JSON.stringify(came)}`)
  }

  /** Of what type the next message is; it stays the next. */
  async coming(): Promise<FromAttester["type"] | "no message"> {
    const came = await this.#next()
    this.#came.unshift(came)
    return "message" in came ? came.message.type : "no message"
  }

  /** The next evidence with its bytes. */
  async evidence(): Promise<{ message: Extract<FromAttester, { type: "evidence" }>; envelope: Buffer; log: Buffer }> {
    const message = await this.next("evidence")
    const wanted = message.envelope + message.logs.reduce((sum, { length }) => sum + length, 0)
    const parts: Buffer[] = []
    for (let got = 0; got < wanted; ) {
      const came = await this.#next()
      if (!("bytes" in came)) throw new Error(`wanted bytes, got ${JSON.stringify(came)}`)
      if (came.bytes.length === 0 || came.bytes.length > 1 << 18)
        throw new Error(`a frame of ${came.bytes.length} bytes`)
      parts.push(came.bytes)
      got += came.bytes.length
    }
    const whole = Buffer.concat(parts)
    return { message, envelope: whole.subarray(0, message.envelope), log: whole.subarray(message.envelope) }
  }

  /** Waits for the end. */
  async closed(): Promise<number> {
    for (;;) {
      const came = await this.#next()
      if ("closed" in came) return came.closed
    }
  }

  #push(came: Came): void {
    this.#came.push(came)
    this.#arrived.resolve()
    this.#arrived = Promise.withResolvers()
  }
  async #next(): Promise<Came> {
    for (;;) {
      const came = this.#came.shift()
      if (came) return came
      await this.#arrived.promise
    }
  }
}

export type PeerCollector = {
  readonly port: number
  /** SHA-256 of its SubjectPublicKeyInfo */
  readonly pin: Uint8Array
  /** requests that came as far as HTTP */
  readonly requests: () => number
  /** the next connection that an agent opens */
  connection(): Promise<PeerConnection>
  stop(): Promise<void>
}

/** A peer whose key lies in `folder`; it is made there at the first start. */
export async function startPeer(
  folder: string,
  name = "peer",
  maxVersion: "TLSv1.2" | "TLSv1.3" = "TLSv1.3",
  port = 0,
): Promise<PeerCollector> {
  const { key, cert } = keyPair(folder, name)
  const server = createServer({ key, cert, maxVersion })
  const waiting: PeerConnection[] = []
  let arrived = Promise.withResolvers<void>()
  let requests = 0
  const sockets = new WebSocketServer({ server, perMessageDeflate: false, handleProtocols: () => subprotocol })
  server.on("upgrade", () => requests++)
  sockets.on("connection", (socket, request) => {
    if (!(request.socket instanceof TLSSocket)) throw new Error("no TLS")
    waiting.push(new PeerConnection(socket, request.socket))
    arrived.resolve()
    arrived = Promise.withResolvers()
  })
  await new Promise<void>(resolve => server.listen(port, "127.0.0.1", resolve))
  return {
    port: (server.address() as AddressInfo).port,
    pin: pinOf(cert),
    requests: () => requests,
    async connection() {
      for (;;) {
        const connection = waiting.shift()
        if (connection) return connection
        await arrived.promise
      }
    },
    stop: () => stop(server, sockets),
  }
}

function keyPair(folder: string, name: string): { key: Buffer; cert: Buffer } {
  const [keyFile, certFile] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)]
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
  try {
    readFileSync(certFile)
  } catch {
    const args = ["req", "-x509", ...curve, "-subj", "/CN=peer", "-days", "2", "-keyout", keyFile, "-out", certFile]
    execFileSync("openssl", args, { stdio: "ignore" })
  }
  return { key: readFileSync(keyFile), cert: readFileSync(certFile) }
}

function pinOf(cert: Buffer): Uint8Array {
  const key = createPublicKey(new X509Certificate(cert).publicKey.export({ type: "spki", format: "pem" }))
  return new Uint8Array(
    createHash("sha256")
      .update(key.export({ type: "spki", format: "der" }))
      .digest(),
  )
}

async function stop(server: Server, sockets: WebSocketServer): Promise<void> {
  for (const client of sockets.clients) client.terminate()
  server.closeAllConnections()
  await new Promise(resolve => server.close(resolve))
}
