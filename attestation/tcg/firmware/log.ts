/**
 * Which events does a firmware log hold? TCG PC Client Platform Firmware Profile, 10.2 (crypto agile) and, from before it,
 * SHA-1 only. What they add up to is asked in `replay.ts`, whether they are where they may be in `grammar.ts`.
 *
 * Nothing in the log is signed. A type is a claim; a digest is proven by a quote; data is proven where a digest is over it.
 */
import { type Codec, counted, Malformed, Reader, u8 } from "../../wire/codec.ts"
import { type HashAlgorithm, hashAlgorithms, hashIdentifiers } from "../algorithm.ts"
import { le16, le32 } from "../little-endian.ts"
import { eventTypes } from "./event-type.ts"

/** The most bytes of a log and of one event's data, the most events, and the most digests of one event. */
export const firmwareLimits = { log: 1 << 24, data: 1 << 22, events: 1 << 16, algorithms: 8 } as const

/** Bytes in a digest of each algorithm that a log may name (TCG Algorithm Registry), by its identifier. */
const sizeByIdentifier: ReadonlyMap<number, number> = new Map([
  [0x04, 20],
  [0x0b, 32],
  [0x0c, 48],
  [0x0d, 64],
  [0x12, 32],
  [0x27, 32],
  [0x28, 48],
  [0x29, 64],
])

const bankByIdentifier: ReadonlyMap<number, HashAlgorithm> = new Map(
  hashAlgorithms.map(bank => [hashIdentifiers[bank], bank]),
)

export type FirmwareEvent = {
  /** its place in the log, the Spec ID event's being 0 */
  readonly index: number
  readonly pcr: number
  readonly claimedType: number
  readonly digests: ReadonlyMap<HashAlgorithm, Uint8Array>
  readonly data: Uint8Array
}

export type FirmwareLog = {
  readonly format: "crypto agile" | "sha1 only"
  /** the banks that the log announces, of those that this project knows */
  readonly banks: readonly HashAlgorithm[]
  /** all events, those that extend nothing (EV_NO_ACTION) included; the Spec ID event excluded */
  readonly events: readonly FirmwareEvent[]
}

const eventData = counted(firmwareLimits.data, le32)

/** The events in `bytes`, which may be followed by padding of one value (all 0x00 or all 0xff). Throws Malformed. */
export function readFirmwareLog(bytes: Uint8Array): FirmwareLog {
  if (bytes.length > firmwareLimits.log)
    throw new Malformed(`a firmware log of ${bytes.length} bytes exceeds ${firmwareLimits.log}`)
  if (paddingOf(bytes) === 0) throw new Malformed("the firmware log is empty")
  const from = new Reader(bytes)
  const first = readEvent(from, 0, sha1Digest)
  const announced = readSpecId(first, from)
  if (announced === "none")
    return { format: "sha1 only", banks: ["sha1"], events: [first, ...readEvents(from, bytes, sha1Digest)] }
  const banks = [...announced.keys()].flatMap(identifier => bankByIdentifier.get(identifier) ?? [])
  return { format: "crypto agile", banks, events: readEvents(from, bytes, digestsOf(announced)) }
}

function readEvents(from: Reader, bytes: Uint8Array, digests: Digests): FirmwareEvent[] {
  const events: FirmwareEvent[] = []
  const padding = paddingOf(bytes)
  while (from.left > 0 && from.at < padding) {
    if (events.length === firmwareLimits.events) throw new Malformed(`more than ${firmwareLimits.events} events`)
    events.push(readEvent(from, events.length + 1, digests))
  }
  return events
}

/** Where the bytes begin that are all 0x00 or all 0xff up to the end: what is left of a log's buffer. */
function paddingOf(bytes: Uint8Array): number {
  const value = bytes.at(-1)
  if (value !== 0x00 && value !== 0xff) return bytes.length
  return bytes.findLastIndex(byte => byte !== value) + 1
}

type Digests = Pick<Codec<ReadonlyMap<HashAlgorithm, Uint8Array>>, "read">

/** TCG_PCR_EVENT: one SHA-1 digest, uncounted. */
const sha1Digest: Digests = { read: from => new Map([["sha1", from.take(20)]]) }

/** TPML_DIGEST_VALUES of the announced algorithms, each at most once, in any order. Firmware may leave some out. */
function digestsOf(announced: ReadonlyMap<number, number>): Digests {
  return {
    read: from => {
      const number = le32.read(from)
      if (number === 0 || number > announced.size) throw new Malformed(`${number} digests where ${announced.size} are`)
      const seen = new Set<number>()
      const digests = new Map<HashAlgorithm, Uint8Array>()
      for (let i = 0; i < number; i++) {
        const identifier = le16.read(from)
        const size = announced.get(identifier)
        if (size === undefined) throw new Malformed(`algorithm 0x${identifier.toString(16)} is not announced`)
        if (seen.has(identifier)) throw new Malformed(`algorithm 0x${identifier.toString(16)} twice`)
        seen.add(identifier)
        const digest = from.take(size)
        const bank = bankByIdentifier.get(identifier)
        if (bank) digests.set(bank, digest)
      }
      return digests
    },
  }
}

function readEvent(from: Reader, index: number, digests: Digests): FirmwareEvent {
  const at = from.at
  try {
    const pcr = le32.read(from)
    const claimedType = le32.read(from)
    // Windows logs what it does not measure under the PCR -1.
    if (pcr > 23 && claimedType !== eventTypes.NO_ACTION) throw new Malformed(`there is no PCR ${pcr}`)
    return { index, pcr, claimedType, digests: digests.read(from), data: eventData.read(from) }
  } catch (error) {
    if (error instanceof Malformed) throw new Malformed(`event ${index} at byte ${at}: ${error.message}`)
    throw error
  }
}

const signature = Buffer.from("Spec ID Event03\0", "latin1")

/**
 * The algorithms (identifier → digest size) that a TCG_EfiSpecIDEvent announces, or "none" where this is no such event.
 * Some writers leave the vendor's information out of the event's size: then it is what comes next.
 */
function readSpecId({ claimedType, data }: FirmwareEvent, next: Reader): ReadonlyMap<number, number> | "none" {
  if (claimedType !== eventTypes.NO_ACTION || !signature.equals(data.subarray(0, signature.length))) return "none"
  const from = new Reader(data.subarray(signature.length))
  le32.read(from)
  const [minor, major] = from.take(4)
  if (major !== 2 || minor !== 0) throw new Malformed(`Spec ID event of version ${major}.${minor}, not 2.0`)
  const announced = readAlgorithms(from)
  const vendorInfo = u8.read(from)
  const beside = from.left === 0 ? next : from
  beside.take(vendorInfo)
  if (from.left > 0) throw new Malformed(`Spec ID event with ${from.left} bytes too many`)
  return announced
}

function readAlgorithms(from: Reader): ReadonlyMap<number, number> {
  const number = le32.read(from)
  if (number === 0 || number > firmwareLimits.algorithms) throw new Malformed(`Spec ID event of ${number} algorithms`)
  const announced = new Map<number, number>()
  for (let i = 0; i < number; i++) {
    const identifier = le16.read(from)
    const size = le16.read(from)
    if (sizeByIdentifier.get(identifier) !== size || announced.has(identifier))
      throw new Malformed(`Spec ID event announces algorithm 0x${identifier.toString(16)} of ${size} bytes`)
    announced.set(identifier, size)
  }
  return announced
}
