/**
 * How does a structure cross between TPM wire bytes and C? Through tpm2-tss's own marshalling library, into and out of
 * opaque storage, so that no struct layout is written down here. Which structure goes where is esys-table.ts's concern.
 */
import { ownError, responseError } from "./error.ts"
import type { Libraries } from "./library.ts"
import { join, offHeap } from "./wire.ts"

/** Room for any structure: the largest of tpm2-tss (TPMS_CONTEXT) has 5208 bytes, in every version from 3.2 to 4.2. */
const STRUCTURE_BYTES = 8192

/** Room for a pointer, a size_t or any scalar output. */
export const nativeSlot = (): Uint8Array => offHeap(8)

/** Reads a slot as the little-endian 64-bit value that C left there. */
export const slotValue = (slot: Uint8Array): bigint =>
  new DataView(slot.buffer, slot.byteOffset, slot.byteLength).getBigUint64(0, true)

/**
 * Makes the C structure `type` from its wire bytes.
 *
 * The check that all bytes were used is not a formality: version 3.2.1 answers success for a TPM2B_PUBLIC with an inner
 * error (an unknown scheme) and only leaves the offset short.
 *
 * @returns opaque storage; the caller zeroes it after use
 * @throws TpmError `TSS2_MU_RC_…` or TPM_BAD_ARGUMENT
 */
export function toStructure(libraries: Libraries, type: string, wire: Uint8Array, command: string): Uint8Array {
  const unmarshal = libraries.mu.bind(`Tss2_MU_${type}_Unmarshal`, ["void *", "size_t", "void *", "void *"])
  const structure = offHeap(STRUCTURE_BYTES)
  const offset = nativeSlot()
  const rc = unmarshal.now(wire, wire.length, offset, structure)
  if (rc === 0 && slotValue(offset) === BigInt(wire.length)) return structure
  structure.fill(0)
  if (rc !== 0) throw responseError(rc, `${command} (${type})`)
  const used = `${slotValue(offset)} of ${wire.length} bytes`
  throw ownError("TPM_BAD_ARGUMENT", command, `not one whole ${type}: ${used} could be read`)
}

/**
 * Makes the wire bytes of the C structure `type` that ESYS allocated at `pointer`, then wipes and frees it.
 *
 * The wipe covers as many bytes as the wire form has: all of a simple TPM2B, the only kind that carries secrets.
 *
 * @throws TpmError `TSS2_MU_RC_…`
 */
export function takeStructure(libraries: Libraries, type: string, pointer: bigint, command: string): Uint8Array {
  const marshal = libraries.mu.bind(`Tss2_MU_${type}_Marshal`, ["void *", "void *", "size_t", "void *"])
  const scratch = offHeap(STRUCTURE_BYTES)
  const offset = nativeSlot()
  try {
    const rc = marshal.now(pointer, scratch, scratch.length, offset)
    if (rc !== 0) throw responseError(rc, `${command} (${type})`)
    const length = Number(slotValue(offset))
    libraries.libc.bind("explicit_bzero", ["void *", "size_t"]).now(pointer, length)
    return join(scratch.subarray(0, length))
  } finally {
    scratch.fill(0)
    freeStructure(libraries, pointer)
  }
}

/** Frees what ESYS allocated, unread. */
export function freeStructure(libraries: Libraries, pointer: bigint): void {
  libraries.esys.bind("Esys_Free", ["void *"]).now(pointer)
}
