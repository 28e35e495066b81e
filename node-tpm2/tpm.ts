/**
 * What can be done with a TPM? Everything this package offers, on one connection. How each is done stands in the file of
 * its noun.
 */
import * as attest from "./attest.ts"
import * as capability from "./capability.ts"
import { ownError } from "./error.ts"
import { Esys, type OpenOptions, TR } from "./esys.ts"
import { HandleTable } from "./handles.ts"
import type { EsysTr } from "./invocation.ts"
import * as nv from "./nv.ts"
import * as object from "./object.ts"
import * as pcr from "./pcr.ts"
import * as sealing from "./seal.ts"
import type { BankSelection, PcrSelection } from "./selection.ts"
import { inHmacSession } from "./session.ts"
import { type HashAlgorithm, join, payload, sized } from "./wire.ts"

type TpmObject = object.TpmObject

/** How an object that is held leaves: transient ones are flushed, persistent ones only forgotten. */
interface Held {
  readonly tr: EsysTr
  readonly persistentAt: number | "transient"
}

/**
 * Opens a TPM.
 *
 * @param tcti `device:/dev/tpmrm0`; with `allowSoftware` also `swtpm:path=/…` or `swtpm:host=127.0.0.1,port=…`
 * @throws TpmError TPM_TCTI_REFUSED, TPM_LIBRARY_MISSING, TPM_HUNG, or the transport's own
 */
export async function openTpm(tcti: string, options: OpenOptions): Promise<Tpm> {
  return new Tpm(await Esys.open(tcti, options))
}

/**
 * A TPM. Calls may be made at any time from anywhere; they run one after another. Every method throws {@link TpmError}.
 * After a failure of the transport the Tpm is dead: close it, and open a new one.
 */
export class Tpm {
  readonly #esys: Esys
  readonly #handles: HandleTable
  readonly #held = new Map<TpmObject, Held>()

  /** Use {@link openTpm}. */
  constructor(esys: Esys) {
    this.#esys = esys
    this.#handles = new HandleTable(esys)
  }

  /**
   * Whether a command is past its deadline and still runs. It cannot be cancelled, and `process.exit()` would wait for
   * it: end the process with `process.kill(process.pid, "SIGKILL")`.
   */
  get hung(): boolean {
    return this.#esys.hung
  }

  /** Whether calls are still accepted: not after {@link close}, a hung command or a failure of the transport. */
  get usable(): boolean {
    return this.#esys.usable
  }

  /** All properties, TPM_PT to value. */
  properties(): Promise<ReadonlyMap<number, number>> {
    return capability.readProperties(this.#esys)
  }

  identity(): Promise<capability.TpmIdentity> {
    return capability.readIdentity(this.#esys)
  }

  /** The active PCR banks, each with its PCRs. */
  banks(): Promise<BankSelection[]> {
    return capability.readBanks(this.#esys)
  }

  /** The command codes that the TPM implements. */
  commands(): Promise<number[]> {
    return capability.readCommands(this.#esys)
  }

  handles(kind: capability.HandleKind): Promise<number[]> {
    return capability.readHandles(this.#esys, kind)
  }

  /** Clock and counters; unsigned, so a label only. */
  readClock(): Promise<capability.TpmTime> {
    return capability.readClock(this.#esys)
  }

  /** Random bytes, up to 4096; the TPM gives at most 64 at a time, whatever it is asked for. */
  async getRandom(length: number): Promise<Uint8Array> {
    if (!Number.isInteger(length) || length < 0 || length > 4096) {
      throw ownError("TPM_BAD_ARGUMENT", "GetRandom", `${length} is no number of bytes up to 4096`)
    }
    let random: Uint8Array = new Uint8Array()
    while (random.length < length) {
      const wanted = Math.min(32, length - random.length)
      const [some] = await this.#esys.call("GetRandom", TR.none, TR.none, TR.none, wanted)
      if (payload(some).length === 0) throw ownError("TPM_BAD_RESPONSE", "GetRandom", "the TPM gave nothing")
      random = join(random, payload(some).subarray(0, wanted))
    }
    return random
  }

  /** See {@link pcr.readPcrs}. */
  pcrRead(selection: PcrSelection): Promise<pcr.PcrValues> {
    return pcr.readPcrs(this.#esys, selection)
  }

  /** See {@link pcr.extendPcr}. */
  pcrExtend(index: number, digests: readonly pcr.BankDigest[]): Promise<void> {
    return pcr.extendPcr(this.#esys, index, digests)
  }

  /** See {@link pcr.resetPcr}. */
  pcrReset(index: number): Promise<void> {
    return pcr.resetPcr(this.#esys, index)
  }

  /** See {@link nv.readNv}. */
  async nvRead(index: number): Promise<Uint8Array> {
    return nv.readNv(this.#esys, this.#handles, index)
  }

  /** Tells ESYS the authorisation value of a hierarchy. It is used in HMACs and never sent. */
  async setHierarchyAuth(hierarchy: object.Hierarchy, auth: Uint8Array): Promise<void> {
    await this.#setAuth(object.hierarchyTr(hierarchy), auth)
  }

  /** Creates and loads a primary object; hold it until {@link flush}. `template` is a TPMT_PUBLIC. */
  async createPrimary(
    hierarchy: object.Hierarchy,
    template: Uint8Array,
    sensitive: object.Sensitive = {},
  ): Promise<{ readonly object: TpmObject } & object.CreationProof> {
    const { tr, ...created } = await object.createPrimary(this.#esys, hierarchy, template, sensitive)
    this.#held.set(created.object, { tr, persistentAt: "transient" })
    return created
  }

  /** Creates an object under `parent`, without loading it. */
  async create(
    parent: TpmObject,
    template: Uint8Array,
    sensitive: object.Sensitive = {},
  ): Promise<object.ObjectBlob & object.CreationProof> {
    const { tr } = this.#loaded(parent)
    return inHmacSession(this.#esys, session => object.createChild(this.#esys, tr, session, template, sensitive))
  }

  /** Loads an object under its parent; hold it until {@link flush}. `auth` is its authorisation value. */
  async load(parent: TpmObject, blob: object.ObjectBlob, auth: Uint8Array = new Uint8Array()): Promise<TpmObject> {
    const { tr: parentTr } = this.#loaded(parent)
    const { tr, object: child } = await inHmacSession(this.#esys, session =>
      object.loadChild(this.#esys, parentTr, session, blob),
    )
    this.#held.set(child, { tr, persistentAt: "transient" })
    await this.#setAuth(tr, auth)
    return child
  }

  /** Takes hold of a persistent object (0x81…). Whether it is the one meant shows its Name. */
  async persistent(handle: number): Promise<TpmObject> {
    if (handle >>> 24 !== 0x81) {
      throw ownError("TPM_BAD_ARGUMENT", "persistent", `0x${handle.toString(16)} is no persistent handle`)
    }
    const tr = await this.#handles.acquire(handle)
    try {
      const found = await object.readPublicArea(this.#esys, tr)
      this.#held.set(found, { tr, persistentAt: handle })
      return found
    } catch (error) {
      await this.#handles.release(handle)
      throw error
    }
  }

  /** Asks the TPM for the public area of an object. @throws TpmError TPM_NAME_MISMATCH if another took its place */
  async readPublic(held: TpmObject): Promise<TpmObject> {
    const now = await object.readPublicArea(this.#esys, this.#loaded(held).tr)
    object.checkName(now, held.name, "ReadPublic")
    return now
  }

  /** See {@link attest.quote}. */
  async quote(key: TpmObject, qualifyingData: Uint8Array, selection: PcrSelection): Promise<attest.Attestation> {
    return attest.quote(this.#esys, this.#loaded(key).tr, qualifyingData, selection)
  }

  /** See {@link attest.certifyCreation}. */
  async certifyCreation(
    signer: TpmObject,
    created: TpmObject,
    qualifyingData: Uint8Array,
    proof: Pick<object.CreationProof, "creationHash" | "creationTicket">,
  ): Promise<attest.Attestation> {
    const [signerTr, objectTr] = [this.#loaded(signer).tr, this.#loaded(created).tr]
    return attest.certifyCreation(this.#esys, signerTr, objectTr, qualifyingData, proof)
  }

  /** See {@link attest.activateCredential}. */
  async activateCredential(key: TpmObject, ek: TpmObject, credential: attest.Credential): Promise<Uint8Array> {
    return attest.activateCredential(this.#esys, this.#loaded(key), this.#loaded(ek), credential)
  }

  /** See {@link sealing.seal}. */
  async seal(parent: TpmObject, expectedParent: Uint8Array, secret: Uint8Array): Promise<object.ObjectBlob> {
    return sealing.seal(this.#esys, this.#loaded(parent), expectedParent, secret)
  }

  /** See {@link sealing.unseal}. */
  async unseal(parent: TpmObject, expectedParent: Uint8Array, blob: object.ObjectBlob): Promise<Uint8Array> {
    return sealing.unseal(this.#esys, this.#loaded(parent), expectedParent, blob)
  }

  /** The command codes under command audit. */
  auditedCommands(): Promise<number[]> {
    return capability.readAuditedCommands(this.#esys)
  }

  /** See {@link attest.setCommandAudit}. */
  setCommandAudit(add: readonly number[], remove: readonly number[]): Promise<void> {
    return attest.setCommandAudit(this.#esys, add, remove)
  }

  /** See {@link attest.setCommandAuditHash}. */
  setCommandAuditHash(hash: HashAlgorithm): Promise<void> {
    return attest.setCommandAuditHash(this.#esys, hash)
  }

  /** See {@link attest.commandAuditDigest}. */
  async commandAuditDigest(key: TpmObject, qualifyingData: Uint8Array): Promise<attest.Attestation> {
    return attest.commandAuditDigest(this.#esys, this.#loaded(key).tr, qualifyingData)
  }

  /**
   * Lets go of an object. After a restart of the TPM its handle may be another's: that one is left alone.
   */
  async flush(held: TpmObject): Promise<void> {
    const { tr, persistentAt } = this.#loaded(held)
    this.#held.delete(held)
    if (persistentAt !== "transient") return this.#handles.release(persistentAt)
    if (await this.#stillThere(tr, held)) await this.#esys.call("FlushContext", tr)
    else if (this.#esys.usable) await this.#esys.forget(tr)
  }

  /** Flushes what is still held, and closes the connection. Twice is no error. */
  async close(): Promise<void> {
    for (const held of this.#held.keys()) if (this.#esys.usable) await this.flush(held)
    await this.#esys.close()
  }

  async #stillThere(tr: EsysTr, held: TpmObject): Promise<boolean> {
    try {
      return object.sameName((await object.readPublicArea(this.#esys, tr)).name, held.name)
    } catch {
      return false // nothing there, or no TPM: nothing of ours to flush
    }
  }

  async #setAuth(tr: EsysTr, auth: Uint8Array): Promise<void> {
    const wire = sized(auth)
    try {
      await this.#esys.call("TR_SetAuth", tr, wire)
    } finally {
      wire.fill(0)
    }
  }

  #loaded(held: TpmObject): { readonly object: TpmObject } & Held {
    const entry = this.#held.get(held)
    if (entry !== undefined) return { object: held, ...entry }
    throw ownError("TPM_OBJECT_NOT_HELD", "use", "this object was flushed, or belongs to another Tpm", "load it again")
  }
}
