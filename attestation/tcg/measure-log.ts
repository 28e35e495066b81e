/**
 * What did systemd measure after the kernel took over? Its log (`/run/log/systemd/tpm2-measure.log`) is JSON in text sequences
 * (RFC 7464): a record separator, one CEL-JSON record without a number, a line feed. It continues the firmware's log in the
 * same PCRs, so both are replayed together (`replayTogether`).
 */
import { hash } from "node:crypto"
import { z } from "zod"
import { Malformed } from "../wire/codec.ts"
import { plainLine } from "../wire/text.ts"
import { digestSize, type HashAlgorithm, hashAlgorithms } from "./algorithm.ts"
import { extend, type PcrValues } from "./pcr.ts"

/** The most bytes of one record and of a log, and the most records. */
export const measureLogLimits = { record: 1 << 17, log: 1 << 22, records: 10_000 } as const

const hex = z.string().regex(/^([0-9a-fA-F]{2}){16,64}$/)

/** As systemd writes it; it adds members as it grows, so unknown ones are let be. `nv_index`: an NvPCR in place of a PCR. */
const record = z.object({
  pcr: z.int().min(0).max(23).optional(),
  nv_index: z.int().min(0).max(0xffffffff).optional(),
  digests: z.array(z.object({ hashAlg: z.string().max(32), digest: hex })).max(16),
  content_type: z.string().max(64).optional(),
  content: z.object({ string: z.string().optional(), eventType: z.string().max(64).optional() }).optional(),
})

export type MeasureRecord = {
  /** the PCR, or the NV index of an NvPCR, which no quote of PCRs covers */
  readonly register: { readonly pcr: number } | { readonly nvIndex: number }
  readonly digests: ReadonlyMap<HashAlgorithm, Uint8Array>
  readonly claimedType: string
  /** what systemd says that it measured: the digest is over it for phases and identities, not for keys */
  readonly claimedText: string
  /** whether every digest is over that text */
  readonly textIsMeasured: boolean
}

export type MeasureLog = {
  readonly records: readonly MeasureRecord[]
  /** bytes at the end that are no whole record yet: the log was read while it was written */
  readonly unfinished: number
}

/** The records of a log. Throws Malformed. */
export function readMeasureLog(bytes: Uint8Array): MeasureLog {
  if (bytes.length > measureLogLimits.log)
    throw new Malformed(`a measurement log of ${bytes.length} bytes exceeds ${measureLogLimits.log}`)
  const records: MeasureRecord[] = []
  let at = 0
  while (at < bytes.length) {
    const end = bytes.indexOf(0x0a, at)
    if (bytes[at] !== 0x1e) throw new Malformed(`record ${records.length} does not begin with a record separator`)
    if (end < 0) return { records, unfinished: bytes.length - at }
    if (records.length === measureLogLimits.records)
      throw new Malformed(`more than ${measureLogLimits.records} records`)
    records.push(readRecord(bytes.subarray(at + 1, end), records.length))
    at = end + 1
  }
  return { records, unfinished: 0 }
}

function readRecord(bytes: Uint8Array, index: number): MeasureRecord {
  if (bytes.length > measureLogLimits.record)
    throw new Malformed(`record ${index} of ${bytes.length} bytes exceeds ${measureLogLimits.record}`)
  const { pcr, nv_index: nvIndex, digests, content } = parse(bytes, index)
  const register = pcr === undefined ? (nvIndex === undefined ? undefined : { nvIndex }) : { pcr }
  if (!register || (pcr !== undefined && nvIndex !== undefined))
    throw new Malformed(`record ${index} names no PCR, or an NV index besides`)
  const known = readDigests(digests, index)
  const text = content?.string
  return {
    register,
    digests: known,
    claimedType: plainLine(content?.eventType ?? "", 64),
    claimedText: plainLine(text ?? "", 1024),
    textIsMeasured: text !== undefined && [...known].every(([bank, digest]) => digestOf(bank, text).equals(digest)),
  }
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

function parse(bytes: Uint8Array, index: number): z.infer<typeof record> {
  try {
    return record.parse(JSON.parse(utf8.decode(bytes)))
  } catch (error) {
    const why = error instanceof z.ZodError ? (error.issues[0]?.message ?? "") : "no JSON in UTF-8"
    throw new Malformed(`record ${index} is no measurement: ${why}`)
  }
}

/** systemd names algorithms as this project does; those that it does not know are left out. */
function readDigests(digests: z.infer<typeof record>["digests"], index: number): Map<HashAlgorithm, Uint8Array> {
  const known = new Map<HashAlgorithm, Uint8Array>()
  for (const { hashAlg, digest } of digests) {
    const bank = hashAlgorithms.find(each => each === hashAlg)
    if (!bank) continue
    if (digest.length !== 2 * digestSize[bank] || known.has(bank))
      throw new Malformed(`record ${index} has a ${bank} digest twice, or of ${digest.length / 2} bytes`)
    known.set(bank, Buffer.from(digest, "hex"))
  }
  return known
}

const digestOf = (bank: HashAlgorithm, text: string): Buffer => hash(bank, Buffer.from(text, "utf8"), "buffer")

export type Together = {
  /** how many records of the measurement log the quote covers: it may have grown since */
  readonly records: number
  /** the values after them, of every PCR that either log extends */
  readonly values: PcrValues
  /** PCRs of `quoted` whose value is another one, or that some record extends without a digest in the bank */
  readonly differing: readonly number[]
}

/**
 * Continues what the firmware log comes to with as many records as give the quoted values: none, some or all. Where no
 * number of records does, the one that leaves the fewest PCRs differing is taken, the larger of equals.
 *
 * @param start PCR → value after the firmware log; a PCR that it does not extend begins with zeroes
 * @param quoted PCR → quoted value of those PCRs that the logs must account for
 */
export function replayTogether(
  start: PcrValues,
  records: readonly MeasureRecord[],
  bank: HashAlgorithm,
  quoted: PcrValues,
): Together {
  const values = new Map(start)
  const differing = new Set([...quoted.keys()].filter(pcr => !reaches(values, bank, quoted, pcr)))
  let best = { records: 0, values: new Map(values), differing: [...differing] }
  const lacking = new Set<number>()
  records.forEach(({ register, digests }, i) => {
    if (!("pcr" in register)) return
    const { pcr } = register
    const digest = digests.get(bank)
    if (!digest) lacking.add(pcr)
    else values.set(pcr, extend(bank, values.get(pcr) ?? new Uint8Array(digestSize[bank]), digest))
    if (reaches(values, bank, quoted, pcr) && !lacking.has(pcr)) differing.delete(pcr)
    else if (quoted.has(pcr)) differing.add(pcr)
    if (differing.size <= best.differing.length)
      best = { records: i + 1, values: new Map(values), differing: [...differing] }
  })
  return best
}

function reaches(values: PcrValues, bank: HashAlgorithm, quoted: PcrValues, pcr: number): boolean {
  const value = values.get(pcr) ?? new Uint8Array(digestSize[bank])
  return Buffer.compare(value, quoted.get(pcr) ?? value) === 0
}
