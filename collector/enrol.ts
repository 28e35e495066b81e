/**
 * May this attester be let in? An operator's invitation, a machine whose TPM proves that EK and AK live in it, and keys that are
 * worth something. What is kept of it: `store.ts`. Who says that the TPM is a real one: `endorse.ts`.
 */
import { createHash, generateKeyPairSync, randomBytes, timingSafeEqual } from "node:crypto"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import type { Identity } from "../attestation/protocol/message.ts"
import { whyNotEndorsement } from "../attestation/tcg/creation.ts"
import { type Chance, type Credential, makeCredential } from "../attestation/tcg/credential.ts"
import {
  keyOf,
  nameOf,
  objectAttributes,
  type PublicArea,
  readPublic,
  whyNoAttestationKey,
} from "../attestation/tcg/public.ts"
import type { Audit } from "../attestation/protocol/evidence.ts"
import { type Audited, auditAtJoin } from "../attestation/verify/audit.ts"
import { endorse } from "./endorse.ts"
import type { Enrolment, Invitation, InvitationState, Store } from "./store.ts"
import { looksLikeRoca, whyWeakEd25519 } from "../attestation/tcg/weak-key.ts"

/** What an invitation is called: the token itself is never kept. */
export const invitationId = (token: Uint8Array): string => createHash("sha256").update(token).digest("hex")

/** A fresh invitation with its token, which leaves this process once and is not kept. */
export function newInvitation(what: Omit<Invitation, "id">): { invitation: Invitation; token: Uint8Array } {
  const token = new Uint8Array(randomBytes(32))
  return { invitation: { ...what, id: invitationId(token) }, token }
}

/** Whether `invitation` admits for `purpose` at `now`. */
export const admits = (invitation: InvitationState | undefined, purpose: Invitation["purpose"], now: number): boolean =>
  invitation !== undefined &&
  invitation.purpose === purpose &&
  !invitation.revoked &&
  !(purpose === "attester" && invitation.used) &&
  invitation.expires > now

/** The invitation whose token this is, found by its hash; hashes are compared in constant time. */
export async function invitationOf(store: Store, token: Uint8Array): Promise<InvitationState | undefined> {
  const id = invitationId(token)
  const found = await store.invitation(id)
  return found && timingSafeEqual(Buffer.from(found.id, "hex"), Buffer.from(id, "hex")) ? found : undefined
}

/** What an attester asks for: to be let in under these keys. */
export type Application = { readonly token: Uint8Array; readonly identity: Identity; readonly label: string }

/** Someone who must still show that the TPM opens `credential`; `secret` is what is in it. One attempt. */
export type Candidate = {
  readonly enrolment: Omit<Enrolment, "number" | "at" | "audit">
  readonly credential: Credential
  readonly secret: Uint8Array
}
export type Refused = { readonly refused: string }

/** Examines an application at `now`. The invitation is looked at first, and not redeemed yet. */
export async function consider(
  store: Store,
  { token, identity, label }: Application,
  now: number,
): Promise<Candidate | Refused> {
  const invitation = await invitationOf(store, token)
  const again = invitation?.used && (await wasAdmitted(store, { invitation: invitation.id, identity })) !== undefined
  if (!invitation || !admits(again ? { ...invitation, used: false } : invitation, "attester", now))
    return { refused: "the invitation is unknown, used, revoked or expired: ask for a new one" }
  const faults = whyUnfit(identity)
  if (faults.length > 0) return { refused: `these keys cannot be enrolled: ${faults.join("; ")}` }
  if (invitation.accept !== null && invitation.accept.ek !== identity.attester)
    return { refused: "the invitation is for another TPM" }
  const ak = nameOf(readPublic(fromBase64(identity.akPublic)))
  const secret = new Uint8Array(randomBytes(32))
  const ek = readPublic(fromBase64(identity.ekPublic))
  return {
    enrolment: {
      attester: identity.attester,
      ak: toHex(ak),
      label,
      invitation: invitation.id,
      identity,
      endorsement: await endorse(store, identity, invitation, now),
    },
    credential: makeCredential(ek, ak, secret, chanceFor(ek)),
    secret,
  }
}

/** What an applicant shows that it opened the credential: the secret, and the command audit stated over it. */
export type Activation = { readonly secret: Uint8Array; readonly audit: Audit | null }

/** Enrols `candidate` if `secret` is what only its TPM could open. */
export async function admit(
  store: Store,
  candidate: Candidate,
  { secret, audit }: Activation,
  now: number,
): Promise<Enrolment | Refused> {
  if (secret.length !== candidate.secret.length || !timingSafeEqual(secret, candidate.secret))
    return { refused: "the TPM did not open the credential: EK and AK are not in one TPM" }
  const audited = auditAtJoin(audit, fromBase64(candidate.enrolment.identity.akPublic), secret)
  if (audited !== "unavailable" && "faults" in audited)
    return { refused: `the command audit is not of this joining: ${audited.faults.map(({ id }) => id).join(", ")}` }
  const retired = await whyRetired(store, candidate.enrolment)
  if (retired !== undefined) return { refused: retired }
  const enrolled = await store.enrol({ ...candidate.enrolment, at: now, audit: stateOf(audited) })
  if (enrolled === "refused")
    return (
      (await wasAdmitted(store, candidate.enrolment)) ?? {
        refused: "the invitation was used meanwhile: ask for a new one",
      }
    )
  if (enrolled === "taken") return { refused: await whyTaken(store, candidate.enrolment, now) }
  return enrolled
}

function stateOf(audited: Audited | "unavailable"): Enrolment["audit"] {
  if (audited === "unavailable") return audited
  const { milliseconds, resetCount, restartCount } = audited.clock
  return { counter: String(audited.counter), clock: { milliseconds: String(milliseconds), resetCount, restartCount } }
}

type Applied = Candidate["enrolment"]

/** The enrolment that this invitation led to, if it was of the same keys: its answer was lost, and it may be given again. */
async function wasAdmitted(
  store: Store,
  { invitation, identity }: Pick<Applied, "invitation" | "identity">,
): Promise<Enrolment | undefined> {
  const before = await store.enrolment(identity.attester)
  const { akPublic, evidenceKey } = identity
  const same = before?.identity.akPublic === akPublic && before.identity.evidenceKey === evidenceKey
  return same && before.invitation === invitation ? before : undefined
}

/** A retired machine comes back, under any of its EKs, only if a person names that EK. */
async function whyRetired(store: Store, { attester, endorsement }: Applied): Promise<string | undefined> {
  if (endorsement.kind === "accepted") return undefined
  const others = (await store.aliases(attester)).flatMap(each => [each.attester, each.alias])
  for (const name of new Set([attester, ...others])) {
    const retirement = await store.retirement(name)
    if (retirement)
      return `this TPM was retired by ${retirement.by}: only an invitation that accepts its EK by name lets it in again`
  }
  return undefined
}

/** A TPM that opened a credential for this EK with an AK that is enrolled under another has both EKs: they are one machine's. */
async function whyTaken(store: Store, { attester, ak }: Applied, at: number): Promise<string> {
  const owner = await store.ownerOf(ak)
  if (owner === undefined || owner === attester) return "another attester has this evidence key"
  await store.alias({ attester: owner, alias: attester, at })
  return `this AK is enrolled under another EK of the same TPM, as ${owner}`
}

/** Everything that speaks against an identity; empty when it may be enrolled. */
export function whyUnfit(identity: Identity): string[] {
  try {
    return [...whyUnfitEk(identity), ...whyUnfitAk(identity), ...whyUnfitEvidenceKey(identity)]
  } catch (error) {
    if (error instanceof Malformed) return [error.message]
    throw error
  }
}

function whyUnfitEk({ attester, ekPublic }: Identity): string[] {
  const ek = readPublic(fromBase64(ekPublic))
  const faults = whyNoEndorsementKey(ek).map(fault => `the EK ${fault}`)
  if (toHex(nameOf(ek)) !== attester) faults.push("the attester's name is not its EK's")
  keyOf(ek)
  return faults
}

/** TCG EK Credential Profile 2.5, annex B: a storage key made and held by one TPM. */
export function whyNoEndorsementKey(area: PublicArea): string[] {
  const { restricted, decrypt, sign, fixedTPM, fixedParent, sensitiveDataOrigin } = objectAttributes
  const required = Object.entries({ restricted, decrypt, fixedTPM, fixedParent, sensitiveDataOrigin })
  const faults = required.filter(([, bit]) => !(area.attributes & bit)).map(([name]) => `lacks ${name}`)
  if (area.attributes & sign) faults.push("may sign")
  if (area.nameAlg === "sha1") faults.push("uses SHA-1")
  if (!area.symmetric || area.symmetric.bits < 128) faults.push("has no symmetric algorithm")
  return area.kind === "rsa" ? [...faults, ...whyWeakRsa(area)] : faults
}

function whyWeakRsa({ bits, modulus, exponent }: PublicArea & { kind: "rsa" }): string[] {
  const faults: string[] = []
  if (bits < 2048 || modulus.length * 8 !== bits) faults.push(`has only ${Math.min(bits, modulus.length * 8)} bits`)
  if (exponent !== 0 && exponent < 65_537) faults.push(`has the exponent ${exponent}`)
  if (looksLikeRoca(modulus)) faults.push("comes from a broken generator (CVE-2017-15361)")
  return faults
}

function whyUnfitAk({ akPublic, creation }: Identity): string[] {
  const ak = readPublic(fromBase64(akPublic))
  const proof = {
    data: fromBase64(creation.data),
    attest: fromBase64(creation.attest),
    signature: fromBase64(creation.signature),
  }
  const weak = ak.kind === "rsa" ? whyWeakRsa(ak) : []
  return [...whyNoAttestationKey(ak), ...weak, ...whyNotEndorsement(ak, proof)].map(fault => `AK: ${fault}`)
}

function whyUnfitEvidenceKey({ evidenceKey }: Identity): string[] {
  const why = whyWeakEd25519(fromBase64(evidenceKey))
  return why === undefined ? [] : [`the evidence key is weak: ${why}`]
}

/** Fresh chance for a credential of this EK. */
export function chanceFor(ek: PublicArea): Chance {
  if (ek.kind === "rsa") return { kind: "rsa", seed: randomBytes(64), mask: randomBytes(64) }
  const { privateKey } = generateKeyPairSync("ec", {
    namedCurve: { p256: "P-256", p384: "P-384", p521: "P-521" }[ek.curve],
  })
  return { kind: "ecc", ephemeral: new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" })) }
}
