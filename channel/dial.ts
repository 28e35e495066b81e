/**
 * How is a peer reached whose key is pinned? Directly or through an HTTP proxy (CONNECT), with TLS 1.3 only, and nothing is said before its key
 * is seen. What is said then, and over which path: agent and command.
 */
import { Hinted } from "../attestation/wire/hinted.ts"
import { readFile } from "node:fs/promises"
import { request } from "node:http"
import { isIP, type Socket } from "node:net"
import { connect, type TLSSocket } from "node:tls"
import { plainLine } from "../attestation/wire/text.ts"
import { meet } from "./pin.ts"

/** `credentials` names a file with one line, user:password; empty where the proxy asks for none. */
export type Proxy = { readonly host: string; readonly port: number; readonly credentials: string }

/** `pin` is the SHA-256 of the peer's SubjectPublicKeyInfo, or of that of a key of which the peer's is the successor. */
export type Endpoint = {
  readonly host: string
  readonly port: number
  readonly pin: Uint8Array
  readonly proxy: Proxy | "none"
}

/** What this end shows when it is asked who it is: key and certificate in PEM. */
export type Shown = { readonly key: string; readonly cert: string }

/** An open connection; `successor` is the peer's pin where it is no longer the one that was asked for. */
export type Line = { readonly tls: TLSSocket; readonly successor: Uint8Array | "none" }

/** What kept a connection from coming about. `channel-differs`: somebody else answered, and was told nothing. */
export class NoChannel extends Hinted {
  readonly kind: "unreachable" | "late" | "stopped" | "proxy" | "channel-differs"
  constructor(kind: NoChannel["kind"], message: string, hint: string) {
    super(message, hint)
    this.kind = kind
  }
}

/** Opens a connection within `deadline` milliseconds. Throws {@link NoChannel}. */
export async function dial(peer: Endpoint, deadline: number, signal: AbortSignal, shown?: Shown): Promise<Line> {
  const inTime = AbortSignal.timeout(deadline)
  const either = AbortSignal.any([signal, inTime])
  try {
    const under = peer.proxy === "none" ? undefined : await throughProxy(peer, peer.proxy, either)
    const tls = await secured(peer, under, either, shown)
    return { tls, successor: successorIn(tls, peer) }
  } catch (error) {
    if (signal.aborted) throw new NoChannel("stopped", `${placeOf(peer)}: stopped`, "")
    if (inTime.aborted) throw late(peer, deadline)
    throw error
  }
}

const placeOf = ({ host, port }: Pick<Endpoint, "host" | "port">): string => `${host}:${port}`
const bare = (host: string): string => host.replace(/^\[(.*)\]$/, "$1")

function successorIn(tls: TLSSocket, peer: Endpoint): Uint8Array | "none" {
  const met = meet(tls, peer.pin)
  if (met.kind === "pinned") return "none"
  if (met.kind === "successor") return met.pin
  tls.destroy()
  const seen = Buffer.from(met.pin).toString("hex")
  throw new NoChannel(
    "channel-differs",
    `channel-differs: whoever answers at ${placeOf(peer)} has another key than the pinned one (${seen.slice(0, 16)}…)`,
    "somebody is between: a proxy that opens TLS must let this address pass untouched (its exemption list); or the key was " +
      "exchanged without a successor: ask for its pin over another way, and join again",
  )
}

function secured(
  peer: Endpoint,
  under: Socket | undefined,
  signal: AbortSignal,
  shown: Shown | undefined,
): Promise<TLSSocket> {
  const host = bare(peer.host)
  const socket = connect({
    ...(under ? { socket: under } : { host, port: peer.port }),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    ...shown,
    ...{ minVersion: "TLSv1.3", maxVersion: "TLSv1.3", ALPNProtocols: ["http/1.1"], rejectUnauthorized: false },
  })
  return settled(socket, "secureConnect", signal, why => unreachable(peer, why)).then(() => socket)
}

/** The socket behind a CONNECT (RFC 9110, 9.3.6) that the proxy granted. */
async function throughProxy(peer: Endpoint, proxy: Proxy, signal: AbortSignal): Promise<Socket> {
  const target = placeOf(peer)
  const { promise, resolve, reject } = Promise.withResolvers<Socket>()
  const asked = request({
    ...{ host: bare(proxy.host), port: proxy.port, method: "CONNECT", path: target, signal, agent: false },
    headers: { host: target, ...(await authorization(proxy)) },
    maxHeaderSize: 16_384,
  })
  asked.once("connect", ({ statusCode = 0, statusMessage = "" }, socket, head) => {
    if (statusCode === 200 && head.length === 0) resolve(socket)
    else {
      socket.destroy()
      reject(refusal(peer, proxy, statusCode, statusMessage))
    }
  })
  asked.once("response", ({ statusCode = 0, statusMessage = "" }) =>
    reject(refusal(peer, proxy, statusCode, statusMessage)),
  )
  asked.once("error", error => {
    const hint = "look at the proxy in the configuration, and whether it runs"
    reject(new NoChannel("proxy", `the proxy ${placeOf(proxy)} cannot be used: ${plainLine(error.message, 200)}`, hint))
  })
  asked.end()
  return promise
}

async function authorization({ credentials }: Proxy): Promise<Record<string, string>> {
  if (credentials === "") return {}
  const line = await readFile(credentials, "utf8").catch((error: Error) => {
    throw new NoChannel("proxy", `${credentials} cannot be read: ${error.message}`, "name a file with user:password")
  })
  return { "proxy-authorization": `Basic ${Buffer.from(line.trim(), "utf8").toString("base64")}` }
}

function refusal(peer: Endpoint, proxy: Proxy, status: number, message: string): NoChannel {
  const hint =
    status === 407
      ? "name a file with user:password as proxy.credentials"
      : `let the proxy's operator allow CONNECT to ${placeOf(peer)}`
  const said = plainLine(`${status} ${message}`.trim(), 120)
  return new NoChannel("proxy", `the proxy ${placeOf(proxy)} does not connect to ${placeOf(peer)}: ${said}`, hint)
}

/** Resolves at `event`; an error, an early close and the signal destroy the socket and reject. */
function settled(socket: TLSSocket, event: string, signal: AbortSignal, fault: (why: string) => Error): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const fail = (why: string): void => {
    socket.destroy()
    reject(fault(why))
  }
  const aborted = (): void => fail("stopped")
  if (signal.aborted) aborted()
  signal.addEventListener("abort", aborted)
  socket.once(event, () => resolve())
  socket.once("error", error => fail(plainLine(error.message, 200)))
  socket.once("close", () => fail("the connection was closed"))
  return promise.finally(() => signal.removeEventListener("abort", aborted))
}

const unreachable = (peer: Endpoint, why: string): NoChannel =>
  new NoChannel(
    "unreachable",
    `nobody can be reached at ${placeOf(peer)}: ${why}`,
    "look whether it runs, and at the network between; where a proxy is needed, name it in the configuration",
  )

const late = (peer: Endpoint, deadline: number): NoChannel =>
  new NoChannel("late", `no connection to ${placeOf(peer)} within ${deadline / 1000} s`, "look at the network between")
