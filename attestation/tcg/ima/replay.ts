/**
 * How much of an IMA log does a quote cover? A log grows while it is read and after it was quoted, so the answer is a prefix:
 * the entries after which PCR 10 holds what was quoted. It is found by one pass over the bytes, from the beginning or from
 * where an earlier pass stopped.
 */
import { hash } from "node:crypto"
import { Malformed } from "../../wire/codec.ts"
import { digestSize, type HashAlgorithm } from "../algorithm.ts"
import { zero } from "../pcr.ts"
import { type ImaEvent, readImaEvent, spokenDigest } from "./event.ts"
import type { ImaEntry, ImaLog } from "./entry.ts"
import { claimedDigest, readEntry } from "./log.ts"

/** IMA's PCR, unless a kernel was built for another. */
export const imaPcr = 10

/**
 * What a kernel extends a bank with: the template's digest by the bank's own algorithm; or, before 5.8 and where it lacks
 * the algorithm at boot, the SHA-1 digest with zeroes behind it.
 */
export type ImaHashing = "own algorithm" | "padded sha1"

/** Where a pass over a log stands. Kept by whoever is sent suffixes only, it is where the next pass begins. */
export type ImaState = {
  readonly hashing: ImaHashing
  readonly bytes: number
  readonly entries: number
  readonly violations: number
  readonly value: Uint8Array
}

/** Before the first entry, or where a trimmed log begins if that is what is known. */
export const imaStart = (bank: HashAlgorithm, hashing: ImaHashing): ImaState => ({
  hashing,
  bytes: 0,
  entries: 0,
  violations: 0,
  value: zero(bank),
})

export type ImaReplay = {
  /** whether PCR 10 came to the quoted value: then `state` stands behind the last entry that the quote covers */
  readonly reproduced: boolean
  readonly state: ImaState
  /** entries of other PCRs among those passed, of which nothing is said */
  readonly elsewhere: number
  /** bytes behind `state`, and whether the last entry among them has no end yet */
  readonly beyond: number
  readonly cut: boolean
  /** names of the templates of the entries passed */
  readonly templates: ReadonlySet<string>
}

/**
 * Passes over `log` from `start` until PCR 10 holds `quoted`, or to its end. `log` holds the bytes that `start` has passed, the
 * same as then, which the caller made sure of; a suffix alone is passed from a start whose `bytes` are 0. Throws Malformed.
 */
export function replayImaLog(log: ImaLog, bank: HashAlgorithm, quoted: Uint8Array, start: ImaState): ImaReplay {
  if (start.bytes > log.bytes.length)
    throw new Malformed(`an IMA log of ${log.bytes.length} bytes, of which ${start.bytes} were seen before`)
  const size = digestSize[bank]
  const algorithm = start.hashing === "padded sha1" ? "sha1" : bank
  const joined = Buffer.alloc(2 * size)
  joined.set(start.value)
  let { bytes, entries, violations } = start
  let elsewhere = 0
  let cut = false
  const templates = new Set<string>()
  const last = size - 1
  const reaches = (): boolean =>
    joined[last] === quoted[last] && joined.compare(quoted, 0, quoted.length, 0, size) === 0
  while (!reaches() && bytes < log.bytes.length) {
    const entry = readEntry(log, bytes)
    if (entry === "cut") {
      cut = true
      break
    }
    if (entry.pcr !== imaPcr) elsewhere++
    else {
      templates.add(entry.template)
      if (entry.violation) violations++
      if (entry.violation) joined.fill(0xff, size)
      else if (algorithm !== bank) joined.fill(0x00, size)
      if (!entry.violation) joined.write(hash(algorithm, entry.data, "binary"), size, "binary")
      joined.write(hash(bank, joined, "binary"), 0, "binary")
    }
    entries++
    bytes = entry.end
  }
  const value = new Uint8Array(joined.subarray(0, size))
  const state = { hashing: start.hashing, bytes, entries, violations, value }
  return { reproduced: reaches(), state, elsewhere, beyond: log.bytes.length - bytes, cut, templates }
}

const mostAltered = 16

/**
 * Numbers of the entries, from `start` on, whose digest in the log is not of their data: the first few. No replay depends on
 * that digest; where a log does not come to the quoted value, these are the entries that were altered. Throws Malformed.
 */
export function alteredEntries(log: ImaLog, start: ImaState): number[] {
  const altered: number[] = []
  for (let at = start.bytes, number = start.entries; at < log.bytes.length && altered.length < mostAltered; number++) {
    const entry = readEntry(log, at)
    if (entry === "cut") break
    if (!entry.violation && !hash(log.shows, entry.data, "buffer").equals(claimedDigest(log, at))) altered.push(number)
    at = entry.end
  }
  return altered
}

/** Shows `visit` each entry of PCR 10 in the first `covered` bytes, in order, with its number. Throws Malformed. */
export function eachImaEntry(log: ImaLog, covered: number, visit: (entry: ImaEntry, number: number) => void): void {
  for (let at = 0, number = 0; at < covered; number++) {
    const entry = readEntry(log, at)
    if (entry === "cut") return
    if (entry.pcr === imaPcr) visit(entry, number)
    at = entry.end
  }
}

/**
 * Shows `visit` what each entry of PCR 10 in the first `covered` bytes says, in order, with its number. Entries of other PCRs
 * are passed over, since that prefix proves nothing of them. Throws Malformed.
 */
export const eachImaEvent = (log: ImaLog, covered: number, visit: (event: ImaEvent, number: number) => void): void =>
  eachImaEntry(log, covered, (entry, number) => visit(readImaEvent(entry), number))

/** Of the `wanted` digests, as {@link spokenDigest} writes them, those that the covered entries measured, with the last path of each. */
export function measuredIn(log: ImaLog, covered: number, wanted: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>()
  eachImaEvent(log, covered, event => {
    if (event.kind !== "measurement") return
    const digest = spokenDigest(event.digest)
    if (wanted.has(digest)) found.set(digest, event.path)
  })
  return found
}
