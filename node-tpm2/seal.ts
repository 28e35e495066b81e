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
    const { publicArea, privateArea } = await createChild(esys, parent.tr, session, SEALED_DATA, { data: secret })
    return { publicArea, privateArea }
  })
}

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
      await flushSealed(esys, tr)
    }
  })
}

/** A lost context has flushed it already, and may not hide how the unsealing ended. */
async function flushSealed(esys: Esys, tr: EsysTr): Promise<void> {
  if (esys.usable) await esys.call("FlushContext", tr)
}
