/**
 * Does the log say what the PCR holds? A record is on disk before it is extended, so after a crash at any moment the log is
 * at most one record ahead, and that one is extended at the next start. Epochs come from the TPM's counters: whenever they
 * moved, a new log begins. How a log lies on disk: `event-log.ts`.
 */
import { createHash } from "node:crypto"
import { readdir, rename, rm, stat } from "node:fs/promises"
import { z } from "zod"
import type { BankDigest, Tpm } from "../../node-tpm2/index.ts"
import { type EpochEvent, type LogEvent, readEvent, writeEvent } from "../../attestation/protocol/event.ts"
import type { HashAlgorithm } from "../../attestation/tcg/algorithm.ts"
import { type CelRecord, celRecord } from "../../attestation/tcg/cel.ts"
import { extend, zero } from "../../attestation/tcg/pcr.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { count, fromHex, sameBytes, toHex } from "../../attestation/wire/text.ts"
import { EventLog, type Found, replay, sha256Of } from "./event-log.ts"
import { Fault, say } from "./fault.ts"
import { readIfThere, type StateDirectory } from "./state.ts"
import type { LogState } from "./verbs.ts"

/** A log epoch: the PCR that holds our log was zero when it began. */
export type Epoch = { readonly resetCount: number; readonly restartCount: number }

export type LogSettings = {
  readonly tpm: Pick<Tpm, "readClock" | "pcrRead" | "pcrExtend" | "usable">
  readonly state: StateDirectory
  /** the PCR that holds our log */
  readonly pcr: number
  /** the active banks in which it is extended; sha256 is one of them */
  readonly banks: readonly HashAlgorithm[]
  /** the kernel's boot id */
  readonly boot: string
}

/** The epoch whose log was begun last: written after its first record, so that this log was surely there. */
const epochFile = "epoch.json"
const epochSchema = z.strictObject({ resetCount: count(0xffffffff), restartCount: count(0xffffffff) })

/** Logs of earlier epochs that are kept. */
const mostLogs = 32

export const logName = ({ resetCount, restartCount }: Epoch): string => `log-${resetCount}-${restartCount}.cel`

/** Whether two pairs of counters are one epoch. */
export const sameEpoch = (a: Epoch, b: Epoch): boolean =>
  a.resetCount === b.resetCount && a.restartCount === b.restartCount

export class MeasuredLog {
  readonly #settings: LogSettings
  #log: EventLog | undefined
  #epoch: Epoch = { resetCount: -1, restartCount: -1 }
  #discrepancySaid = false

  private constructor(settings: LogSettings) {
    this.#settings = settings
  }

  /** Opens the running epoch's log, and repairs what a crash left. */
  static async open(settings: LogSettings): Promise<MeasuredLog> {
    const log = new MeasuredLog(settings)
    await log.follow()
    return log
  }

  get epoch(): Epoch {
    return this.#epoch
  }
  get state(): LogState {
    const { resetCount, restartCount } = this.#epoch
    const { records, length, digest } = this.#current
    return { resetCount, restartCount, records, length, digest }
  }

  /** Whether a new epoch began since the last look: then its log is open now, and what was measured is to be measured again. */
  async follow(): Promise<boolean> {
    const { resetCount, restartCount } = await this.#settings.tpm.readClock()
    const epoch = { resetCount, restartCount }
    if (sameEpoch(epoch, this.#epoch)) return false
    await this.#enter(epoch)
    return true
  }

  /** Writes `content`, then extends it in every active bank. Throws Fault when the log is full. */
  async append(content: string): Promise<void> {
    await this.#append(this.#current, content)
  }

  /** At most `length` bytes of the log from `offset` on. */
  read(offset: number, length: number): Promise<Uint8Array> {
    return this.#current.read(offset, length)
  }

  /** Tells people, once an epoch, when the PCR does not hold what the log says. */
  compare(value: Uint8Array): void {
    if (this.#discrepancySaid || sameBytes(value, this.#current.replayed)) return
    this.#discrepancySaid = true
    const { pcr } = this.#settings
    say(
      `PCR ${pcr} holds ${toHex(value)}, its log gives ${toHex(this.#current.replayed)}: evidence will be refused`,
      `somebody else extended or reset PCR ${pcr}, or the log was altered: find out who, then reboot to begin a new epoch`,
    )
  }

  async close(): Promise<void> {
    await this.#log?.close()
  }

  get #current(): EventLog {
    if (!this.#log) throw new Fault("the log is not open", "look at what the broker said before")
    return this.#log
  }

  async #enter(epoch: Epoch): Promise<void> {
    const found = await this.#openLog(epoch)
    try {
      await this.#settings.state.write(epochFile, epoch)
      await this.#log?.close()
    } catch (error) {
      await found.close()
      throw error
    }
    this.#log = found
    this.#epoch = epoch
    this.#discrepancySaid = false
    this.compare(await this.#pcrValue())
    await this.#forgetOldLogs(logName(epoch))
  }

  async #openLog(epoch: Epoch): Promise<EventLog> {
    const path = this.#settings.state.pathOf(logName(epoch))
    const found = await EventLog.open(path)
    try {
      if (await this.#isOfAnotherTime(found)) return await this.#replace(found.log, epoch)
      await this.#settle(found)
      if (!hasEpochRecord(found)) await this.#begin(found.log, epoch)
      return found.log
    } catch (error) {
      await found.log.close()
      throw error
    }
  }

  /** The log is at most one record ahead of the PCR: extends that one. */
  async #settle({ records }: Found): Promise<void> {
    const last = records instanceof Malformed ? undefined : records.at(-1)
    if (records instanceof Malformed) say(`the log cannot be read: ${records.message}: evidence will be refused`)
    if (!last || records instanceof Malformed) return
    const value = await this.#pcrValue()
    if (sameBytes(value, replay(records)) || !sameBytes(value, replay(records.slice(0, -1)))) return
    await this.#extend(last)
    say(`record ${last.recnum} was written and not extended when the broker last ended: it is extended now`)
  }

  /**
   * TPM2_Clear sets the counters back, so a log of these counters may be of an earlier time: its boot id is another, and
   * the PCR is as it was at reset. After a kexec the boot id is another too, but the PCR holds what the log says.
   */
  async #isOfAnotherTime({ records }: Found): Promise<boolean> {
    if (records instanceof Malformed || records.length < 2) return false
    const first = epochEventIn(records)
    return !!first && first.boot !== this.#settings.boot && sameBytes(await this.#pcrValue(), zero("sha256"))
  }

  async #replace(old: EventLog, epoch: Epoch): Promise<EventLog> {
    const previous = { length: old.length, digest: old.digest }
    await old.close()
    await rename(old.path, `${old.path}.replaced`)
    const { log } = await EventLog.open(old.path)
    await this.#append(log, this.#epochEvent("boot", epoch, previous))
    return log
  }

  async #begin(log: EventLog, epoch: Epoch): Promise<void> {
    const { state } = this.#settings
    const before = await state.read(epochFile, epochSchema)
    const value = await this.#pcrValue()
    const reason = reasonFor(epoch, before, sameBytes(value, zero("sha256")))
    const bytes = before && !sameEpoch(before, epoch) ? await readIfThere(state.pathOf(logName(before))) : undefined
    const previous = bytes ? { length: bytes.length, digest: createHash("sha256").update(bytes).digest("hex") } : null
    if (before && bytes && log.records === 0) await this.#adopt(log, before, value)
    await this.#append(log, this.#epochEvent(reason, epoch, previous))
  }

  /**
   * A suspend between the log's write and the extend leaves the last record of the old log alone in the new epoch's PCR:
   * then the new log begins with that record, so that it still gives what the PCR holds.
   */
  async #adopt(log: EventLog, before: Epoch, value: Uint8Array): Promise<void> {
    const old = await EventLog.open(this.#settings.state.pathOf(logName(before)))
    await old.log.close()
    const last = old.records instanceof Malformed ? undefined : old.records.at(-1)
    if (!last || !sameBytes(value, extend("sha256", zero("sha256"), sha256Of(last)))) return
    await log.append({ ...last, recnum: 0 })
    say(`record ${last.recnum} of ${logName(before)} was extended after the suspend: the new log begins with it`)
  }

  #epochEvent(reason: EpochEvent["reason"], epoch: Epoch, previous: EpochEvent["previous"]): string {
    return writeEvent({ type: "assay.epoch.v1", reason, ...epoch, boot: this.#settings.boot, previous })
  }

  async #append(log: EventLog, content: string): Promise<void> {
    const { pcr, banks, tpm } = this.#settings
    const record = celRecord(log.records, pcr, banks, content)
    await log.append(record)
    try {
      await this.#extend(record)
    } catch (error) {
      if (tpm.usable) await log.withdraw() // the TPM answered and refused; a lost one may have extended
      throw error
    }
  }

  async #extend(record: CelRecord): Promise<void> {
    const digests: BankDigest[] = record.digests
      .filter(({ hashAlg }) => this.#settings.banks.includes(hashAlg))
      .map(({ hashAlg, digest }) => ({ bank: hashAlg, digest: fromHex(digest) }))
    await this.#settings.tpm.pcrExtend(record.pcr, digests)
  }

  async #pcrValue(): Promise<Uint8Array> {
    const { tpm, pcr } = this.#settings
    const { banks } = await tpm.pcrRead([{ bank: "sha256", pcrs: [pcr] }])
    return banks.get("sha256")?.get(pcr) ?? new Uint8Array(0)
  }

  async #forgetOldLogs(running: string): Promise<void> {
    const { path, pathOf } = this.#settings.state
    const names = (await readdir(path)).filter(name => /^log-\d+-\d+\.cel$/.test(name) && name !== running)
    const aged = await Promise.all(names.map(async name => ({ name, at: (await stat(pathOf(name))).mtimeMs })))
    const old = aged.toSorted((a, b) => b.at - a.at).slice(mostLogs)
    for (const { name } of old) await rm(pathOf(name), { force: true })
  }
}

function reasonFor(epoch: Epoch, before: Epoch | undefined, pcrIsZero: boolean): EpochEvent["reason"] {
  if (!before) return pcrIsZero ? "join" : "lost"
  if (sameEpoch(before, epoch)) return "lost"
  return before.resetCount === epoch.resetCount ? "resume" : "boot"
}

/** The epoch's record stands first, or after the one record that was adopted. */
function epochEventIn(records: readonly CelRecord[]): EpochEvent | undefined {
  const events = records.slice(0, 2).map(({ content }) => eventIn(content))
  return events.find(event => event?.type === "assay.epoch.v1")
}

/** The event, unless another version of the broker wrote one that this one does not know. */
function eventIn(content: string): LogEvent | undefined {
  try {
    return readEvent(content)
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

function hasEpochRecord({ log, records }: Found): boolean {
  if (records instanceof Malformed) return log.records > 0
  return epochEventIn(records) !== undefined
}
