/**
 * How does an outside verifier ask this machine directly, with no collector in between? At a door that is shut unless the configuration opens it:
 * TLS 1.3, verifiers known by their keys, and every question counted before the TPM works. The messages are those of the relay.
 */
import { createPrivateKey, generateKeyPairSync } from "node:crypto"
import { existsSync } from "node:fs"
import { readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { TLSSocket } from "node:tls"

import { paths, readFromVerifier, type FromVerifier, type ToVerifier } from "../attestation/protocol/message.ts"
import { plainLine, toBase64, toHex } from "../attestation/wire/text.ts"
import { Allowance } from "../channel/allowance.ts"
import { selfSigned } from "../channel/certificate.ts"
import { listen, type Serving } from "../channel/listen.ts"
import { Breach, type Conversation, type Peer } from "../channel/peer.ts"
import { pinOf } from "../channel/pin.ts"
import type { Route } from "../channel/route.ts"
import type { Attester, Evidence } from "./attester.ts"
import type { Configuration } from "./config.ts"
import type { Broker } from "./record.ts"
import { type Say, told } from "./trouble.ts"

export type ListenerParts = {
  readonly attester: Attester
  readonly broker: Broker
  readonly state: string
  readonly listener: Exclude<Configuration["listener"], "off">
  readonly now: () => number
  readonly say: Say
}

const says = {
  who: { needs: "a listed TLS key" },
  ask: { needs: "a listed TLS key" },
} as const satisfies Record<FromVerifier["type"], object>

/** The one door: a verifier's key is looked at before anything is said. */
export const listenerRoute = { path: paths.verifier, who: "verifiers", says } as const satisfies Route

/** What strangers may cost: seconds to speak, connections at a time, new ones of one address in a minute. */
const limits = { greeting: 10, connections: 32, accepts: 30 } as const
/** Seconds in which an answer is made, or given up. */
const deadline = 600

/** Opens the door; its pin is said, since verifiers must know it. Throws ProgramMissing without openssl. */
export async function openListener(parts: ListenerParts): Promise<Serving & { readonly pin: string }> {
  const { listener, now, say } = parts
  const { key, certificate, pin } = await ownKey(parts.state)
  const questions = new Allowance(listener.questions)
  const names = new Map(listener.verifiers.map(each => [each.key, each.name]))
  const serving = await listen({
    ...{ host: listener.host, port: listener.port, limits, now },
    ...{ tls: { key, cert: certificate }, peerCertificates: "asked", farewell: "the agent stops" },
    say: line => say(`listener: ${line}`, ""),
    doors: [
      {
        ...listenerRoute,
        open: (peer, tls) => {
          const name = names.get(keyOf(tls))
          if (name !== undefined) return new Question(peer, name, questions, parts)
          peer.goodbye("this verifier's key is not on the list", 3600)
          return "refused"
        },
      },
    ],
  })
  say(`listens for verifiers on ${listener.host} port ${serving.port}; pin ${pin}`, "")
  return { ...serving, pin }
}

/** SHA-256 in hex of the key that the peer showed and proved to hold (TLS 1.3); empty for none. */
function keyOf(tls: TLSSocket): string {
  const shown = tls.getPeerX509Certificate()
  return shown ? toHex(pinOf(shown.publicKey)) : ""
}

/** The listener's own TLS key, made when it is first needed. */
async function ownKey(state: string): Promise<{ key: string; certificate: string; pin: string }> {
  const file = join(state, "listener.pem")
  if (!existsSync(file)) {
    const made = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" })
    const beside = `${file}.new`
    await writeFile(beside, made, { mode: 0o600 })
    const certificate = selfSigned(beside, "assay agent")
    await writeFile(file, `${made.toString()}${certificate}`, { mode: 0o600 })
    await rm(beside)
  }
  const text = await readFile(file, "latin1")
  const at = text.indexOf("-----BEGIN CERTIFICATE-----")
  const key = text.slice(0, at)
  return { key, certificate: text.slice(at), pin: toHex(pinOf(createPrivateKey(key))) }
}

/** One verifier's connection: who are you, and answer this. */
class Question implements Conversation {
  readonly #peer: Peer
  readonly #name: string
  readonly #questions: Allowance
  readonly #parts: ListenerParts
  readonly #over = new AbortController()
  #deadline: NodeJS.Timeout | undefined

  constructor(peer: Peer, name: string, questions: Allowance, parts: ListenerParts) {
    this.#peer = peer
    this.#name = name
    this.#questions = questions
    this.#parts = parts
    this.#expect()
  }

  async text(bytes: Uint8Array): Promise<void> {
    clearTimeout(this.#deadline)
    const question = readFromVerifier(bytes)
    if (!this.#questions.take(this.#name, this.#parts.now())) throw new Breach("too many questions within a minute", 60)
    const { identity } = await this.#parts.broker.call("identity", {})
    if (question.attester !== identity.attester) this.#decline("this is another attester")
    else if (question.type === "who")
      this.#peer.send({ type: "identity", identity, endorsement: "the attester's own word" })
    else await this.#answer(question)
    this.#expect()
  }

  async binary(): Promise<void> {
    throw new Breach("a verifier sends no bytes")
  }

  closed(): void {
    clearTimeout(this.#deadline)
    this.#over.abort()
  }

  /** A verifier that asks nothing (more) needs no connection. */
  #expect(): void {
    if (!this.#peer.open) return
    const late = (): void => this.#peer.goodbye(`no question within ${limits.greeting} s`, 0)
    this.#deadline = setTimeout(late, limits.greeting * 1000)
  }

  async #answer({ nonce, depth, credential }: FromVerifier & { type: "ask" }): Promise<void> {
    const asked = { kind: "answer", nonce, channel: toBase64(this.#peer.channel), credential } as const
    const signal = AbortSignal.any([this.#over.signal, AbortSignal.timeout(deadline * 1000)])
    try {
      const audience = `verifier:${this.#name}`
      await this.#send(await this.#parts.attester.answer({ asked, audience, depth }, signal))
    } catch (error) {
      if (this.#over.signal.aborted) return
      const { message, hint } = told(error)
      this.#parts.say(`cannot answer the verifier ${this.#name}: ${message}`, hint)
      this.#decline(message)
    }
  }

  async #send({ envelope, log, bootLogs }: Evidence): Promise<void> {
    const logs = [["assay", log] as const, ...bootLogs]
    const message: ToVerifier = {
      ...{ type: "evidence", challenge: null, envelope: envelope.length },
      logs: logs.map(([name, bytes]) => ({ name, offset: 0, length: bytes.length })),
    }
    this.#peer.send(message)
    for (const bytes of [envelope, ...logs.map(([, each]) => each)]) await this.#peer.sendBytes(bytes)
  }

  #decline(reason: string): void {
    this.#peer.send({ type: "declined", challenge: null, reason: plainLine(reason, 512) })
  }
}
