/** Which PCRs, in which bank, and what do they hold? TPM 2.0 Library, Part 2, 10.6 (TPMS_PCR_SELECTION) and Part 1, 17. */
import { hash } from "node:crypto"
import { type Codec, counted, list, Malformed, struct, u8 } from "../wire/codec.ts"
import { digestOf } from "../wire/digest.ts"
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

/** A PCR that is extended again and again, all of it in one buffer: a log has thousands of entries. */
export class Register {
  readonly #bank: HashAlgorithm
  readonly #size: number
  readonly #joined: Buffer

  /** @param value what it holds at first */
  constructor(bank: HashAlgorithm, value: Uint8Array) {
    this.#bank = bank
    this.#size = digestSize[bank]
    this.#joined = Buffer.alloc(2 * this.#size)
    this.#joined.set(value)
  }

  /** Throws RangeError for a digest of another bank's length (Part 1, 17.2.3). */
  extend(digest: Uint8Array): void {
    if (digest.length !== this.#size) throw new RangeError(`no digest of ${this.#bank} has ${digest.length} bytes`)
    this.#joined.set(digest, this.#size)
    this.#joined.write(hash(this.#bank, this.#joined, "binary"), "binary")
  }

  /** A copy. */
  get value(): Uint8Array {
    return new Uint8Array(this.#joined.subarray(0, this.#size))
  }
}

/** What a PCR becomes when `digest` is extended into it. */
export function extend(bank: HashAlgorithm, value: Uint8Array, digest: Uint8Array): Uint8Array {
  const register = new Register(bank, value)
  register.extend(digest)
  return register.value
}

/** A PCR that nobody extended since it was reset to zero. */
export const zero = (bank: HashAlgorithm): Uint8Array => new Uint8Array(digestSize[bank])

/** What a quote signs in place of the values: their hash, in ascending order of index (Part 3, 18.4, pcrDigest). Throws Malformed where one has no value. */
export function compositeDigest(algorithm: HashAlgorithm, pcrs: readonly number[], values: PcrValues): Uint8Array {
  const composite = pcrs.map(pcr => {
    const value = values.get(pcr)
    if (!value) throw new Malformed(`PCR ${pcr} has no value`)
    return value
  })
  return digestOf(algorithm, Buffer.concat(composite))
}
