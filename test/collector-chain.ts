/** How does a test keep a chain of evidence going? As a broker does: one chain, rising numbers, each naming the one before. */
import { randomBytes } from "node:crypto"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { evidenceDigest } from "../attestation/protocol/evidence.ts"
import type { Challenge } from "../attestation/protocol/message.ts"
import type { UntrustedEvidence } from "../attestation/verify/verify.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { answer, enrol, hello, type Line, submit } from "./collector-attester.ts"
import { type House, invitationFrom } from "./collector-house.ts"
import { type Machine, type Options, startMachine } from "./evidence-maker.ts"

export const digestOf = ({ envelope }: UntrustedEvidence): string =>
  evidenceDigest(fromBase64(readEnvelope(envelope).payload))

/** A machine of tpm2-tools with its chain. */
export class Attester {
  readonly machine: Machine
  #id = toHex(randomBytes(16))
  #sequence = 0n
  #previous: string | null = null

  constructor(machine: Machine) {
    this.machine = machine
  }

  static start = async (identity = "first"): Promise<Attester> => new Attester(await startMachine("ecc", identity))

  get attester(): string {
    return this.machine.keys.attester
  }

  /** The next evidence of the chain: an answer on `line`. */
  answer(line: Line, challenge: Challenge, options: Options = {}): Promise<UntrustedEvidence> {
    return this.#next(place => answer(this.machine, line, challenge, { ...place, ...options }))
  }

  report(options: Options = {}): Promise<UntrustedEvidence> {
    return this.#next(place => this.machine.attest({ kind: "report", ...place, ...options }))
  }

  /** Opens a new chain, as a restarted broker does; one that forgot everything names no predecessor. */
  restart(forgetful = false): Options["predecessor"] {
    const predecessor = { id: this.#id, sequence: String(this.#sequence), digest: this.#previous }
    this.#id = toHex(randomBytes(16))
    this.#sequence = 0n
    this.#previous = null
    return forgetful ? null : predecessor
  }

  async #next(make: (place: Options) => Promise<UntrustedEvidence>): Promise<UntrustedEvidence> {
    this.#sequence += 1n
    const evidence = await make({ chainId: this.#id, sequence: this.#sequence, previous: this.#previous })
    this.#previous = digestOf(evidence)
    return evidence
  }

  /** Enrols, answers the first challenge, and gives the proven connection. */
  async join(house: Pick<House, "admin">): Promise<Line> {
    const line = await enrol(this.machine, await invitationFrom(house))
    await this.prove(line)
    return line
  }

  /** Says hello and answers. */
  async prove(line: Line, options: Options = {}): Promise<UntrustedEvidence> {
    const challenge = await hello(line, this.machine)
    const evidence = await this.answer(line, challenge, options)
    await submit(line, challenge.id, evidence)
    await line.next("acknowledged")
    return evidence
  }

  stop(): Promise<void> {
    return this.machine.tpm.stop()
  }
}
