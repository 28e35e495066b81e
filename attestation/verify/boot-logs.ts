/**
 * Do the boot logs that came with evidence belong to it, and what do they prove of the quoted PCRs? The firmware's log and
 * systemd's are replayed together, IMA's up to the quote. Whoever judges one machine again and again hands back what was
 * proven before, so that only what is new is hashed. How each is replayed: `firmware-log.ts`, `ima-log.ts`.
 */
import { createHash } from "node:crypto"
import type { FirmwareQuirk } from "../tcg/firmware/replay.ts"
import type { PcrValues } from "../tcg/pcr.ts"
import type { BootLog, BootLogName, Payload } from "../protocol/evidence.ts"
import type { RememberedLog } from "./log.ts"
import { toHex } from "../wire/text.ts"
import { type Finding, finding } from "./finding.ts"
import { type Boot, replayFirmware } from "./firmware-log.ts"
import { filesAfter, type MeasuredFiles } from "./ima-files.ts"
import { continueIma, type Ima, type ImaFacts, replayIma } from "./ima-log.ts"

/** A log's bytes from `offset` on, for a verifier that remembers what stands before them. */
export type Tail = { readonly offset: number; readonly bytes: Uint8Array }

/** What is this verifier's own: which defects of firmware it admits, and what it remembers of the attester's boot. */
export type Circumstances = {
  readonly quirks: readonly FirmwareQuirk[]
  readonly remembered: Remembered | "nothing"
  /** of the IMA log, where its beginning is remembered */
  readonly tail: Tail | "none"
}

/** A verifier that remembers nothing and admits no defect. */
export const firstTime: Circumstances = { quirks: [], remembered: "nothing", tail: "none" }

type RunningHash = ReturnType<typeof createHash>

declare const proven: unique symbol
/** What {@link checkBootLogs} proved, for the next time; opaque to everybody else. */
export type Remembered = {
  readonly [proven]: true
  readonly boot: { readonly key: string; readonly boot: Boot }
  readonly ima: RememberedIma | "nothing"
  readonly own: RememberedLog | "nothing"
}
type RememberedIma = {
  readonly length: number
  readonly digest: string
  /** over the first `length` bytes; copied, never updated */
  readonly hash: RunningHash
  readonly facts: ImaFacts
  readonly files: MeasuredFiles
  readonly handover: string
}

/** What the boot logs prove. */
export type Platform = {
  readonly boot: Boot["facts"]
  readonly ima: Ima["facts"]
  /** the files that the covered part of the IMA log names */
  readonly files: MeasuredFiles
  /** what was found and refuses nothing */
  readonly findings: readonly Finding[]
  readonly remembered: Remembered
}

type Checked = { readonly platform: Platform; readonly found: readonly Finding[] }
type Shown = ReadonlyMap<string, Uint8Array>

/** What the boot logs in `untrusted` prove of `quoted`. Never throws for what they hold. `found` keeps evidence from being authentic. */
export function checkBootLogs(
  payload: Payload,
  quoted: PcrValues,
  untrusted: Shown,
  own: Circumstances,
  log: RememberedLog | "nothing" = "nothing",
): Checked {
  const { boot, key, found: aboutBoot } = bootOf(payload, quoted, untrusted, own)
  const { ima, files, next, found: aboutIma } = imaOf(payload, quoted, untrusted, own, boot)
  const closed = unreadable(payload)
  const isClosed = ({ id, component }: Finding): boolean =>
    id.endsWith(".no-log") && closed.some(each => each.component === component)
  const findings = [...closed, ...[...boot.findings, ...ima.findings].filter(each => !isClosed(each))]
  const remembered = { boot: { key, boot }, ima: next, own: log } as unknown as Remembered
  const platform = { boot: boot.facts, ima: ima.facts, files, findings, remembered }
  return { platform, found: [...aboutBoot, ...aboutIma] }
}

/** Logs that are there and may not be read: said in place of that they did not come. */
const unreadable = ({ quote }: Payload): Finding[] =>
  quote.logs
    .filter(({ state }) => state === "unreadable")
    .map(({ name }) =>
      finding(
        name === "ima" ? "ima.unreadable" : "firmware.unreadable",
        name,
        "a log that the agent may not read",
        "it",
      ),
    )

/** By what a replay of firmware's and systemd's logs is known again: the digests, the values and the defects that it depends on. */
function bootKey({ body, quote }: Payload, quirks: readonly FirmwareQuirk[]): string {
  const logs = quote.logs.filter(({ name }) => name !== "ima").map(log => [log.name, lengthOf(log), digestOf(log)])
  const values = quote.pcrs.filter(([pcr]) => pcr <= 15 && pcr !== 10)
  return JSON.stringify([body.selection.bank, logs, values, quirks])
}

/** Whether what these logs prove is remembered: then their bytes need not be shown. */
export const remembersBoot = (
  remembered: Remembered | "nothing",
  payload: Payload,
  quirks: readonly FirmwareQuirk[],
): boolean => remembered !== "nothing" && remembered.boot.key === bootKey(payload, quirks)

const lengthOf = (log: BootLog): number => (log.state === "present" ? log.length : 0)
const digestOf = (log: BootLog): string => (log.state === "present" ? log.digest : log.state)

function bootOf(
  payload: Payload,
  quoted: PcrValues,
  untrusted: Shown,
  { quirks, remembered }: Circumstances,
): { readonly boot: Boot; readonly key: string; readonly found: readonly Finding[] } {
  const key = bootKey(payload, quirks)
  if (remembered !== "nothing" && remembersBoot(remembered, payload, quirks)) return { ...remembered.boot, found: [] }
  const firmware = whole(payload, untrusted, "firmware")
  const userspace = whole(payload, untrusted, "userspace")
  const logs = { firmware: firmware.bytes, userspace: userspace.bytes }
  const boot = replayFirmware(logs, payload.body.selection.bank, quoted, quirks)
  const found = [...firmware.found, ...userspace.found]
  return { boot, key: found.length === 0 ? key : "", found }
}

/** `hash` is over the bytes, and goes on with what follows them. */
type Part = {
  readonly bytes: Uint8Array | "none"
  readonly found: readonly Finding[]
  readonly hash: RunningHash | "none"
}

/** A log's bytes as the evidence names them, and no more. */
function whole({ quote }: Payload, untrusted: Shown, name: BootLogName): Part {
  const named = quote.logs.find(log => log.name === name)
  if (named?.state !== "present") return { bytes: "none", found: [], hash: "none" }
  const bytes = untrusted.get(name)
  if (!bytes || bytes.length < named.length)
    return {
      ...{ bytes: "none", hash: "none" },
      found: [missing(name, bytes ? `${bytes.length} bytes` : "no log", named.length)],
    }
  const own = bytes.subarray(0, named.length)
  const hash = createHash("sha256").update(own)
  const digest = hash.copy().digest("hex")
  return { bytes: own, hash, found: digest === named.digest ? [] : [finding("log.digest", name, digest, named.digest)] }
}

const missing = (name: string, seen: string, length: number): Finding =>
  finding("log.missing", name, seen, `${length} bytes of one log`)

type ImaOutcome = {
  readonly ima: Ima
  readonly files: MeasuredFiles
  readonly next: RememberedIma | "nothing"
  readonly found: readonly Finding[]
}

function imaOf(payload: Payload, quoted: PcrValues, untrusted: Shown, own: Circumstances, boot: Boot): ImaOutcome {
  const named = payload.quote.logs.find(log => log.name === "ima")
  const before = own.remembered === "nothing" ? "nothing" : own.remembered.ima
  const handover =
    boot.handover === "unknown" ? "unknown" : JSON.stringify([...boot.handover].map(([i, v]) => [i, toHex(v)]))
  if (named?.state === "present" && before !== "nothing" && before.handover === handover) {
    const continued = continueFrom(before, named, quoted, payload.body.selection.bank, own.tail)
    if (continued) return continued
  }
  const { bytes, found, hash } = whole(payload, untrusted, "ima")
  const ima = replayIma(bytes, payload.body.selection.bank, quoted, boot.handover, "the beginning")
  const files = filesIn("nothing", bytes === "none" ? noBytes : bytes, 0, ima.facts)
  if (found.length > 0 || hash === "none" || named?.state !== "present") return { ima, files, next: "nothing", found }
  return { ima, files, next: remember({ ...named, hash, files, handover }, ima.facts), found }
}

const noBytes = new Uint8Array(0)

/** What the covered part of `bytes`, which begin at `offset`, adds to `known`. */
const filesIn = (known: MeasuredFiles, bytes: Uint8Array, offset: number, facts: Ima["facts"]): MeasuredFiles =>
  typeof facts === "string" ? "nothing" : filesAfter(known, bytes.subarray(0, facts.covered.bytes - offset))

/** What follows a log that was proven up to `before`, or undefined where the tail does not continue it. */
function continueFrom(
  before: RememberedIma,
  named: BootLog & { readonly state: "present" },
  quoted: PcrValues,
  bank: Payload["body"]["selection"]["bank"],
  tail: Tail | "none",
): ImaOutcome | undefined {
  const bytes = tail !== "none" && tail.offset === before.length ? tail.bytes : noBytes
  const wanted = named.length - before.length
  if (wanted < 0 || bytes.length < wanted) return undefined
  const rest = bytes.subarray(0, wanted)
  const hash = before.hash.copy().update(rest)
  if (hash.copy().digest("hex") !== named.digest) return undefined
  const ima = continueIma(rest, bank, quoted, before.facts)
  const files = filesIn(before.files, rest, before.length, ima.facts)
  const { length, digest } = named
  return {
    ima,
    files,
    next: remember({ length, digest, hash, files, handover: before.handover }, ima.facts),
    found: [],
  }
}

/** Only a log that the quote covers to its last byte is continued: what stands beyond was not proven. */
function remember(
  { length, digest, hash, files, handover }: Omit<RememberedIma, "facts">,
  facts: Ima["facts"],
): RememberedIma | "nothing" {
  if (typeof facts === "string" || facts.covered.bytes !== length) return "nothing"
  return { length, digest, hash, facts, files, handover }
}

/** Where the IMA log stands that is remembered: what comes next may begin there. */
export const rememberedIma = (
  remembered: Remembered | "nothing",
): { readonly length: number; readonly digest: string } =>
  remembered === "nothing" || remembered.ima === "nothing" ? { length: 0, digest: "" } : remembered.ima
