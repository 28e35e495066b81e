/**
 * Which PCRs of which banks? TPML_PCR_SELECTION and its readable form (TPM 2.0 Part 2, 10.9.7).
 */
import { ownError } from "./error.ts"
import { HASH_ALGORITHMS, type HashAlgorithm, hashAlgorithm, join, Reader, u8, u16, u32 } from "./wire.ts"

/** PCRs of one bank. */
export interface BankSelection {
  readonly bank: HashAlgorithm
  /** Indices from 0 to 23. */
  readonly pcrs: readonly number[]
}

/** PCRs of several banks, in the order in which a quote digests them. */
export type PcrSelection = readonly BankSelection[]

/** A PC Client TPM has 24 PCRs, so three bytes of bitmap (PTP 1.05, 4.6). */
const PCR_COUNT = 24
const BITMAP_BYTES = PCR_COUNT / 8
/** Part 2: HASH_COUNT of the largest implementation in tpm2-tss (TPM2_NUM_PCR_BANKS). */
const MOST_BANKS = 16

/** Refuses what is not the index of a PCR. @throws TpmError TPM_BAD_ARGUMENT */
export function checkPcrIndex(index: number): void {
  if (Number.isInteger(index) && index >= 0 && index < PCR_COUNT) return
  throw ownError("TPM_BAD_ARGUMENT", "select", `${index} is no PCR`, `0 to ${PCR_COUNT - 1}`)
}

/** The wire form. @throws TpmError TPM_BAD_ARGUMENT */
export function encodeSelection(selection: PcrSelection): Uint8Array {
  if (selection.length > MOST_BANKS) throw ownError("TPM_BAD_ARGUMENT", "select", `more than ${MOST_BANKS} banks`)
  return join(u32(selection.length), ...selection.map(encodeBank))
}

function encodeBank({ bank, pcrs }: BankSelection): Uint8Array {
  const bitmap = new Uint8Array(BITMAP_BYTES)
  for (const index of pcrs) {
    checkPcrIndex(index)
    bitmap[index >> 3] = (bitmap[index >> 3] ?? 0) | (1 << (index & 7))
  }
  return join(u16(HASH_ALGORITHMS[bank]), u8(BITMAP_BYTES), bitmap)
}

/** The readable form; PCRs ascend. @throws TpmError TPM_BAD_RESPONSE */
export function readSelection(reader: Reader): BankSelection[] {
  return reader.list(MOST_BANKS, () => {
    const bank = hashAlgorithm(reader.u16())
    const bitmap = reader.bytes(reader.u8())
    const pcrs = Array.from({ length: bitmap.length * 8 }, (_, index) => index)
    return { bank, pcrs: pcrs.filter(index => ((bitmap[index >> 3] ?? 0) >> (index & 7)) & 1) }
  })
}

/** Reads a whole TPML_PCR_SELECTION. @throws TpmError TPM_BAD_RESPONSE */
export function decodeSelection(wire: Uint8Array): BankSelection[] {
  const reader = new Reader(wire)
  const selection = readSelection(reader)
  reader.end()
  return selection
}
