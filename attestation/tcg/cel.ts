/**
 * What was written in our event log? TCG Canonical Event Log, JSON encoding, one record a line.
 *
 * Neither `recnum` nor `content_type` is measured by a TPM, and parsers write JSON anew, so `content` is one JSON string
 * with its type inside, and each bank's digest is over that string's UTF-8 bytes. What a content says: `protocol/event.ts`.
 */
import { hash } from "node:crypto"
import { z } from "zod"
import { Malformed } from "../wire/codec.ts"
import { readExact, writeExact } from "../wire/json.ts"
import { count } from "../wire/text.ts"
import { type HashAlgorithm, hashIdentifiers } from "./algorithm.ts"
import { Register, zero } from "./pcr.ts"

/** The most bytes that one record and one log may have, and the most records. */
export const celLimits = { record: 1 << 20, log: 1 << 24, records: 100_000 } as const

const bankNames = Object.keys(hashIdentifiers) as HashAlgorithm[]
const digest = z.strictObject({ hashAlg: z.enum(bankNames), digest: z.string().max(128) })

const record = z.strictObject({
  recnum: count(celLimits.records),
  pcr: count(23),
  digests: z.array(digest).min(1).max(4),
  content_type: z.literal("assay"),
  content: z.string().max(celLimits.record),
})
export type CelRecord = z.infer<typeof record>

/** A record over `content` for the banks that are active, in their order. */
export function celRecord(recnum: number, pcr: number, banks: readonly HashAlgorithm[], content: string): CelRecord {
  const digests = banks.map(bank => ({ hashAlg: bank, digest: hash(bank, content, "hex") }))
  return { recnum, pcr, digests, content_type: "assay", content }
}

/** The line of `entry`, its end of line included. Throws Malformed if it would not be read back. */
export function writeCelLine(entry: CelRecord): Uint8Array {
  const line = writeExact(record, entry)
  readRecord(line, entry.recnum)
  return new Uint8Array(Buffer.concat([line, Buffer.from("\n")]))
}

/** The records of a log, in order and numbered from 0. Throws Malformed, at the first record that is not as it must be. */
export function readCel(log: Uint8Array): CelRecord[] {
  if (log.length > celLimits.log) throw new Malformed(`a log of ${log.length} bytes exceeds ${celLimits.log}`)
  const lines = splitLines(log)
  if (lines.length > celLimits.records) throw new Malformed(`${lines.length} records exceed ${celLimits.records}`)
  return lines.map((line, i) => readRecord(line, i))
}

function splitLines(log: Uint8Array): Uint8Array[] {
  const lines: Uint8Array[] = []
  for (let start = 0; start < log.length; ) {
    const end = log.indexOf(0x0a, start)
    if (end < 0) throw new Malformed("the log's last record has no end")
    lines.push(log.subarray(start, end))
    start = end + 1
  }
  return lines
}

function readRecord(line: Uint8Array, position: number): CelRecord {
  try {
    const entry = readExact(record, line, celLimits.record)
    if (entry.recnum !== position) throw new Malformed(`says that it is record ${entry.recnum}`)
    entry.digests.forEach(({ hashAlg, digest }, i) => {
      if (entry.digests.findIndex(each => each.hashAlg === hashAlg) < i) throw new Malformed("names a bank twice")
      if (hash(hashAlg, entry.content, "hex") !== digest)
        throw new Malformed(`its ${hashAlg} digest is not of its content`)
    })
    return entry
  } catch (error) {
    if (error instanceof Malformed) throw new Malformed(`record ${position}: ${error.message}`)
    throw error
  }
}

/** What the PCR holds after the records, starting from zero. Throws Malformed where a record lacks the bank or names another PCR. */
export function replayCel(records: readonly CelRecord[], pcr: number, bank: HashAlgorithm): Uint8Array {
  const register = new Register(bank, zero(bank))
  for (const entry of records) {
    const own = entry.digests.find(each => each.hashAlg === bank)
    if (entry.pcr !== pcr) throw new Malformed(`record ${entry.recnum} is of PCR ${entry.pcr}, not ${pcr}`)
    if (!own) throw new Malformed(`record ${entry.recnum} has no ${bank} digest`)
    register.extend(Buffer.from(own.digest, "hex"))
  }
  return register.value
}
