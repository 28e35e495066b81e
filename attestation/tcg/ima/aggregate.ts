/** Does an IMA log belong to this boot? Its first entry is a digest over the PCRs that the boot had extended by then. */
import { hash } from "node:crypto"
import type { HashAlgorithm } from "../algorithm.ts"
import type { PcrValues } from "../pcr.ts"
import type { ImaEvent } from "./event.ts"

export type BootAggregate =
  | { readonly judged: "matches" }
  | { readonly judged: "differs"; readonly seen: string; readonly wanted: string }
  /** there is none first, or it is over another bank or over PCRs whose values are not known */
  | { readonly judged: "not checkable"; readonly why: string }

/** How many PCRs kernels hash, from 0 on: with SHA-1 the first eight, otherwise ten, early versions eight (security/integrity/ima/ima_crypto.c). */
const counts = (bank: HashAlgorithm): readonly number[] => (bank === "sha1" ? [8] : [10, 8])

/**
 * Compares the log's first event with `boot`, the values of `bank` when the kernel took over: as the firmware log gives them,
 * since what comes later extends PCR 9 too.
 */
export function judgeBootAggregate(first: ImaEvent | undefined, bank: HashAlgorithm, boot: PcrValues): BootAggregate {
  if (first?.kind !== "measurement" || first.path !== "boot_aggregate")
    return { judged: "not checkable", why: "the log does not begin with a boot aggregate" }
  const { algorithm, value } = first.digest
  if (algorithm !== bank) return { judged: "not checkable", why: `it is over the ${algorithm} bank, not ${bank}` }
  const [wanted, early] = counts(bank).map(count => aggregate(bank, boot, count))
  if (value === wanted || value === early) return { judged: "matches" }
  return wanted === undefined
    ? { judged: "not checkable", why: "not all PCRs that it is over are known" }
    : { judged: "differs", seen: value, wanted }
}

function aggregate(bank: HashAlgorithm, boot: PcrValues, count: number): string | undefined {
  const values = Array.from({ length: count }, (_, pcr) => boot.get(pcr))
  return values.includes(undefined) ? undefined : hash(bank, Buffer.concat(values.filter(value => value !== undefined)))
}
