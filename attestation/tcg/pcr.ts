/** Which PCRs, in which bank, and what do they hold? TPM 2.0 Library, Part 2, 10.6 (TPMS_PCR_SELECTION) and Part 1, 17. */
import { createHash, hash } from "node:crypto"
import { type Codec, counted, list, Malformed, struct, u8 } from "../wire/codec.ts"
import { digestSize, type HashAlgorithm, hashAlgorithm } from "./algorithm.ts"

/** The PCRs asked for in one bank, ascending. */
export type PcrSelection = { readonly bank: HashAlgorithm; readonly pcrs: readonly number[] }
/** PCR index → value of one bank. */
export type PcrValues = ReadonlyMap<number, Uint8Array>

const rawSelection = struct({ bank: hashAlgorithm, select: counted(4, u8) })

/** TPMS_PCR_SELECTION: bit i of byte j is PCR 8j + i. Written with the three bytes of a PC client TPM. */
export const pcrSelection: Codec<PcrSelection> = {
  read: from => {
    const { bank, select } = rawSelection.read(from)
    return { bank, pcrs: selected(select) }
  },
  write: (to, { bank, pcrs }) => {
    const select = new Uint8Array(3)
    for (const pcr of pcrs) {
      if (!(pcr >= 0 && pcr < 24)) throw new RangeError(`there is no PCR ${pcr}`)
      select[pcr >> 3]! |= 1 << (pcr & 7)
    }
    rawSelection.write(to, { bank, select })
  },
}

/** TPML_PCR_SELECTION, of at most one selection a bank. */
export const pcrSelections = list(pcrSelection, 4)

function selected(select: Uint8Array): number[] {
  const pcrs: number[] = []
  for (let pcr = 0; pcr < 8 * select.length; pcr++) if ((select[pcr >> 3] ?? 0) & (1 << (pcr & 7))) pcrs.push(pcr)
  return pcrs
}

/** Nothing is kept here between two calls: a log has thousands of entries, and a buffer for each costs more than its hash. */
const joined = Buffer.alloc(128)

/** What a PCR becomes when `digest` is extended into it (Part 1, 17.2.3). */
export function extend(bank: HashAlgorithm, value: Uint8Array, digest: Uint8Array): Uint8Array {
  if (value.length + digest.length > joined.length) throw new RangeError("no bank has such long digests")
  joined.set(value)
  joined.set(digest, value.length)
  const size = joined.write(hash(bank, joined.subarray(0, value.length + digest.length), "binary"), "binary")
  return new Uint8Array(joined.subarray(0, size))
}

/** A PCR that nobody extended since it was reset to zero. */
export const zero = (bank: HashAlgorithm): Uint8Array => new Uint8Array(digestSize[bank])

/** What a quote signs in place of the values: their hash, in ascending order of index (Part 3, 18.4, pcrDigest). Throws Malformed where one has no value. */
export function compositeDigest(hash: HashAlgorithm, pcrs: readonly number[], values: PcrValues): Uint8Array {
  const composite = createHash(hash)
  for (const pcr of pcrs) {
    const value = values.get(pcr)
    if (!value) throw new Malformed(`PCR ${pcr} has no value`)
    composite.update(value)
  }
  return new Uint8Array(composite.digest())
}
