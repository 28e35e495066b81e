/**
 * With which key is evidence signed, and where does it rest? Ed25519; its seed is sealed in the TPM under a storage parent
 * in the endorsement hierarchy, and crosses the bus encrypted only. What is signed: `evidence.ts`.
 */
import { createHash, randomBytes } from "node:crypto"
import * as ed from "@noble/ed25519"
import { z } from "zod"
import { STORAGE_PARENT, type Tpm, type TpmObject } from "../../node-tpm2/index.ts"
import { tpmName } from "../../attestation/protocol/evidence.ts"
import { base64, base64Exactly, fromBase64, fromHex, toBase64, toHex } from "../../attestation/wire/text.ts"
import { LastingFault, underEndorsement } from "./fault.ts"
import type { StateDirectory } from "./state.ts"

ed.hashes.sha512 = message => new Uint8Array(createHash("sha512").update(message).digest())

const file = "evidence-key.json"
const stored = z.strictObject({
  /** Name of the storage parent as it was when the key was made: a parent that somebody offers on the bus is refused */
  parent: tpmName,
  sealedPublic: base64(1024),
  sealedPrivate: base64(2048),
  publicKey: base64Exactly(32),
})
type Stored = z.infer<typeof stored>

export type EvidenceKey = {
  /** 32 bytes */
  readonly publicKey: Uint8Array
  sign(message: Uint8Array): Uint8Array
  /** Wipes the seed; nothing is signed afterwards. */
  wipe(): void
}

/** Unseals the evidence key, or makes it the first time. Throws Fault when it is not the one recorded. */
export async function openEvidenceKey(tpm: Tpm, state: StateDirectory): Promise<EvidenceKey> {
  const { object: parent } = await underEndorsement(tpm.createPrimary("endorsement", STORAGE_PARENT))
  try {
    const known = (await state.read(file, stored)) ?? (await makeKey(tpm, state, parent))
    return await unsealKey(tpm, state, parent, known)
  } finally {
    if (tpm.usable) await tpm.flush(parent)
  }
}

async function makeKey(tpm: Tpm, state: StateDirectory, parent: TpmObject): Promise<Stored> {
  const seed = randomBytes(32)
  try {
    const sealed = await tpm.seal(parent, parent.name, seed)
    const made = {
      parent: toHex(parent.name),
      sealedPublic: toBase64(sealed.publicArea),
      sealedPrivate: toBase64(sealed.privateArea),
      publicKey: toBase64(ed.getPublicKey(seed)),
    }
    await state.write(file, made)
    return made
  } finally {
    seed.fill(0)
  }
}

async function unsealKey(tpm: Tpm, state: StateDirectory, parent: TpmObject, known: Stored): Promise<EvidenceKey> {
  const blob = { publicArea: fromBase64(known.sealedPublic), privateArea: fromBase64(known.sealedPrivate) }
  const seed = await tpm.unseal(parent, fromHex(known.parent), blob).catch(error => {
    throw isForeign(error) ? cannotOpen(state) : error
  })
  const publicKey = seed.length === 32 ? ed.getPublicKey(seed) : new Uint8Array(0)
  if (toBase64(publicKey) === known.publicKey) return keyFrom(seed, publicKey)
  seed.fill(0)
  throw cannotOpen(state)
}

const isForeign = (error: unknown): boolean =>
  error instanceof Error && "code" in error && error.code === "TPM_RC_INTEGRITY"

/** TPM2_Clear changes the endorsement hierarchy's proof: its primary keys stay what they are, what they sealed is lost. */
function cannotOpen(state: StateDirectory): LastingFault {
  const where = state.pathOf(file)
  const fix = "restore it, or remove it, so that a new key is made, and join again"
  return new LastingFault(`${where} has no key that this TPM can open: the TPM was cleared, or the file altered`, fix)
}

/** The library signs from the seed, so the seed stays in this one place until the broker ends. */
function keyFrom(seed: Uint8Array, publicKey: Uint8Array): EvidenceKey {
  return { publicKey, sign: message => ed.sign(message, seed), wipe: () => void seed.fill(0) }
}
