/**
 * How does ESYS come to know what was in the TPM before, an NV index or a persistent object? Once per TPM handle, and
 * with a count of users kept here: tpm2-tss 3.2 hands out the same ESYS_TR to a second asker without counting, so that
 * the first TR_Close would take it from both.
 */
import { type Esys, TR } from "./esys.ts"
import type { EsysTr } from "./invocation.ts"

/** The TPM handles in use on one context. For one operation at a time. */
export class HandleTable {
  readonly #esys: Esys
  readonly #known = new Map<number, { readonly tr: EsysTr; users: number }>()

  constructor(esys: Esys) {
    this.#esys = esys
  }

  /** Takes a share in `handle`; give it back with {@link release}. @throws TpmError TPM_RC_HANDLE */
  async acquire(handle: number): Promise<EsysTr> {
    const entry = this.#known.get(handle) ?? { tr: await this.#lookUp(handle), users: 0 }
    this.#known.set(handle, entry)
    entry.users++
    return entry.tr
  }

  /** Gives back one share; the last one closes. */
  async release(handle: number): Promise<void> {
    const entry = this.#known.get(handle)
    if (entry === undefined || --entry.users > 0) return
    this.#known.delete(handle)
    if (this.#esys.usable) await this.#esys.forget(entry.tr)
  }

  /** Runs `use` with a share in `handle`. */
  async use<T>(handle: number, use: (tr: EsysTr) => Promise<T>): Promise<T> {
    const tr = await this.acquire(handle)
    try {
      return await use(tr)
    } finally {
      await this.release(handle)
    }
  }

  async #lookUp(handle: number): Promise<EsysTr> {
    const [tr] = await this.#esys.call("TR_FromTPMPublic", handle, TR.none, TR.none, TR.none)
    return tr
  }
}
