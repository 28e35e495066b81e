/**
 * What do the PCRs hold, and how are they extended? What an extend means is left to the event log.
 */
import { ownError } from "./error.ts"
import { type Esys, TR } from "./esys.ts"
import { fixedTr } from "./invocation.ts"
import { type BankSelection, checkPcrIndex, decodeSelection, encodeSelection, type PcrSelection } from "./selection.ts"
import { DIGEST_BYTES, HASH_ALGORITHMS, type HashAlgorithm, join, Reader, u16, u32 } from "./wire.ts"

/** PCR values as the TPM reports them: unsigned, so for display and for finding a difference, never for a verdict. */
export interface PcrValues {
  /** pcrUpdateCounter at the time of the read. Extends of the PCRs 16 and 21 to 23 do not move it (PTP, 4.6.2). */
  readonly updateCounter: number
  readonly banks: ReadonlyMap<HashAlgorithm, ReadonlyMap<number, Uint8Array>>
}

/** A digest for one bank. */
export interface BankDigest {
  readonly bank: HashAlgorithm
  readonly digest: Uint8Array
}

/** TPML_DIGEST holds 8 (Part 2, 10.9.6). */
const MOST_DIGESTS = 8
/** How often a read that was overtaken by an extend begins anew. */
const MOST_ATTEMPTS = 16

/**
 * Reads all selected PCRs, eight at a time, and anew whenever pcrUpdateCounter moved in between.
 *
 * @throws TpmError TPM_BAD_ARGUMENT for a bank that is not active; TPM_BAD_RESPONSE if the PCRs never come to rest
 */
export async function readPcrs(esys: Esys, selection: PcrSelection): Promise<PcrValues> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
    const values = await readOnce(esys, selection)
    if (values !== "changed") return values
  }
  throw ownError("TPM_BAD_RESPONSE", "PCR_Read", `PCRs changed during each of ${MOST_ATTEMPTS} reads`)
}

async function readOnce(esys: Esys, selection: PcrSelection): Promise<PcrValues | "changed"> {
  const banks = new Map(selection.map(({ bank }) => [bank, new Map<number, Uint8Array>()]))
  let updateCounter: number | undefined
  let open = missing(selection, banks)
  do {
    const [counter, selected, digests] = await esys.call("PCR_Read", TR.none, TR.none, TR.none, encodeSelection(open))
    updateCounter ??= counter
    if (counter !== updateCounter) return "changed"
    const before = open
    take(banks, decodeSelection(selected), new Reader(digests))
    open = missing(selection, banks)
    if (open.length > 0 && count(open) === count(before)) throw inactive(open)
  } while (open.length > 0)
  return { updateCounter, banks }
}

/** What is selected and not read yet. */
function missing(selection: PcrSelection, banks: Map<HashAlgorithm, Map<number, Uint8Array>>): BankSelection[] {
  const open = selection.map(({ bank, pcrs }) => ({ bank, pcrs: pcrs.filter(index => !banks.get(bank)?.has(index)) }))
  return open.filter(({ pcrs }) => pcrs.length > 0)
}

const count = (selection: PcrSelection): number => selection.reduce((sum, { pcrs }) => sum + pcrs.length, 0)

/** A bank that is switched off answers with an empty selection and success. */
function inactive(open: PcrSelection): Error {
  const banks = open.map(({ bank }) => bank).join(", ")
  return ownError(
    "TPM_BAD_ARGUMENT",
    "PCR_Read",
    `not active: ${banks}`,
    "select among the active banks, or tpm2_pcrallocate",
  )
}

function take(banks: Map<HashAlgorithm, Map<number, Uint8Array>>, selected: PcrSelection, digests: Reader): void {
  const values = digests.list(MOST_DIGESTS, reader => reader.sized(64))
  digests.end()
  for (const { bank, pcrs } of selected) {
    for (const index of pcrs) {
      const value = values.shift()
      if (value?.length !== DIGEST_BYTES[bank])
        throw ownError("TPM_BAD_RESPONSE", "PCR_Read", `no ${bank} for ${index}`)
      banks.get(bank)?.set(index, value)
    }
  }
}

/**
 * Extends one PCR in the banks named. Name every active bank: one left out keeps its value, and a quote over it would
 * not show the event.
 *
 * @throws TpmError TPM_BAD_ARGUMENT for a digest of the wrong length; TPM_RC_LOCALITY for a PCR that is not ours
 */
export async function extendPcr(esys: Esys, index: number, digests: readonly BankDigest[]): Promise<void> {
  checkPcrIndex(index)
  for (const { bank, digest } of digests) {
    if (digest.length === DIGEST_BYTES[bank]) continue
    throw ownError("TPM_BAD_ARGUMENT", "PCR_Extend", `${digest.length} bytes are no ${bank}`)
  }
  const values = digests.map(({ bank, digest }) => join(u16(HASH_ALGORITHMS[bank]), digest))
  const list = join(u32(values.length), ...values)
  await esys.call("PCR_Extend", fixedTr(index), TR.password, TR.none, TR.none, list)
}

/** Resets one PCR: 16 and 23 from the operating system, no other (PTP, 4.6.2). @throws TpmError TPM_RC_LOCALITY */
export async function resetPcr(esys: Esys, index: number): Promise<void> {
  checkPcrIndex(index)
  await esys.call("PCR_Reset", fixedTr(index), TR.password, TR.none, TR.none)
}
