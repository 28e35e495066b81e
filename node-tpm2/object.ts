/**
 * How do keys and sealed data come into the TPM, and how do we know that they are the ones meant? Who holds them, and
 * until when, is left to tpm.ts.
 */
import { createHash } from "node:crypto"
import { ownError } from "./error.ts"
import { type Esys, TR } from "./esys.ts"
import type { HandleTable } from "./handles.ts"
import type { EsysTr } from "./invocation.ts"
import { inHmacSession } from "./session.ts"
import { EMPTY, hashAlgorithm, join, payload, Reader, sized, u16, u32 } from "./wire.ts"

/** An object in the TPM, as its holder sees it. Its identity is the Name; the handle behind it is nobody's business. */
export interface TpmObject {
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array
  /** nameAlg and digest of the public area (Part 1, 16). */
  readonly name: Uint8Array
}

/** What a TPM says about an object that it made: evidence of the hierarchy it was made in. */
export interface CreationProof {
  /** TPMS_CREATION_DATA. */
  readonly creationData: Uint8Array
  /** Its digest. */
  readonly creationHash: Uint8Array
  /** TPMT_TK_CREATION, for TPM2_CertifyCreation on the same TPM. */
  readonly creationTicket: Uint8Array
}

/** An object outside the TPM, that only its parent can load. */
export interface ObjectBlob {
  /** TPMT_PUBLIC. */
  readonly publicArea: Uint8Array
  /** TPM2B_PRIVATE's content: encrypted and integrity-protected by the parent. */
  readonly privateArea: Uint8Array
}

/** The secret part of a new object. Both are copied; zero your own afterwards. */
export interface Sensitive {
  /** The authorisation value; empty if left out. */
  readonly auth?: Uint8Array
  /** The data to seal; empty for a key. */
  readonly data?: Uint8Array
}

/** Where a primary object hangs. */
export type Hierarchy = "owner" | "endorsement" | "platform" | "null"

const HIERARCHY: Readonly<Record<Hierarchy, EsysTr>> = {
  owner: TR.owner,
  endorsement: TR.endorsement,
  platform: TR.platform,
  null: TR.null,
}

/** ESYS's number for a hierarchy. */
export const hierarchyTr = (hierarchy: Hierarchy): EsysTr => HIERARCHY[hierarchy]

/** An object that was just loaded, with ESYS's number for it. */
export interface Loaded {
  readonly tr: EsysTr
  readonly object: TpmObject
}

/** No creation PCRs: they would only be a label. */
const NO_PCRS = u32(0)

/** TPM2_CreatePrimary. `template` is a TPMT_PUBLIC; the same one gives the same key, until the hierarchy is cleared. */
export async function createPrimary(
  esys: Esys,
  hierarchy: Hierarchy,
  template: Uint8Array,
  sensitive: Sensitive,
): Promise<Loaded & CreationProof> {
  const [tr, outPublic, ...proof] = await withSensitive(sensitive, wire =>
    inHmacSession(esys, session =>
      esys.call(
        "CreatePrimary",
        ...([HIERARCHY[hierarchy], session, TR.none, TR.none] as const),
        ...([wire, sized(template), EMPTY, NO_PCRS] as const),
      ),
    ),
  )
  return { tr, object: objectOf(payload(outPublic)), ...creationProof(proof) }
}

/** TPM2_Create: the object is returned, not loaded. `session` authorises the parent and may encrypt the secret. */
export async function createChild(
  esys: Esys,
  parent: EsysTr,
  session: EsysTr,
  template: Uint8Array,
  sensitive: Sensitive,
): Promise<ObjectBlob & CreationProof> {
  const [outPrivate, outPublic, ...proof] = await withSensitive(sensitive, wire =>
    esys.call(
      "Create",
      ...([parent, session, TR.none, TR.none] as const),
      ...([wire, sized(template), EMPTY, NO_PCRS] as const),
    ),
  )
  return { privateArea: payload(outPrivate), publicArea: payload(outPublic), ...creationProof(proof) }
}

/** TPM2_Load. `session` authorises the parent. */
export async function loadChild(esys: Esys, parent: EsysTr, session: EsysTr, blob: ObjectBlob): Promise<Loaded> {
  const wire = [sized(blob.privateArea), sized(blob.publicArea)] as const
  const [tr] = await esys.call("Load", parent, session, TR.none, TR.none, ...wire)
  return { tr, object: objectOf(blob.publicArea) }
}

/** TPM2_ReadPublic: what stands at this number's handle now. */
export async function readPublicArea(esys: Esys, tr: EsysTr): Promise<TpmObject> {
  const [outPublic] = await esys.call("ReadPublic", tr, TR.none, TR.none, TR.none)
  return objectOf(payload(outPublic))
}

/** Whether `object` still stands at its handle. No is also the answer of a TPM that has nothing there, or is gone. */
export async function standsAt(esys: Esys, tr: EsysTr, object: TpmObject): Promise<boolean> {
  try {
    return sameName((await readPublicArea(esys, tr)).name, object.name)
  } catch {
    return false
  }
}

/** Takes a share in the persistent object at `handle`. @throws TpmError TPM_RC_HANDLE */
export async function holdPersistent(esys: Esys, handles: HandleTable, handle: number): Promise<Loaded> {
  if (handle >>> 24 !== 0x81) {
    throw ownError("TPM_BAD_ARGUMENT", "persistent", `0x${handle.toString(16)} is no persistent handle`)
  }
  const tr = await handles.acquire(handle)
  try {
    return { tr, object: await readPublicArea(esys, tr) }
  } catch (error) {
    await handles.release(handle)
    throw error
  }
}

/** Tells ESYS an authorisation value, for the HMACs to come; the TPM does not hear of it. */
export async function setAuth(esys: Esys, tr: EsysTr, auth: Uint8Array): Promise<void> {
  const wire = sized(auth)
  try {
    await esys.call("TR_SetAuth", tr, wire)
  } finally {
    wire.fill(0)
  }
}

/** An object's Name, computed here and not taken from the TPM (Part 1, 16): nameAlg, then the public area's digest. */
export function nameOf(publicArea: Uint8Array): Uint8Array {
  const nameAlg = nameAlgorithmOf(publicArea)
  const digest = createHash(hashAlgorithm(nameAlg).replace("_", "-")).update(publicArea).digest()
  return join(u16(nameAlg), digest)
}

/** The TPM_ALG_ID of a public area's nameAlg: its second field (Part 2, 12.2.4). */
export function nameAlgorithmOf(publicArea: Uint8Array): number {
  const reader = new Reader(publicArea)
  reader.u16()
  return reader.u16()
}

/** TPMA_OBJECT of a public area: its third field. */
export function attributesOf(publicArea: Uint8Array): number {
  const reader = new Reader(publicArea)
  reader.bytes(4)
  return reader.u32()
}

/** Whether two Names are the same. */
export const sameName = (one: Uint8Array, other: Uint8Array): boolean => Buffer.compare(one, other) === 0

/** Refuses an object that is not the one expected. @throws TpmError TPM_NAME_MISMATCH */
export function checkName(object: TpmObject, expected: Uint8Array, command: string): void {
  if (sameName(object.name, expected)) return
  const [is, wanted] = [object.name, expected].map(name => Buffer.from(name).toString("hex"))
  const hint = "the TPM was cleared or exchanged, or someone sits on its bus"
  throw ownError("TPM_NAME_MISMATCH", command, `the key is ${is}, not ${wanted}`, hint)
}

const objectOf = (publicArea: Uint8Array): TpmObject => Object.freeze({ publicArea, name: nameOf(publicArea) })

function creationProof([data, hash, ticket]: readonly [Uint8Array, Uint8Array, Uint8Array]): CreationProof {
  return { creationData: payload(data), creationHash: payload(hash), creationTicket: ticket }
}

/** TPM2B_SENSITIVE_CREATE, zeroed once it was used. */
async function withSensitive<T>(sensitive: Sensitive, use: (wire: Uint8Array) => Promise<T>): Promise<T> {
  const nothing = new Uint8Array()
  const [auth, data] = [sized(sensitive.auth ?? nothing), sized(sensitive.data ?? nothing)]
  const inner = join(auth, data)
  const wire = sized(inner)
  try {
    return await use(wire)
  } finally {
    for (const copy of [auth, data, inner, wire]) copy.fill(0)
  }
}
