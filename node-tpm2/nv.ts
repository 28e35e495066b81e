/**
 * What stands at an NV index? EK certificates above all. Defining and writing are left to provisioning tools.
 */
import { PROPERTY, readPropertyOf } from "./capability.ts"
import { ownError } from "./error.ts"
import { type Esys, TR } from "./esys.ts"
import type { HandleTable } from "./handles.ts"
import type { EsysTr } from "./invocation.ts"
import { inHmacSession } from "./session.ts"
import { payload, Reader } from "./wire.ts"

/** TPMA_NV (Part 2, 13.4): who may read. */
const OWNER_READ = 1 << 17
const AUTH_READ = 1 << 18

/**
 * Reads an NV index from end to end, in pieces of TPM_PT_NV_BUFFER_MAX.
 *
 * @throws TpmError TPM_RC_HANDLE if it is not defined, TPM_RC_NV_UNINITIALIZED if it was never written
 */
export function readNv(esys: Esys, handles: HandleTable, index: number): Promise<Uint8Array> {
  if (index >>> 24 !== 0x01) throw ownError("TPM_BAD_ARGUMENT", "NV_Read", `0x${index.toString(16)} is no NV index`)
  return handles.use(index, async tr => {
    const { size, reader } = await readNvPublic(esys, tr)
    const piece = await readPropertyOf(esys, PROPERTY.nvBufferMax)
    if (piece === 0) throw ownError("TPM_BAD_RESPONSE", "NV_Read", "the TPM reads in pieces of nothing")
    const whole = new Uint8Array(size)
    await inHmacSession(esys, async session => {
      for (let at = 0; at < size; at += piece) {
        const length = Math.min(piece, size - at)
        const [data] = await esys.call("NV_Read", reader, tr, session, TR.none, TR.none, length, at)
        const bytes = payload(data)
        if (bytes.length !== length) throw ownError("TPM_BAD_RESPONSE", "NV_Read", `${bytes.length} of ${length} bytes`)
        whole.set(bytes, at)
      }
    })
    return whole
  })
}

/** TPMS_NV_PUBLIC: index, nameAlg, attributes, policy, size. The index authorises itself where it may. */
async function readNvPublic(esys: Esys, tr: EsysTr): Promise<{ size: number; reader: EsysTr }> {
  const [wire] = await esys.call("NV_ReadPublic", tr, TR.none, TR.none, TR.none)
  const reader = new Reader(payload(wire))
  reader.u32()
  reader.u16()
  const attributes = reader.u32()
  reader.sized(64)
  const size = reader.u16()
  reader.end()
  if (attributes & AUTH_READ) return { size, reader: tr }
  if (attributes & OWNER_READ) return { size, reader: TR.owner }
  throw ownError("TPM_BAD_ARGUMENT", "NV_Read", "only a policy or the platform may read this index")
}
