/**
 * What is this TPM, what does it hold, and what does it give to anyone who asks? Capabilities, clock and random bytes.
 */
import { ownError } from "./error.ts"
import { type Esys, TR } from "./esys.ts"
import { type BankSelection, readSelection } from "./selection.ts"
import { payload, Reader } from "./wire.ts"

/** TPM_CAP (Part 2, 6.12). */
const CAP_HANDLES = 1
const CAP_COMMANDS = 2
const CAP_AUDIT_COMMANDS = 4
const CAP_PCRS = 5
const CAP_PROPERTIES = 6

/** TPM_PT (Part 2, 6.13): the ones this package uses by name. */
export const PROPERTY = {
  familyIndicator: 0x100,
  revision: 0x102,
  manufacturer: 0x105,
  vendorString1: 0x106,
  firmwareVersion1: 0x10b,
  firmwareVersion2: 0x10c,
  nvBufferMax: 0x12c,
  permanent: 0x200,
} as const

/** Who made the TPM. Text as the TPM reports it: not proof, the EK certificate is. */
export interface TpmIdentity {
  /** Four letters of the TCG vendor registry: `INTC`, `IFX`, `AMD`, `IBM`. */
  readonly manufacturer: string
  readonly vendor: string
  /** 64 bits, the vendor's own meaning. */
  readonly firmwareVersion: bigint
  /** TPM_PT_REVISION times 100: 138 for 1.38, 159, 183, … */
  readonly revision: number
}

/** TPMS_TIME_INFO (Part 2, 10.11.6). */
export interface TpmTime {
  /** Milliseconds since the last _TPM_Init. */
  readonly time: bigint
  /** Milliseconds of TPM operation; goes back a little when power fails. */
  readonly clock: bigint
  readonly resetCount: number
  readonly restartCount: number
  /** Whether `clock` was surely never higher than now. */
  readonly safe: boolean
}

/** The kind of handle to list, by its first byte (TPM_HT, Part 2, 7.2). */
export type HandleKind = "nv" | "transient" | "persistent" | "loaded-session" | "saved-session"

const FIRST_HANDLE: Readonly<Record<HandleKind, number>> = {
  nv: 0x01000000,
  "loaded-session": 0x02000000,
  "saved-session": 0x03000000,
  transient: 0x80000000,
  persistent: 0x81000000,
}

/** No TPM has more pages than this; a lying one must not hold us in a loop. */
const MOST_PAGES = 64
const MOST_RANDOM = 4096

/** All fixed and variable properties (TPM_PT to value). */
export async function readProperties(esys: Esys): Promise<ReadonlyMap<number, number>> {
  const pairs = [
    ...(await readAll(esys, CAP_PROPERTIES, PROPERTY.familyIndicator, readProperty, ([tag]) => tag + 1)),
    ...(await readAll(esys, CAP_PROPERTIES, PROPERTY.permanent, readProperty, ([tag]) => tag + 1)),
  ]
  return new Map(pairs)
}

const readProperty = (reader: Reader): [number, number] => [reader.u32(), reader.u32()]

/** One property. @throws TpmError TPM_BAD_RESPONSE if the TPM does not have it */
export async function readPropertyOf(esys: Esys, tag: number): Promise<number> {
  const [pair] = (await readPage(esys, CAP_PROPERTIES, tag, 1, readProperty)).items
  if (pair?.[0] === tag) return pair[1]
  throw ownError("TPM_BAD_RESPONSE", "GetCapability", `the TPM has no property 0x${tag.toString(16)}`)
}

/** Maker, vendor's text, firmware version and specification revision. */
export async function readIdentity(esys: Esys): Promise<TpmIdentity> {
  const properties = await readProperties(esys)
  const value = (tag: number): number => properties.get(tag) ?? 0
  const vendor = [0, 1, 2, 3].map(index => letters(value(PROPERTY.vendorString1 + index))).join("")
  return {
    manufacturer: letters(value(PROPERTY.manufacturer)).trim(),
    vendor: vendor.trim(),
    firmwareVersion: (BigInt(value(PROPERTY.firmwareVersion1)) << 32n) | BigInt(value(PROPERTY.firmwareVersion2)),
    revision: value(PROPERTY.revision),
  }
}

/** Four bytes as text, printable ASCII only. */
function letters(value: number): string {
  const bytes = [value >>> 24, value >>> 16, value >>> 8, value].map(part => part & 0xff)
  return String.fromCharCode(...bytes.filter(byte => byte >= 0x20 && byte < 0x7f))
}

/** The banks that are active, each with its PCRs. A bank that is switched off is left out. */
export async function readBanks(esys: Esys): Promise<BankSelection[]> {
  const data = await readCapability(esys, CAP_PCRS, 0, 1)
  const banks = readSelection(data.reader)
  data.reader.end()
  return banks.filter(bank => bank.pcrs.length > 0)
}

/** The command codes (TPM_CC) that the TPM implements. */
export function readCommands(esys: Esys): Promise<number[]> {
  const COMMAND_INDEX = 0xffff // TPMA_CC (Part 2, 8.9): bits 0 to 15, and bit 29 for a vendor's own
  const VENDOR = 0x20000000
  const code = (reader: Reader): number => reader.u32() & (COMMAND_INDEX | VENDOR)
  return readAll(esys, CAP_COMMANDS, 0, code, last => last + 1)
}

/** The command codes that are under command audit (TPM2_SetCommandCodeAuditStatus). */
export function readAuditedCommands(esys: Esys): Promise<number[]> {
  return readAll(
    esys,
    CAP_AUDIT_COMMANDS,
    0,
    reader => reader.u32(),
    last => last + 1,
  )
}

/** The handles of one kind. */
export function readHandles(esys: Esys, kind: HandleKind): Promise<number[]> {
  return readAll(
    esys,
    CAP_HANDLES,
    FIRST_HANDLE[kind],
    reader => reader.u32(),
    last => last + 1,
  )
}

/** Random bytes from the TPM, which gives 64 at most at a time, whatever it is asked for. */
export async function readRandom(esys: Esys, length: number): Promise<Uint8Array> {
  if (!(Number.isInteger(length) && length >= 0 && length <= MOST_RANDOM)) {
    throw ownError("TPM_BAD_ARGUMENT", "GetRandom", `${length} is no number of bytes up to ${MOST_RANDOM}`)
  }
  const random = new Uint8Array(length)
  for (let at = 0; at < length; ) {
    const wanted = Math.min(32, length - at)
    const [wire] = await esys.call("GetRandom", TR.none, TR.none, TR.none, wanted)
    const some = payload(wire).subarray(0, wanted)
    if (some.length === 0) throw ownError("TPM_BAD_RESPONSE", "GetRandom", "the TPM gave nothing")
    random.set(some, at)
    at += some.length
  }
  return random
}

/** Clock and counters, unsigned. */
export async function readClock(esys: Esys): Promise<TpmTime> {
  const [info] = await esys.call("ReadClock", TR.none, TR.none, TR.none)
  const reader = new Reader(info)
  const [time, clock] = [reader.u64(), reader.u64()]
  const [resetCount, restartCount, safe] = [reader.u32(), reader.u32(), reader.u8() === 1]
  reader.end()
  return { time, clock, resetCount, restartCount, safe }
}

async function readAll<T>(
  esys: Esys,
  capability: number,
  first: number,
  item: (reader: Reader) => T,
  after: (last: T) => number,
): Promise<T[]> {
  const all: T[] = []
  let from = first
  for (let page = 0; page < MOST_PAGES; page++) {
    const { more, items } = await readPage(esys, capability, from, 64, item)
    all.push(...items)
    const last = items.at(-1)
    if (!more || last === undefined) return all
    from = after(last)
  }
  throw ownError("TPM_BAD_RESPONSE", "GetCapability", "the TPM always has more to say")
}

async function readPage<T>(
  esys: Esys,
  capability: number,
  first: number,
  count: number,
  item: (reader: Reader) => T,
): Promise<{ more: boolean; items: T[] }> {
  const { more, reader } = await readCapability(esys, capability, first, count)
  const items = reader.list(1024, item)
  reader.end()
  return { more, items }
}

async function readCapability(esys: Esys, capability: number, first: number, count: number) {
  const [more, data] = await esys.call("GetCapability", TR.none, TR.none, TR.none, capability, first, count)
  const reader = new Reader(data)
  if (reader.u32() === capability) return { more: more !== 0, reader }
  throw ownError("TPM_BAD_RESPONSE", "GetCapability", "the TPM answers another question than asked")
}
