/**
 * How does a secret rest in the TPM without ever crossing its bus in the clear? Sealed under a storage parent, with every
 * transfer encrypted under a salt that only this parent can open.
 *
 * The parent's Name must come from enrolment and not from the TPM of the moment: someone on the bus could offer a key of
 * his own as parent, and open the salt.
 */
import { type Esys, TR } from "./esys.ts"
import type { EsysTr } from "./invocation.ts"
import { checkName, createChild, type Loaded, loadChild, type ObjectBlob } from "./object.ts"
import { inSaltedSession } from "./session.ts"
import { SEALED_DATA } from "./templates.ts"
import { payload } from "./wire.ts"

/**
 * Seals up to 128 bytes (MAX_SYM_DATA) under `parent`.
 *
 * @throws TpmError TPM_NAME_MISMATCH if the parent is not `expectedParent`
 */
export function seal(esys: Esys, parent: Loaded, expectedParent: Uint8Array, secret: Uint8Array): Promise<ObjectBlob> {
  checkName(parent.object, expectedParent, "seal")
  return inSaltedSession(esys, parent.tr, async session => {
    const create = (data: Uint8Array) => createChild(esys, parent.tr, session, SEALED_DATA, { data })
    try {
      const { publicArea, privateArea } = await create(secret)
      return { publicArea, privateArea }
    } finally {
      // ESYS keeps a copy of the last secret given to TPM2_Create, and never wipes it: the next one takes its place
      if (esys.usable) await create(NOTHING_SECRET)
    }
  })
}

const NOTHING_SECRET = new Uint8Array(1)

/**
 * Unseals what {@link seal} gave. The caller zeroes the secret after use.
 *
 * @throws TpmError TPM_NAME_MISMATCH if the parent is not `expectedParent`, TPM_RC_INTEGRITY for an altered blob
 */
export function unseal(esys: Esys, parent: Loaded, expectedParent: Uint8Array, blob: ObjectBlob): Promise<Uint8Array> {
  checkName(parent.object, expectedParent, "unseal")
  return inSaltedSession(esys, parent.tr, async session => {
    const { tr } = await loadChild(esys, parent.tr, session, blob)
    try {
      const [secret] = await esys.call("Unseal", tr, session, TR.none, TR.none)
      return payload(secret)
    } finally {
      if (esys.usable) await leaveNothing(esys, parent.tr, tr)
    }
  })
}

/**
 * Flushes the sealed object, and the secret from ESYS's own buffer: ESYS decrypts responses where they came in and never
 * wipes them, but a longer response overwrites it. A parent's public area with two Names is longer than any sealed data.
 */
async function leaveNothing(esys: Esys, parent: EsysTr, sealed: EsysTr): Promise<void> {
  await esys.call("FlushContext", sealed)
  await esys.call("ReadPublic", parent, TR.none, TR.none, TR.none)
}
