/**
 * What does this machine look like now, and what of that is not in the log yet? Every source looks; a subject whose events
 * are those that were appended last in this epoch is left alone, any other is appended whole, and what is found no more is
 * told as absent. When an epoch opens meanwhile, all of it is done again.
 */
import { type Measurement, writeEvent } from "../attestation/protocol/event.ts"
import type { LogState } from "./broker/verbs.ts"
import { type Broker, keyOf, type LogCopy, type Recorded, readLog, recordedIn } from "./record.ts"
import { scanOf } from "./sources/process/scan.ts"
import type { Means, Source } from "./sources/source.ts"
import { measurements } from "./sources/source.ts"
import { Trouble } from "./trouble.ts"

/** How often measuring starts anew when an epoch opens under it. */
const mostEpochs = 5

export type Measured = { readonly log: LogCopy; readonly appended: number }

/** Brings the log up to date. `known` is a copy of it from before. Throws CallFailed, and the signal's reason. */
export async function measure(
  broker: Broker,
  sources: readonly Source[],
  means: Means,
  known: LogCopy | "nothing",
): Promise<Measured> {
  let log = known
  for (let attempt = 0; attempt < mostEpochs; attempt++) {
    const before = log
    log = await readLog(broker, before)
    if (before !== "nothing" && !sameEpoch(before.state, log.state)) means.hasher.forget()
    const appended = await appendChanges(broker, sources, means, recordedIn(log.bytes))
    if (appended !== "opened") return { log: await readLog(broker, log), appended }
    means.hasher.forget()
  }
  throw new Trouble(
    "epochs open faster than the machine can be measured",
    "find out what suspends or resets it all the time",
  )
}

async function appendChanges(
  broker: Broker,
  sources: readonly Source[],
  means: Means,
  recorded: Recorded,
): Promise<number | "opened"> {
  const context = { ...means, scan: scanOf(means.host) }
  let appended = 0
  for (const source of sources) {
    context.signal.throwIfAborted()
    const found = groupsOf(await source.measure(context))
    for (const [key, events] of [...found, ...vanished(source.name, found, recorded)]) {
      if (sameTexts(events, recorded.get(key) ?? [])) continue
      for (const event of events) {
        context.signal.throwIfAborted()
        if (await appendOpens(broker, event)) return "opened"
      }
      appended += events.length
    }
  }
  return appended
}

async function appendOpens(broker: Broker, event: string): Promise<boolean> {
  const { opened } = await broker.call("append", { event })
  return opened
}

function groupsOf(events: readonly Measurement[]): Map<string, string[]> {
  const groups = new Map<string, string[]>()
  for (const event of events) groups.set(keyOf(event), [...(groups.get(keyOf(event)) ?? []), writeEvent(event)])
  return groups
}

/** Subjects of the source that are in the log and were not found now. */
function vanished(source: string, found: ReadonlyMap<string, unknown>, recorded: Recorded): [string, string[]][] {
  const keys = [...recorded.keys()].filter(key => key.startsWith(`${source}\n`) && !found.has(key))
  return keys.map(key => {
    const gone = measurements(source, "", [["absent", "found earlier in this epoch"]])
    return [key, gone.map(event => writeEvent({ ...event, subject: key.slice(source.length + 1) }))]
  })
}

const sameTexts = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((text, i) => text === b[i])

/** Whether two states are of one log epoch. */
export const sameEpoch = (a: LogState, b: LogState): boolean =>
  a.resetCount === b.resetCount && a.restartCount === b.restartCount
