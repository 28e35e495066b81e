/**
 * Who speaks with a collector in these tests? A stranger's attester: tpm2-tools on a software TPM, and the protocol by hand over
 * a real TLS socket. What the collector must make of it stands in the tests.
 */
import { createHash } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { TLSSocket } from "node:tls"
import { setTimeout as delay } from "node:timers/promises"
import { WebSocket } from "ws"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import {
  type Challenge,
  channelLabel,
  chunkLimit,
  type FromAttester,
  type FromVerifier,
  type Identity,
  paths,
  readToAttester,
  readToVerifier,
  subprotocol,
  type ToAttester,
  type ToVerifier,
  writeMessage,
} from "../attestation/protocol/message.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import type { UntrustedEvidence } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64, toHex } from "../attestation/wire/text.ts"
import { akHandle, ekHandle, type Machine, type Options } from "./evidence-maker.ts"

type Message = ToAttester | ToVerifier
type OfType<T extends Message["type"]> = Extract<Message, { type: T }>

/** One WebSocket to a collector, and what came over it. */
export class Line {
  readonly socket: WebSocket
  readonly channel: Uint8Array
  /** SHA-256 of the key that the other end has, in hex */
  readonly pin: string
  readonly #came: (Message | Uint8Array)[] = []
  readonly #verifier: boolean
  closed: number | undefined

  private constructor(socket: WebSocket, tls: TLSSocket, verifier: boolean) {
    this.socket = socket
    this.#verifier = verifier
    this.channel = new Uint8Array(tls.exportKeyingMaterial(32, channelLabel, Buffer.alloc(0)))
    const spki = tls.getPeerX509Certificate()?.publicKey.export({ format: "der", type: "spki" }) ?? Buffer.alloc(0)
    this.pin = createHash("sha256").update(spki).digest("hex")
    socket.on("message", (data, binary) => this.#came.push(this.#read(new Uint8Array(data as Buffer), binary)))
    socket.on("close", code => (this.closed = code))
    socket.on("error", () => {})
  }

  static dial(port: number, path: string = paths.attester): Promise<Line> {
    return new Promise((resolve, reject) => {
      const options = { rejectUnauthorized: false, perMessageDeflate: false }
      const socket = new WebSocket(`wss://127.0.0.1:${port}${path}`, subprotocol, options)
      socket.once("error", reject)
      socket.once("upgrade", response => {
        if (response.socket instanceof TLSSocket) resolve(new Line(socket, response.socket, path === paths.verifier))
      })
    })
  }

  #read(bytes: Uint8Array, binary: boolean): Message | Uint8Array {
    if (binary) return bytes
    return this.#verifier ? readToVerifier(bytes) : readToAttester(bytes)
  }

  async opened(): Promise<this> {
    while (this.socket.readyState === WebSocket.CONNECTING) await delay(2)
    return this
  }

  async send(message: FromAttester | FromVerifier): Promise<void> {
    await this.opened()
    this.socket.send(writeMessage(message))
  }

  async sendBytes(bytes: Uint8Array): Promise<void> {
    await this.opened()
    for (let at = 0; at < bytes.length; at += chunkLimit) this.socket.send(bytes.subarray(at, at + chunkLimit))
  }

  /** The next message, which must be of this type; "resend" is passed over by who does not wait for it. */
  async next<const T extends Message["type"]>(type: T): Promise<OfType<T>> {
    const came = await this.#take()
    if (!(came instanceof Uint8Array) && came.type === "resend" && type !== "resend") return this.next(type)
    if (came instanceof Uint8Array || came.type !== type)
      throw new Error(`wanted ${type}, got ${came instanceof Uint8Array ? "bytes" : JSON.stringify(came)}`)
    return came as OfType<T>
  }

  /** The next message, whatever it says. */
  async any(): Promise<Message> {
    const came = await this.#take()
    if (came instanceof Uint8Array) throw new Error("wanted a message, got bytes")
    return came
  }

  /** The next `length` bytes that are no message. */
  async bytes(length: number): Promise<Uint8Array> {
    const parts: Uint8Array[] = []
    for (let got = 0; got < length; ) {
      const came = await this.#take()
      if (!(came instanceof Uint8Array)) throw new Error(`wanted bytes, got ${came.type}`)
      got += came.length
      parts.push(came)
    }
    return new Uint8Array(Buffer.concat(parts))
  }

  /** What the connection ended with, after everything else that came was passed over. */
  async ending(): Promise<{ readonly code: number; readonly reason: string }> {
    while (this.closed === undefined) await delay(2)
    const goodbye = this.#came.find(came => !(came instanceof Uint8Array) && came.type === "goodbye")
    const reason = goodbye && !(goodbye instanceof Uint8Array) && goodbye.type === "goodbye" ? goodbye.reason : ""
    return { code: this.closed, reason }
  }

  async #take(): Promise<Message | Uint8Array> {
    for (;;) {
      const came = this.#came.shift()
      if (came) return came
      if (this.closed !== undefined) throw new Error(`the connection ended with ${this.closed}`)
      await delay(2)
    }
  }

  close(): void {
    this.socket.close()
  }
}

/** How an attester of tpm2-tools presents itself. */
export const identityOf = (machine: Machine): Identity => ({
  attester: machine.keys.attester,
  ekPublic: toBase64(machine.ekPublic),
  ekCertificate: null,
  akPublic: toBase64(machine.keys.ak),
  creation: {
    data: toBase64(machine.creation.data),
    attest: toBase64(machine.creation.attest),
    signature: toBase64(machine.creation.signature),
  },
  evidenceKey: toBase64(machine.keys.evidenceKey),
})

/** The same with the certificate that stands in NV beside the EK. */
export async function certifiedIdentityOf(machine: Machine): Promise<Identity> {
  await machine.tpm.tool("tpm2_nvread", "-Q", "0x01c00016", "-C", "o", "-o", "ek.certificate")
  return { ...identityOf(machine), ekCertificate: toBase64(machine.file("ek.certificate")) }
}

/** TPM2_ActivateCredential by tpm2_activatecredential, whose file has a head of its own. */
export async function activate(
  { tpm }: Machine,
  { credential }: OfType<"credential">,
  ek: readonly string[] = ["-C", ekHandle],
): Promise<Uint8Array> {
  const head = Buffer.from("badcc0de00000001", "hex")
  const parts = [head, fromBase64(credential.idObject), fromBase64(credential.encryptedSecret)]
  writeFileSync(join(tpm.directory, "credential"), Buffer.concat(parts))
  await tpm.tool("tpm2_activatecredential", "-Q", ...["-c", akHandle, ...ek, "-i", "credential", "-o", "secret"])
  return new Uint8Array(readFileSync(join(tpm.directory, "secret")))
}

/** Enrols `machine` by an invitation line; gives the connection, on which a hello may follow. */
export async function enrol(
  machine: Machine,
  invitation: string,
  label = "gpu-1",
  identity = identityOf(machine),
): Promise<Line> {
  const { port, token, pin } = readInvitation(invitation)
  const line = await Line.dial(port)
  if (line.pin !== toHex(pin)) throw new Error("the collector has another key than the invitation says")
  await line.send({ type: "enrol", invitation: toBase64(token), identity, label })
  const secret = await activate(machine, await line.next("credential"))
  await line.send({ type: "activated", secret: toBase64(secret), audit: null })
  await line.next("enrolled")
  return line
}

/** Says hello; gives the challenge that follows. */
export async function hello(line: Line, machine: Machine): Promise<Challenge> {
  const ak = toHex(nameOf(readPublic(machine.keys.ak)))
  await line.send({ type: "hello", attester: machine.keys.attester, ak, version: "0.0.0" })
  return line.next("challenge")
}

/** Evidence that answers `challenge` on `line`; `options` may make it wrong. */
export const answer = (
  machine: Machine,
  line: Line,
  challenge: Challenge,
  options: Options,
): Promise<UntrustedEvidence> =>
  machine.attest({ nonce: fromBase64(challenge.nonce), channel: line.channel, ...options })

/** Sends evidence, its log from `offset` on. */
export async function submit(
  line: Line,
  challenge: string | null,
  { envelope, logs }: UntrustedEvidence,
  offset = 0,
): Promise<void> {
  const part = (logs.get("assay") ?? new Uint8Array(0)).subarray(offset)
  const announced = [{ name: "assay", offset, length: part.length }]
  await line.send({ type: "evidence", challenge, envelope: envelope.length, logs: announced })
  await line.sendBytes(envelope)
  await line.sendBytes(part)
}
