/**
 * Do the firmware's log and systemd's account for the PCRs that a TPM quoted, and what do they then prove of the boot? Both
 * travel beside the evidence. Whether what they prove is acceptable is asked in `appraise/`.
 */
import type { HashAlgorithm } from "../tcg/algorithm.ts"
import { measuredEvents } from "../tcg/firmware/content.ts"
import { type FirmwareFacts, firmwareFacts } from "../tcg/firmware/facts.ts"
import { type Fault, grammarFaults } from "../tcg/firmware/grammar.ts"
import { type FirmwareLog, readFirmwareLog } from "../tcg/firmware/log.ts"
import {
  extendsPcr,
  type FirmwareQuirk,
  firmwareQuirks,
  replayFirmwareLog,
  type Startup,
  startupOf,
  valuesUnder,
} from "../tcg/firmware/replay.ts"
import { type MeasureRecord, readMeasureLog, replayTogether } from "../tcg/measure-log.ts"
import { type PcrValues, zero } from "../tcg/pcr.ts"
import { Malformed } from "../wire/codec.ts"
import { sameBytes, toHex } from "../wire/text.ts"
import { type Finding, finding } from "./finding.ts"

/** What came beside the evidence. A machine may have neither: that is a state of its own, and no error. */
export type BootLogs = {
  readonly firmware: Uint8Array | "none"
  /** systemd's, of the operating system's own measurements */
  readonly userspace: Uint8Array | "none"
}

/** Something that systemd measured: proven where its PCR is, its text where the digest is over it. */
export type UserspaceEvent = {
  readonly pcr: number
  readonly claimedType: string
  readonly claimedText: string
  readonly textIsMeasured: boolean
}

export type BootFacts = FirmwareFacts & {
  readonly startup: Startup
  /** defects of the firmware that had to be admitted */
  readonly quirks: readonly FirmwareQuirk[]
  readonly userspace: readonly UserspaceEvent[]
}

export type Boot = {
  readonly facts: BootFacts | "no log" | "nothing proven"
  /** proven values of PCRs when the kernel took over, which IMA's boot aggregate is over */
  readonly handover: PcrValues | "unknown"
  readonly findings: readonly Finding[]
}

/** PCRs for which firmware, boot loader and systemd account. 10 is IMA's; 16 and 23 are whoever's; 17 to 22 late launch's. */
const accounted = (pcr: number): boolean => pcr <= 15 && pcr !== 10
const lastOfFirmware = 7
const most = 16

/**
 * Replays the logs against `quoted`, the values of `bank` that a TPM signed. Never throws for what the logs hold.
 *
 * @param admitted the defects of firmware that this verifier lives with: none, unless a person named them
 */
export function replayFirmware(
  logs: BootLogs,
  bank: HashAlgorithm,
  quoted: PcrValues,
  admitted: readonly FirmwareQuirk[],
): Boot {
  if (logs.firmware === "none" || logs.firmware.length === 0)
    return nothing("no log", [finding("firmware.no-log", "firmware", "no log", "the log of this boot")])
  try {
    const log = readFirmwareLog(logs.firmware)
    if (!log.banks.includes(bank))
      return nothing("nothing proven", [
        finding("firmware.bank", "firmware", log.banks.join(", ") || "no bank that is known here", bank),
      ])
    return account(log, startupOf(log), logs.userspace, bank, quoted, admitted)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    const found = [finding("firmware.malformed", "firmware", error.message, "TCG PC Client Platform Firmware Profile")]
    return nothing("nothing proven", found)
  }
}

const nothing = (facts: "no log" | "nothing proven", findings: Finding[]): Boot => ({
  facts,
  handover: "unknown",
  findings,
})

function account(
  log: FirmwareLog,
  startup: Startup,
  untrustedUserspace: Uint8Array | "none",
  bank: HashAlgorithm,
  quoted: PcrValues,
  admitted: readonly FirmwareQuirk[],
): Boot {
  const { records, found: aboutUserspace } = readUserspace(untrustedUserspace)
  const { values, quirks } = admit(log, bank, quoted, admitted)
  const extended = new Set([...log.events.filter(extendsPcr).map(each => each.pcr), ...records.flatMap(pcrOf)])
  const { silent, wanted } = expected(quoted, extended)
  const together = replayTogether(values, records, bank, wanted)
  const proven = new Set([...wanted.keys()].filter(pcr => !together.differing.includes(pcr)))
  const measured = measuredEvents(log, bank)
  const faults = grammarFaults(measured).filter(({ pcr }) => quoted.has(pcr))
  const facts = firmwareFacts(log, measured, proven)
  const userspace = records.slice(0, together.records).flatMap(each => told(each, proven))
  return {
    facts: { ...facts, startup, quirks: quirks.map(([, quirk]) => quirk), userspace },
    handover: new Map([...proven].map(pcr => [pcr, values.get(pcr) ?? zero(bank)])),
    findings: [
      ...aboutUserspace,
      ...quirks.map(([pcr, quirk]) => finding("firmware.quirk", `PCR ${pcr}`, quirk, firmwareQuirks[quirk])),
      ...together.differing.map(pcr => differs(pcr, together.values, quoted)),
      ...silent.map(pcr => finding("firmware.unaccounted", `PCR ${pcr}`, "no event", toHex(quoted.get(pcr) ?? none))),
      ...unquoted(extended, quoted),
      ...spoken(faults),
    ],
  }
}

const none = new Uint8Array(0)

const differs = (pcr: number, values: PcrValues, quoted: PcrValues): Finding =>
  finding("firmware.replay", `PCR ${pcr}`, toHex(values.get(pcr) ?? none) || "no event", toHex(quoted.get(pcr) ?? none))

function readUserspace(untrusted: Uint8Array | "none"): {
  readonly records: readonly MeasureRecord[]
  readonly found: readonly Finding[]
} {
  if (untrusted === "none") return { records: [], found: [] }
  try {
    return { records: readMeasureLog(untrusted).records, found: [] }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return {
      records: [],
      found: [finding("userspace.malformed", "systemd's log", error.message, "JSON text sequences")],
    }
  }
}

const pcrOf = ({ register }: MeasureRecord): number[] => ("pcr" in register ? [register.pcr] : [])

function told(record: MeasureRecord, proven: ReadonlySet<number>): UserspaceEvent[] {
  const { claimedType, claimedText, textIsMeasured } = record
  return pcrOf(record)
    .filter(pcr => proven.has(pcr))
    .map(pcr => ({ pcr, claimedType, claimedText, textIsMeasured }))
}

/** The firmware's values, where an admitted defect explains a quoted one with that. */
function admit(
  log: FirmwareLog,
  bank: HashAlgorithm,
  quoted: PcrValues,
  admitted: readonly FirmwareQuirk[],
): { readonly values: PcrValues; readonly quirks: readonly (readonly [pcr: number, FirmwareQuirk])[] } {
  const values = new Map(replayFirmwareLog(log, bank, startupOf(log)).values)
  const quirks: (readonly [number, FirmwareQuirk])[] = []
  for (const [pcr, value] of quoted) {
    if (sameBytes(values.get(pcr) ?? none, value)) continue
    const quirk = admitted.find(each => valuesUnder(each, log, bank, pcr).some(under => sameBytes(under, value)))
    if (!quirk) continue
    values.set(pcr, value)
    quirks.push([pcr, quirk])
  }
  return { values, quirks }
}

/** Which quoted PCRs the logs must come to; of those of the operating system, not the ones on which they are silent. */
function expected(quoted: PcrValues, extended: ReadonlySet<number>): { wanted: PcrValues; silent: readonly number[] } {
  const known = [...quoted].filter(([pcr]) => accounted(pcr))
  const isSilent = ([pcr, value]: readonly [number, Uint8Array]): boolean =>
    pcr > lastOfFirmware && !extended.has(pcr) && value.some(byte => byte !== 0)
  return {
    wanted: new Map(known.filter(each => !isSilent(each))),
    silent: known.filter(isSilent).map(([pcr]) => pcr),
  }
}

function unquoted(extended: ReadonlySet<number>, quoted: PcrValues): Finding[] {
  const pcrs = [...extended].filter(pcr => accounted(pcr) && !quoted.has(pcr)).toSorted((a, b) => a - b)
  return pcrs.length === 0
    ? []
    : [finding("firmware.not-quoted", "firmware", `events of PCR ${pcrs.join(", ")}`, "a quote over them")]
}

/** A log may hold any number of faults; a person reads the first ones, the worse before the others. */
function spoken(faults: readonly Fault[]): Finding[] {
  const [violations, others] = [faults.filter(({ kind }) => kind === "violation"), faults.filter(isUnrecognised)]
  return [...firstOf("firmware.grammar", violations), ...firstOf("firmware.unrecognised", others)]
}

const isUnrecognised = ({ kind }: Fault): boolean => kind === "unrecognised"

function firstOf(id: "firmware.grammar" | "firmware.unrecognised", faults: readonly Fault[]): Finding[] {
  const told = faults.slice(0, most).map(({ pcr, seen, wanted }) => finding(id, `PCR ${pcr}`, seen, wanted))
  const rest = faults.length - told.length
  return rest > 0 ? [...told, finding(id, "firmware", `${rest} more`, "none")] : told
}
