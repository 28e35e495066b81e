/**
 * What can be done with a TPM? Everything this package offers, on one connection. How each is done stands in the file of
 * its noun.
 */
import * as attest from "./attest.ts"
import * as capability from "./capability.ts"
import { ownError } from "./error.ts"
import { Esys, type OpenOptions } from "./esys.ts"
import { HandleTable } from "./handles.ts"
import type { EsysTr } from "./invocation.ts"
import * as nv from "./nv.ts"
import * as object from "./object.ts"
import * as pcr from "./pcr.ts"
import * as sealing from "./seal.ts"
import { Queue } from "./queue.ts"
import type { BankSelection, PcrSelection } from "./selection.ts"
import { inHmacSession } from "./session.ts"
import type { HashAlgorithm } from "./wire.ts"

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
  readonly #operations = new Queue()
  #closing = false

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
    return this.#operate(esys => capability.readProperties(esys))
  }

  identity(): Promise<capability.TpmIdentity> {
    return this.#operate(esys => capability.readIdentity(esys))
  }

  /** The active PCR banks, each with its PCRs. */
  banks(): Promise<BankSelection[]> {
    return this.#operate(esys => capability.readBanks(esys))
  }

  /** The command codes that the TPM implements. */
  commands(): Promise<number[]> {
    return this.#operate(esys => capability.readCommands(esys))
  }

  handles(kind: capability.HandleKind): Promise<number[]> {
    return this.#operate(esys => capability.readHandles(esys, kind))
  }

  /** Clock and counters; unsigned, so a label only. */
  readClock(): Promise<capability.TpmTime> {
    return this.#operate(esys => capability.readClock(esys))
  }

  /** Random bytes, up to 4096. */
  getRandom(length: number): Promise<Uint8Array> {
    return this.#operate(esys => capability.readRandom(esys, length))
  }

  /** See {@link pcr.readPcrs}. */
  pcrRead(selection: PcrSelection): Promise<pcr.PcrValues> {
    return this.#operate(esys => pcr.readPcrs(esys, selection))
  }

  /** See {@link pcr.extendPcr}. */
  pcrExtend(index: number, digests: readonly pcr.BankDigest[]): Promise<void> {
    return this.#operate(esys => pcr.extendPcr(esys, index, digests))
  }

  /** See {@link pcr.resetPcr}. */
  pcrReset(index: number): Promise<void> {
    return this.#operate(esys => pcr.resetPcr(esys, index))
  }

  /** See {@link nv.readNv}. */
  nvRead(index: number): Promise<Uint8Array> {
    return this.#operate(esys => nv.readNv(esys, this.#handles, index))
  }

  /** Tells ESYS the authorisation value of a hierarchy. It is used in HMACs and never sent. */
  setHierarchyAuth(hierarchy: object.Hierarchy, auth: Uint8Array): Promise<void> {
    return this.#operate(esys => object.setAuth(esys, object.hierarchyTr(hierarchy), auth))
  }

  /** Creates and loads a primary object; hold it until {@link flush}. `template` is a TPMT_PUBLIC. */
  createPrimary(
    hierarchy: object.Hierarchy,
    template: Uint8Array,
    sensitive: object.Sensitive = {},
  ): Promise<{ readonly object: TpmObject } & object.CreationProof> {
    return this.#operate(async esys => {
      const { tr, ...created } = await object.createPrimary(esys, hierarchy, template, sensitive)
      this.#held.set(created.object, { tr, persistentAt: "transient" })
      return created
    })
  }

  /** Creates an object under `parent`, without loading it. */
  create(
    parent: TpmObject,
    template: Uint8Array,
    sensitive: object.Sensitive = {},
  ): Promise<object.ObjectBlob & object.CreationProof> {
    return this.#operate(esys =>
      inHmacSession(esys, session => object.createChild(esys, this.#loaded(parent).tr, session, template, sensitive)),
    )
  }

  /** Loads an object under its parent; hold it until {@link flush}. `auth` is its authorisation value. */
  load(parent: TpmObject, blob: object.ObjectBlob, auth: Uint8Array = new Uint8Array()): Promise<TpmObject> {
    return this.#operate(async esys => {
      const { tr: parentTr } = this.#loaded(parent)
      const child = await inHmacSession(esys, session => object.loadChild(esys, parentTr, session, blob))
      this.#held.set(child.object, { tr: child.tr, persistentAt: "transient" })
      await object.setAuth(esys, child.tr, auth)
      return child.object
    })
  }

  /** Takes hold of a persistent object (0x81…). Whether it is the one meant shows its Name. */
  persistent(handle: number): Promise<TpmObject> {
    return this.#operate(async esys => {
      const { tr, object: found } = await object.holdPersistent(esys, this.#handles, handle)
      this.#held.set(found, { tr, persistentAt: handle })
      return found
    })
  }

  /** Asks the TPM for the public area of an object. @throws TpmError TPM_NAME_MISMATCH if another took its place */
  readPublic(held: TpmObject): Promise<TpmObject> {
    return this.#operate(async esys => {
      const now = await object.readPublicArea(esys, this.#loaded(held).tr)
      object.checkName(now, held.name, "ReadPublic")
      return now
    })
  }

  /** See {@link attest.quote}. */
  quote(key: TpmObject, qualifyingData: Uint8Array, selection: PcrSelection): Promise<attest.Attestation> {
    return this.#operate(esys => attest.quote(esys, this.#loaded(key).tr, qualifyingData, selection))
  }

  /** See {@link attest.certifyCreation}. */
  certifyCreation(
    signer: TpmObject,
    created: TpmObject,
    qualifyingData: Uint8Array,
    proof: Pick<object.CreationProof, "creationHash" | "creationTicket">,
  ): Promise<attest.Attestation> {
    return this.#operate(esys =>
      attest.certifyCreation(esys, this.#loaded(signer).tr, this.#loaded(created).tr, qualifyingData, proof),
    )
  }

  /** See {@link attest.activateCredential}. */
  activateCredential(key: TpmObject, ek: TpmObject, credential: attest.Credential): Promise<Uint8Array> {
    return this.#operate(esys => attest.activateCredential(esys, this.#loaded(key), this.#loaded(ek), credential))
  }

  /** See {@link sealing.seal}. */
  seal(parent: TpmObject, expectedParent: Uint8Array, secret: Uint8Array): Promise<object.ObjectBlob> {
    return this.#operate(esys => sealing.seal(esys, this.#loaded(parent), expectedParent, secret))
  }

  /** See {@link sealing.unseal}. */
  unseal(parent: TpmObject, expectedParent: Uint8Array, blob: object.ObjectBlob): Promise<Uint8Array> {
    return this.#operate(esys => sealing.unseal(esys, this.#loaded(parent), expectedParent, blob))
  }

  /** The command codes under command audit. */
  auditedCommands(): Promise<number[]> {
    return this.#operate(esys => capability.readAuditedCommands(esys))
  }

  /** See {@link attest.setCommandAudit}. */
  setCommandAudit(add: readonly number[], remove: readonly number[]): Promise<void> {
    return this.#operate(esys => attest.setCommandAudit(esys, add, remove))
  }

  /** See {@link attest.setCommandAuditHash}. */
  setCommandAuditHash(hash: HashAlgorithm): Promise<void> {
    return this.#operate(esys => attest.setCommandAuditHash(esys, hash))
  }

  /** See {@link attest.commandAuditDigest}. */
  commandAuditDigest(key: TpmObject, qualifyingData: Uint8Array): Promise<attest.Attestation> {
    return this.#operate(esys => attest.commandAuditDigest(esys, this.#loaded(key).tr, qualifyingData))
  }

  /** Lets go of an object. After a restart of the TPM its handle may be another's: that one is left alone. */
  flush(held: TpmObject): Promise<void> {
    return this.#operate(() => this.#release(held, this.#loaded(held)))
  }

  /**
   * Refuses further calls, lets those asked for before finish (a session cut short would stay in a TPM without resource
   * manager), flushes what is still held, and closes the connection. Twice is no error.
   */
  close(): Promise<void> {
    this.#closing = true
    return this.#operations.run(async () => {
      for (const [held, entry] of this.#held) await this.#release(held, entry)
      await this.#esys.close()
    })
  }

  /**
   * One operation at a time, although each is several commands: every one has a session open, and a TPM without resource
   * manager has room for three.
   */
  async #operate<T>(work: (esys: Esys) => Promise<T>): Promise<T> {
    if (this.#closing) throw ownError("TPM_CLOSED", "use", "this Tpm is closed", "open it anew")
    return this.#operations.run(() => work(this.#esys))
  }

  async #release(held: TpmObject, { tr, persistentAt }: Held): Promise<void> {
    this.#held.delete(held)
    if (persistentAt !== "transient") await this.#handles.release(persistentAt)
    else if (await object.standsAt(this.#esys, tr, held)) await this.#esys.call("FlushContext", tr)
    else if (this.#esys.usable) await this.#esys.forget(tr)
  }

  #loaded(held: TpmObject): { readonly object: TpmObject } & Held {
    const entry = this.#held.get(held)
    if (entry !== undefined) return { object: held, ...entry }
    throw ownError("TPM_OBJECT_NOT_HELD", "use", "this object was flushed, or belongs to another Tpm", "load it again")
  }
}
