/**
 * How does one epoch's log lie on disk? As CEL-JSON lines, each on disk before it is extended, with the running digest and
 * the PCR value that it gives kept beside it, so that nothing is read twice. Which epoch, and the TPM: `measured-log.ts`.
 */
import { createHash, type Hash } from "node:crypto"
import { type FileHandle, open } from "node:fs/promises"
import { dirname } from "node:path"
import { type CelRecord, celLimits, readCel, writeCelLine } from "../../attestation/tcg/cel.ts"
import { extend, zero } from "../../attestation/tcg/pcr.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { fromHex } from "../../attestation/wire/text.ts"
import { Fault } from "./fault.ts"
import { syncDirectory } from "./state.ts"

/** Where a log stands. `hash` is never updated in place. `replayed` is what the PCR (sha256) holds after all records. */
type Standing = {
  readonly records: number
  readonly length: number
  readonly hash: Hash
  readonly replayed: Uint8Array
}

/** A log as it was found: its records, or why they cannot be read. */
export type Found = { readonly log: EventLog; readonly records: readonly CelRecord[] | Malformed }

export class EventLog {
  readonly path: string
  readonly #file: FileHandle
  #standing: Standing
  #before: Standing

  private constructor(path: string, file: FileHandle, standing: Standing) {
    this.path = path
    this.#file = file
    this.#standing = standing
    this.#before = standing
  }

  /** Opens the log at `path`, or begins it. A last line without an end was never extended, and is cut off. */
  static async open(path: string): Promise<Found> {
    const file = await open(path, "a+", 0o600)
    try {
      const bytes = await wholeLines(path, file)
      const records = readRecords(bytes)
      await syncDirectory(dirname(path))
      return { log: new EventLog(path, file, standingOf(bytes, records)), records }
    } catch (error) {
      await file.close()
      throw error
    }
  }

  get records(): number {
    return this.#standing.records
  }
  /** In bytes. */
  get length(): number {
    return this.#standing.length
  }
  /** SHA-256 of the whole log, in hex. */
  get digest(): string {
    return this.#standing.hash.copy().digest("hex")
  }
  /** What the PCR holds in the sha256 bank, if nobody else extended it. */
  get replayed(): Uint8Array {
    return this.#standing.replayed
  }

  /** Writes `record`, and resolves when it survives a power failure. Throws Fault when there is no room. */
  async append(record: CelRecord): Promise<void> {
    const line = writeCelLine(record)
    this.#requireRoom(line)
    try {
      await this.#file.appendFile(line)
      await this.#file.datasync()
    } catch (error) {
      await this.#cut()
      throw new Fault(`cannot write ${this.path}: ${String(error)}`, "make room on the disk that holds it")
    }
    this.#before = this.#standing
    this.#standing = next(this.#standing, record, line)
  }

  /** Takes back the record appended last, which the TPM refused. */
  async withdraw(): Promise<void> {
    this.#standing = this.#before
    await this.#cut()
  }

  /** At most `length` bytes from `offset` on. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const wanted = Math.max(0, Math.min(length, this.length - offset))
    const bytes = new Uint8Array(wanted)
    const { bytesRead } = await this.#file.read(bytes, 0, wanted, offset)
    if (bytesRead !== wanted) throw new Fault(`${this.path} was cut short`, "find out who writes to the broker's state")
    return bytes
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  #requireRoom(line: Uint8Array): void {
    const { records, length } = this.#standing
    const hint = "find the source that writes so much; a new log begins with the next boot"
    if (line.length - 1 > celLimits.record)
      throw new Fault(`a record of ${line.length} bytes exceeds ${celLimits.record}`, hint)
    if (records >= celLimits.records || length + line.length > celLimits.log)
      throw new Fault(`this epoch's log is full: ${records} records, ${length} bytes`, hint)
  }

  async #cut(): Promise<void> {
    await this.#file.truncate(this.#standing.length)
    await this.#file.datasync()
  }
}

function next(standing: Standing, record: CelRecord, line: Uint8Array): Standing {
  return {
    records: standing.records + 1,
    length: standing.length + line.length,
    hash: standing.hash.copy().update(line),
    replayed: extend("sha256", standing.replayed, sha256Of(record)),
  }
}

/** The digest of `record` for the sha256 bank, which every log has. */
export function sha256Of(record: CelRecord): Uint8Array {
  return fromHex(record.digests.find(each => each.hashAlg === "sha256")?.digest ?? "")
}

async function wholeLines(path: string, file: FileHandle): Promise<Uint8Array> {
  const { size } = await file.stat()
  const most = celLimits.log + celLimits.record
  if (size > most) throw new Fault(`${path} has ${size} bytes, more than any log`, "move it away")
  const bytes = await file.readFile()
  const end = bytes.lastIndexOf(0x0a) + 1
  if (end === bytes.length) return bytes
  await file.truncate(end)
  await file.datasync()
  return bytes.subarray(0, end)
}

function readRecords(bytes: Uint8Array): CelRecord[] | Malformed {
  try {
    return readCel(bytes)
  } catch (error) {
    if (error instanceof Malformed) return error
    throw error
  }
}

/** Of a log that cannot be read, at least how many lines it has: what comes after keeps its place. */
function standingOf(bytes: Uint8Array, records: readonly CelRecord[] | Malformed): Standing {
  const unreadable = records instanceof Malformed
  return {
    records: unreadable ? bytes.reduce((lines, byte) => lines + (byte === 0x0a ? 1 : 0), 0) : records.length,
    length: bytes.length,
    hash: createHash("sha256").update(bytes),
    replayed: unreadable ? zero("sha256") : replay(records),
  }
}

/** What the PCR holds in the sha256 bank after `records`. */
export const replay = (records: readonly CelRecord[]): Uint8Array =>
  records.reduce((value, record) => extend("sha256", value, sha256Of(record)), zero("sha256"))
