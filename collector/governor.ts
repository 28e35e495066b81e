/**
 * What is approved, as this collector knows it? The published notes, each accepted anew at every start from the policy root that its
 * configuration pins: what lies in the store is trusted no further than it proves itself. What is approved is decided in
 * `attestation/pins/lineage.ts`.
 */
import type { Approvals } from "../attestation/appraise/appraise.ts"
import { type Material, materialOf } from "../attestation/pins/force.ts"
import { accept, type Acceptance, type Governance, ungoverned } from "../attestation/pins/lineage.ts"
import { readNote, type SignatureLine, textDigest } from "../attestation/pins/note.ts"
import { Refusal } from "../attestation/pins/quorum.ts"
import { readReference } from "../attestation/pins/reference.ts"
import type { Measurement } from "../attestation/protocol/event.ts"
import type { Approval } from "./approval.ts"
import { StoreUnusable } from "./database.ts"

/** Machines' references that are looked at for what pinned digests stand for. */
const materials = 64

type Ground = { readonly store: Approval; readonly now: () => number }

/** Knows what is approved, and takes what is published. */
export class Governor {
  readonly #ground: Ground
  #governance: Governance | undefined
  #material: Material = new Map()
  #last: Promise<unknown> = Promise.resolve()

  private constructor(ground: Ground, governance: Governance | undefined) {
    this.#ground = ground
    this.#governance = governance
  }

  /** The governor over what `store` holds; `root` is the pinned digest of the first policy, or null. Throws {@link StoreUnusable}. */
  static async over(ground: Ground, root: string | null): Promise<Governor> {
    const notes = await ground.store.publishedNotes()
    if (root === null) return new Governor(ground, undefined)
    try {
      const governance = notes.reduce((grown, { bytes }) => accept(grown, bytes).governance, ungoverned(root))
      const governor = new Governor(ground, governance)
      await governor.refresh()
      return governor
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      throw new StoreUnusable(
        `a published note is not accepted: ${error.message}`,
        "compare policy.root in collector.toml with the digest that you were given; the store may have been altered",
      )
    }
  }

  /** What is approved now. */
  approvals(): Approvals | "ungoverned" {
    const governance = this.#governance
    return governance ? { governance, material: this.#material, now: this.#ground.now() } : "ungoverned"
  }

  /** All that was accepted, or undefined where no policy root is pinned. */
  get governance(): Governance | undefined {
    return this.#governance
  }

  /** What a pinned digest stands for, where a machine was recorded that showed it. */
  measured(digest: string): Measurement | undefined {
    return this.#material.get(digest)
  }

  /** Looks anew at what machines were recorded to show. */
  async refresh(): Promise<void> {
    const references = await this.#ground.store.references(materials)
    const entries = [...(this.#governance?.lineages.values() ?? [])].flat()
    this.#material = materialOf(references.map(readReference), entries)
  }

  /** Accepts and keeps the note in `bytes`. Throws {@link Refusal}; one note after another. */
  publish(bytes: Uint8Array): Promise<Acceptance> {
    const turn = this.#last.then(() => this.#publish(bytes))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #publish(bytes: Uint8Array): Promise<Acceptance> {
    const { store, now } = this.#ground
    if (!this.#governance)
      throw new Refusal("this collector pins no policy root, so it cannot tell whose approval counts")
    const acceptance = accept(this.#governance, bytes)
    const { kind, origin, digest } = acceptance
    const approvals = approvalsIn(bytes)
    if (!(await store.publish({ kind, origin, digest, at: now(), bytes }, approvals)))
      throw new Refusal(`a note with this text, sha256:${digest}, is published already`)
    this.#governance = acceptance.governance
    await this.refresh()
    return acceptance
  }
}

/** Each line under a note as the approval that it is. */
function approvalsIn(bytes: Uint8Array): Uint8Array[] {
  const { text, signatures } = readNote(bytes)
  return signatures.map(each => approvalBytes(textDigest(text), each))
}

function approvalBytes(digest: string, { name, keyId, signature }: SignatureLine): Uint8Array {
  const encoded = Buffer.concat([Buffer.from(keyId, "hex"), signature]).toString("base64")
  return new Uint8Array(Buffer.from(`sha256:${digest}\n— ${name} ${encoded}\n`, "utf8"))
}
