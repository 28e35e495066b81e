/**
 * Which number does the next evidence for an audience have, and what came before it? One chain per audience and start of the
 * broker. A number is on disk before its quote exists, so that none is ever used twice; a digest before the evidence leaves.
 */
import { randomBytes } from "node:crypto"
import { z } from "zod"
import type { Body } from "../../attestation/protocol/evidence.ts"
import { decimal64, hex, line, toHex } from "../../attestation/wire/text.ts"
import type { StateDirectory } from "./state.ts"

const file = "chains.json"

/** Whoever has not asked for longest is forgotten first. */
const mostAudiences = 256

/** The last evidence of a chain that was finished, and so may have left the machine. */
const finished = z.strictObject({ id: hex(16), sequence: decimal64, digest: hex(32) })

const chain = z.strictObject({
  audience: line(128),
  id: hex(16),
  /** the last number that was begun; "0" for none */
  sequence: decimal64,
  /** of this chain, or of the one before it while this has none; null before the first ever */
  last: finished.nullable(),
})
const stored = z.array(chain).max(mostAudiences)
type Chain = z.infer<typeof chain>

/** The chains of all audiences, the one asked for last at the end. */
export class Chains {
  readonly #state: StateDirectory
  #chains: readonly Chain[]
  /** the chains that this start has begun */
  readonly #begun = new Set<string>()

  private constructor(state: StateDirectory, chains: readonly Chain[]) {
    this.#state = state
    this.#chains = chains
  }

  static async open(state: StateDirectory): Promise<Chains> {
    return new Chains(state, (await state.read(file, stored)) ?? [])
  }

  /** Takes the next number for `audience`; it is used up when this resolves. */
  async begin(audience: string): Promise<Body["chain"]> {
    const current = this.#current(audience)
    const sequence = String(BigInt(current.sequence) + 1n)
    await this.#keep({ ...current, sequence })
    this.#begun.add(current.id)
    const { id, last } = current
    if (last?.id === id) return { id, sequence, previous: last.digest, predecessor: null }
    return { id, sequence, previous: null, predecessor: last }
  }

  /** Notes the evidence that was made under the number begun last for `audience`. */
  async finish(audience: string, digest: string): Promise<void> {
    const current = this.#current(audience)
    const { id, sequence } = current
    await this.#keep({ ...current, last: { id, sequence, digest } })
  }

  #current(audience: string): Chain {
    const known = this.#chains.find(each => each.audience === audience)
    if (known && this.#begun.has(known.id)) return known
    return { audience, id: toHex(randomBytes(16)), sequence: "0", last: known?.last ?? null }
  }

  async #keep(changed: Chain): Promise<void> {
    const others = this.#chains.filter(each => each.audience !== changed.audience)
    const chains = [...others, changed].slice(-mostAudiences)
    await this.#state.write(file, chains)
    this.#chains = chains
  }
}
