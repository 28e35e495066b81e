/**
 * How much of an IMA log does a quote cover, does it belong to this boot, and what can be said of it? Which of the files that
 * it names are acceptable is asked in `appraise/`, which walks the covered entries by `eachImaEvent`.
 */
import type { HashAlgorithm } from "../tcg/algorithm.ts"
import { judgeBootAggregate, type BootAggregate } from "../tcg/ima/aggregate.ts"
import type { ImaLog } from "../tcg/ima/entry.ts"
import { type ImaEvent, readImaEvent } from "../tcg/ima/event.ts"
import { openImaLog } from "../tcg/ima/log.ts"
import {
  alteredEntries,
  eachImaEntry,
  imaPcr,
  type ImaReplay,
  imaStart,
  type ImaState,
  replayImaLog,
} from "../tcg/ima/replay.ts"
import { fieldsOf } from "../tcg/ima/template.ts"
import type { PcrValues } from "../tcg/pcr.ts"
import { Malformed } from "../wire/codec.ts"
import { plainLine, toHex } from "../wire/text.ts"
import { type Finding, finding } from "./finding.ts"

export type ImaFacts = {
  readonly form: ImaLog["form"]
  /** the prefix that PCR 10 proves; kept, it is where the next pass begins */
  readonly covered: ImaState
  /** bytes that came after the quote, of which nothing is said */
  readonly beyond: number
  /** entries of other PCRs within the prefix, of which nothing is said */
  readonly elsewhere: number
  readonly aggregate: BootAggregate
  /** the first few files that the kernel could not measure, as it named them */
  readonly claimedViolations: readonly string[]
  /** names of templates whose entries say nothing here */
  readonly unknownTemplates: readonly string[]
}

export type Ima = { readonly facts: ImaFacts | "no log" | "nothing proven"; readonly findings: readonly Finding[] }

const most = 16

/**
 * Replays an IMA log against the quoted PCR 10. Never throws for what the log holds.
 *
 * @param quoted values of `bank` that a TPM signed
 * @param handover values of PCRs 0 to 9 when the kernel took over, as far as the firmware log proves them; "unknown" without
 *   that log: then the quoted ones are compared, and that they differ says nothing, since PCRs 8 and 9 may have been extended
 * @param from where an earlier pass over the same log stopped, or its beginning
 */
export function replayIma(
  untrusted: Uint8Array | "none",
  bank: HashAlgorithm,
  quoted: PcrValues,
  handover: PcrValues | "unknown",
  from: ImaState | "the beginning",
): Ima {
  if (untrusted === "none" || untrusted.length === 0)
    return none("no log", "ima.no-log", "no log", "the log of this boot")
  const value = quoted.get(imaPcr)
  if (!value) return none("nothing proven", "ima.not-quoted", "no quoted value", `PCR ${imaPcr}`)
  try {
    const log = openImaLog(untrusted)
    const replayed = from === "the beginning" ? replayBoth(log, bank, value) : replayImaLog(log, bank, value, from)
    if (replayed.reproduced) return describe(log, replayed, first => judgeAggregate(first, bank, quoted, handover))
    const start = from === "the beginning" ? imaStart(bank, "own algorithm") : from
    return { facts: "nothing proven", findings: [...aboutAltered(log, start), notReproduced(replayed, value)] }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return none("nothing proven", "ima.malformed", error.message, "the kernel's format")
  }
}

/**
 * The same for a log whose first part was proven before: `rest` is what follows it. Never throws for what it holds.
 *
 * @param before the facts of that first part, which it covered to its last byte
 */
export function continueIma(untrustedRest: Uint8Array, bank: HashAlgorithm, quoted: PcrValues, before: ImaFacts): Ima {
  const value = quoted.get(imaPcr)
  if (!value) return none("nothing proven", "ima.not-quoted", "no quoted value", `PCR ${imaPcr}`)
  const start = { ...before.covered, bytes: 0 }
  try {
    const log = openImaLog(untrustedRest)
    const replayed = replayImaLog(log, bank, value, start)
    if (!replayed.reproduced)
      return { facts: "nothing proven", findings: [...aboutAltered(log, start), notReproduced(replayed, value)] }
    const facts = joined(before, replayed, survey(log, replayed))
    return { facts, findings: [...aboutAggregate(facts.aggregate), ...aboutEntries(facts)] }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return none("nothing proven", "ima.malformed", error.message, "the kernel's format")
  }
}

function joined(before: ImaFacts, { state, beyond, elsewhere }: ImaReplay, rest: Survey): ImaFacts {
  const first = (a: readonly string[], b: readonly string[]): string[] => [...new Set([...a, ...b])].slice(0, most)
  return {
    ...before,
    covered: { ...state, bytes: before.covered.bytes + state.bytes },
    beyond,
    elsewhere: before.elsewhere + elsewhere,
    claimedViolations: first(before.claimedViolations, rest.claimedViolations),
    unknownTemplates: first(before.unknownTemplates, rest.unknownTemplates),
  }
}

const none = (
  facts: "no log" | "nothing proven",
  id: "ima.no-log" | "ima.not-quoted" | "ima.malformed",
  seen: string,
  wanted: string,
): Ima => ({ facts, findings: [finding(id, "ima", seen, wanted)] })

/** Which of the two ways this kernel extends the bank is not written anywhere: the one that comes to the quote is it. */
function replayBoth(log: ImaLog, bank: HashAlgorithm, quoted: Uint8Array): ImaReplay {
  const own = replayImaLog(log, bank, quoted, imaStart(bank, "own algorithm"))
  if (own.reproduced || bank === "sha1") return own
  const padded = replayImaLog(log, bank, quoted, imaStart(bank, "padded sha1"))
  return padded.reproduced ? padded : own
}

function notReproduced({ state, cut, beyond }: ImaReplay, quoted: Uint8Array): Finding {
  const end = cut ? `, then ${beyond} bytes of an entry without end` : ""
  return finding(
    "ima.replay",
    `PCR ${imaPcr}`,
    `${toHex(state.value)} after ${state.entries} entries${end}`,
    toHex(quoted),
  )
}

const aboutAltered = (log: ImaLog, start: ImaState): Finding[] =>
  alteredEntries(log, start).map(number =>
    finding("ima.entry", `entry ${number}`, "a digest of other data", "the digest of its data"),
  )

function judgeAggregate(
  first: ImaEvent | undefined,
  bank: HashAlgorithm,
  quoted: PcrValues,
  handover: PcrValues | "unknown",
): BootAggregate {
  if (handover !== "unknown") return judgeBootAggregate(first, bank, handover)
  const aggregate = judgeBootAggregate(first, bank, quoted)
  return aggregate.judged === "differs" ? { judged: "not checkable", why: "there is no firmware log" } : aggregate
}

function describe(log: ImaLog, replayed: ImaReplay, judge: (first: ImaEvent | undefined) => BootAggregate): Ima {
  const { first, claimedViolations, unknownTemplates } = survey(log, replayed)
  const aggregate = judge(first)
  const facts: ImaFacts = {
    form: log.form,
    covered: replayed.state,
    beyond: replayed.beyond,
    elsewhere: replayed.elsewhere,
    aggregate,
    claimedViolations,
    unknownTemplates,
  }
  return { facts, findings: [...aboutAggregate(aggregate), ...aboutEntries(facts)] }
}

type Survey = {
  readonly first: ImaEvent | undefined
  readonly claimedViolations: readonly string[]
  readonly unknownTemplates: readonly string[]
}

/** Only what is told of every log is read here: half a million paths are for whoever asks for them. */
function survey(log: ImaLog, { state, templates }: ImaReplay): Survey {
  const claimedViolations = new Set<string>()
  let first: ImaEvent | undefined
  eachImaEntry(log, state.violations > 0 ? state.bytes : Math.min(state.bytes, 1), (entry, number) => {
    if (number === 0) first = readImaEvent(entry)
    if (entry.violation && claimedViolations.size < most) claimedViolations.add(violated(readImaEvent(entry)))
  })
  const unknown = [...templates].filter(each => fieldsOf(each) === "unknown").map(each => plainLine(each, 64))
  return { first, claimedViolations: [...claimedViolations], unknownTemplates: unknown.slice(0, most) }
}

const violated = (event: ImaEvent): string => (event.kind === "violation" ? event.claimedPath : "an unreadable name")

function aboutAggregate(aggregate: BootAggregate): Finding[] {
  if (aggregate.judged === "matches") return []
  return aggregate.judged === "differs"
    ? [finding("ima.boot-aggregate", "ima", aggregate.seen, aggregate.wanted)]
    : [finding("ima.unbound", "ima", aggregate.why, "a boot aggregate over known PCRs")]
}

function aboutEntries({ covered, claimedViolations, unknownTemplates }: ImaFacts): Finding[] {
  const found: Finding[] = []
  if (covered.hashing === "padded sha1")
    found.push(finding("ima.padded", "ima", "SHA-1 with zeroes", "the bank's own algorithm"))
  if (covered.violations > 0)
    found.push(finding("ima.violation", "ima", `${covered.violations}: ${claimedViolations.join(", ")}`, "none"))
  if (unknownTemplates.length > 0)
    found.push(finding("ima.template", "ima", unknownTemplates.join(", "), "a known one"))
  return found
}

/** Where an IMA log stood when it was judged, as far as the next judgement needs it. */
export type ImaProgress = Pick<ImaFacts, "beyond"> & { readonly covered: Pick<ImaState, "bytes"> }

/** Within one boot: whether quotes go on covering more of a growing log. Twice the same prefix with entries behind it is a stall. */
export function imaProgress(before: ImaProgress, now: ImaProgress): Finding[] {
  const stalls = now.covered.bytes <= before.covered.bytes && now.beyond > 0 && before.beyond > 0
  if (!stalls) return []
  const seen = `${now.covered.bytes} bytes covered, ${now.beyond} beyond`
  return [finding("ima.no-progress", "ima", seen, `more than ${before.covered.bytes} bytes covered`)]
}
