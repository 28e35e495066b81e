/**
 * What does the TPM sign about itself? Quotes, creation certificates, the audit digest; and the proof that a key lives
 * beside an EK. All results are the TPM's own bytes; judging them is the verifier's.
 */
import { type Esys, TR } from "./esys.ts"
import type { EsysTr } from "./invocation.ts"
import { attributesOf, type CreationProof, type Loaded, nameAlgorithmOf } from "./object.ts"
import { encodeSelection, type PcrSelection } from "./selection.ts"
import { inEndorsementPolicy, inHmacSession } from "./session.ts"
import { HASH_ALGORITHMS, type HashAlgorithm, join, payload, sized, u16, u32 } from "./wire.ts"

/** A statement of the TPM. */
export interface Attestation {
  /** TPMS_ATTEST: the bytes that were signed. */
  readonly attest: Uint8Array
  /** TPMT_SIGNATURE. */
  readonly signature: Uint8Array
}

/** What TPM2_MakeCredential gives; each is the content of its TPM2B, without the size. */
export interface Credential {
  /** TPM2B_ID_OBJECT's content: the HMAC (a TPM2B) and the encrypted secret. */
  readonly credentialBlob: Uint8Array
  /** TPM2B_ENCRYPTED_SECRET's content: the seed, for the EK only. */
  readonly encryptedSecret: Uint8Array
}

/** TPMT_SIG_SCHEME NULL: the key's own scheme. */
const KEYS_OWN_SCHEME = u16(0x0010)
/** TPMA_OBJECT userWithAuth: the object's authorisation value suffices (Part 2, 8.3.3.6). */
const USER_WITH_AUTH = 1 << 6

/** TPM2_Quote. A bank that is not active is left out of what is signed, without an error: compare the selection. */
export async function quote(
  esys: Esys,
  key: EsysTr,
  qualifyingData: Uint8Array,
  selection: PcrSelection,
): Promise<Attestation> {
  const statement = [sized(qualifyingData), KEYS_OWN_SCHEME, encodeSelection(selection)] as const
  const [attest, signature] = await inHmacSession(esys, session =>
    esys.call("Quote", key, session, TR.none, TR.none, ...statement),
  )
  return { attest: payload(attest), signature }
}

/** TPM2_CertifyCreation: `signer` states that this TPM made `object`, with that creation data. */
export async function certifyCreation(
  esys: Esys,
  signer: EsysTr,
  object: EsysTr,
  qualifyingData: Uint8Array,
  proof: Pick<CreationProof, "creationHash" | "creationTicket">,
): Promise<Attestation> {
  const data = [sized(qualifyingData), sized(proof.creationHash), KEYS_OWN_SCHEME, proof.creationTicket] as const
  const [attest, signature] = await inHmacSession(esys, session =>
    esys.call("CertifyCreation", signer, object, session, TR.none, TR.none, ...data),
  )
  return { attest: payload(attest), signature }
}

/**
 * TPM2_ActivateCredential: gives back the secret that was wrapped to `ek` for the Name of `key`. The EK is authorised as
 * its template wants: by its (empty) value for the H templates, by PolicySecret(endorsement) for the L templates.
 */
export async function activateCredential(
  esys: Esys,
  key: Loaded,
  ek: Loaded,
  credential: Credential,
): Promise<Uint8Array> {
  const wire = [sized(credential.credentialBlob), sized(credential.encryptedSecret)] as const
  const { publicArea } = ek.object
  const [secret] = await inHmacSession(esys, keySession => {
    const activate = (ekSession: EsysTr) =>
      esys.call("ActivateCredential", key.tr, ek.tr, keySession, ekSession, TR.none, ...wire)
    if (attributesOf(publicArea) & USER_WITH_AUTH) return inHmacSession(esys, activate)
    return inEndorsementPolicy(esys, nameAlgorithmOf(publicArea), activate)
  })
  return payload(secret)
}

/**
 * TPM2_SetCommandCodeAuditStatus with the hash left as it is: which commands enter the audit digest from now on. The
 * hierarchy `owner` must be allowed to (it is in PC Client TPMs).
 */
export async function setCommandAudit(esys: Esys, add: readonly number[], remove: readonly number[]): Promise<void> {
  const UNCHANGED = 0x0010 // TPM_ALG_NULL; a new hash may not be set together with commands (Part 3, 21.2)
  await setAuditStatus(esys, UNCHANGED, add, remove)
}

/** TPM2_SetCommandCodeAuditStatus with a new hash, which also clears the audit digest. */
export async function setCommandAuditHash(esys: Esys, hash: HashAlgorithm): Promise<void> {
  await setAuditStatus(esys, HASH_ALGORITHMS[hash], [], [])
}

async function setAuditStatus(esys: Esys, hash: number, add: readonly number[], remove: readonly number[]) {
  const [set, clear] = [codeList(add), codeList(remove)]
  await inHmacSession(esys, session =>
    esys.call("SetCommandCodeAuditStatus", TR.owner, session, TR.none, TR.none, hash, set, clear),
  )
}

const codeList = (codes: readonly number[]): Uint8Array => join(u32(codes.length), ...codes.map(u32))

/** TPM2_GetCommandAuditDigest: states the audit counter and digest, and clears the digest. */
export async function commandAuditDigest(esys: Esys, key: EsysTr, qualifyingData: Uint8Array): Promise<Attestation> {
  const data = [sized(qualifyingData), KEYS_OWN_SCHEME] as const
  const [attest, signature] = await inHmacSession(esys, privacy =>
    inHmacSession(esys, session =>
      esys.call("GetCommandAuditDigest", TR.endorsement, key, privacy, session, TR.none, ...data),
    ),
  )
  return { attest: payload(attest), signature }
}
