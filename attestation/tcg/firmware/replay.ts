/** What do a firmware log's events add up to, in one bank? Part of the answer is with which value PCR 0 began. */
import { Malformed } from "../../wire/codec.ts"
import { digestOf } from "../../wire/digest.ts"
import { digestSize, type HashAlgorithm } from "../algorithm.ts"
import { extend, Register, zero } from "../pcr.ts"
import { eventTypes } from "./event-type.ts"
import type { FirmwareEvent, FirmwareLog } from "./log.ts"

/** The locality at which PCR 0 began, and how that is known: 3 or 4 where something measured before the host's processor. */
export type Startup = {
  readonly locality: 0 | 3 | 4
  readonly source: "logged" | "H-CRTM event" | "default" | "quirk"
}

export type FirmwareReplay = {
  /** PCR → value, for each PCR that an event extends */
  readonly values: ReadonlyMap<number, Uint8Array>
  /** PCRs of which some event has no digest in this bank: nothing can be said */
  readonly lacking: ReadonlySet<number>
}

/** Whether the event extends its PCR. */
export const extendsPcr = (event: FirmwareEvent): boolean => event.claimedType !== eventTypes.NO_ACTION

const startupLocality = Buffer.from("StartupLocality\0", "latin1")

/**
 * Where PCR 0 began: Platform Firmware Profile, 10.4.5.3 (StartupLocality) and 3.3.2 (H-CRTM). Throws Malformed where the
 * log says it twice, after PCR 0 was extended, or names a locality that cannot start a TPM.
 */
export function startupOf({ events }: FirmwareLog): Startup {
  const said = events.filter(isStartupLocality)
  const [first] = said
  if (first) {
    const locality = first.data[16]
    const late = events.some(each => each.index < first.index && each.pcr === 0 && extendsPcr(each))
    if (said.length > 1 || late) throw new Malformed("StartupLocality twice, or after PCR 0 was extended")
    if (locality !== 0 && locality !== 3 && locality !== 4)
      throw new Malformed(`StartupLocality ${locality}, which is none of 0, 3 and 4`)
    return { locality, source: "logged" }
  }
  const hcrtm = events.some(each => each.pcr === 0 && each.claimedType === eventTypes.EFI_HCRTM_EVENT)
  return hcrtm ? { locality: 4, source: "H-CRTM event" } : { locality: 0, source: "default" }
}

const isStartupLocality = ({ claimedType, pcr, data }: FirmwareEvent): boolean =>
  claimedType === eventTypes.NO_ACTION &&
  pcr === 0 &&
  data.length === 17 &&
  startupLocality.equals(data.subarray(0, startupLocality.length))

/** Every PCR that the log extends, replayed in `bank` from where `startup` says that PCR 0 began. */
export function replayFirmwareLog(log: FirmwareLog, bank: HashAlgorithm, startup: Startup): FirmwareReplay {
  const registers = new Map<number, Register>()
  const lacking = new Set<number>()
  for (const event of log.events) {
    if (!extendsPcr(event)) continue
    const digest = event.digests.get(bank)
    const register = registers.get(event.pcr) ?? new Register(bank, beginning(bank, event.pcr, startup))
    registers.set(event.pcr, register)
    if (digest) register.extend(digest)
    else lacking.add(event.pcr)
  }
  const known = [...registers].filter(([pcr]) => !lacking.has(pcr))
  return { values: new Map(known.map(([pcr, register]) => [pcr, register.value])), lacking }
}

/** What a PCR holds before its first event: zeroes, and in PCR 0 the startup locality as the last byte. */
export function beginning(bank: HashAlgorithm, pcr: number, { locality }: Startup): Uint8Array {
  const value = zero(bank)
  if (pcr === 0) value[digestSize[bank] - 1] = locality
  return value
}

/**
 * Known defects of firmware. None is assumed: a verifier names those that it admits, and an admitted one that was needed
 * is reported.
 */
export const firmwareQuirks = {
  "exit-boot-services": "the firmware extended PCR 5 with the two ExitBootServices actions and did not log them",
  "startup-locality": "PCR 0 began at locality 3 or 4 and the log does not say so",
} as const
export type FirmwareQuirk = keyof typeof firmwareQuirks
export const quirkNames = ["exit-boot-services", "startup-locality"] as const satisfies readonly FirmwareQuirk[]

/** The values that `pcr` may have if the log has this defect; none where the defect is not about it. */
export function valuesUnder(
  quirk: FirmwareQuirk,
  log: FirmwareLog,
  bank: HashAlgorithm,
  pcr: number,
): readonly Uint8Array[] {
  const startup = startupOf(log)
  if (quirk === "exit-boot-services" && pcr === 5) {
    const before = replayFirmwareLog(log, bank, startup).values.get(pcr)
    return before ? [exitActions.reduce((value, action) => extend(bank, value, hashOf(bank, action)), before)] : []
  }
  if (quirk !== "startup-locality" || pcr !== 0 || startup.source !== "default") return []
  return ([3, 4] as const).flatMap(
    locality => replayFirmwareLog(log, bank, { locality, source: "quirk" }).values.get(pcr) ?? [],
  )
}

/** What firmware measures when the operating system takes over (Platform Firmware Profile, 3.3.4.6). */
export const exitActions = ["Exit Boot Services Invocation", "Exit Boot Services Returned with Success"] as const

const hashOf = (bank: HashAlgorithm, text: string): Uint8Array => digestOf(bank, Buffer.from(text, "latin1"))
