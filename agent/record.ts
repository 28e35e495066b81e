/**
 * What stands in the log already? A copy of the broker's log of the running epoch, kept up to date, and the newest group of
 * events of each subject in it. What is appended next: `measure.ts`.
 */
import { createHash } from "node:crypto"
import type { Caller } from "../local/call.ts"
import { type Measurement, readEvent } from "../attestation/protocol/event.ts"
import { readCel } from "../attestation/tcg/cel.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import type { LogState, verbs } from "./broker/verbs.ts"
import { Trouble } from "./trouble.ts"

/** The broker, however its calls travel. */
export type Broker = Omit<Caller<typeof verbs>, "close">

/** A log as it stood: `bytes` are those that `state` names. */
export type LogCopy = { readonly state: LogState; readonly bytes: Uint8Array }

/** How often reading starts anew when an epoch opens under it. */
const mostReads = 5

/** The broker's log as it stands now; `known` spares the bytes that were read before. Throws CallFailed. */
export async function readLog(broker: Broker, known: LogCopy | "nothing"): Promise<LogCopy> {
  let have = known === "nothing" ? new Uint8Array(0) : known.bytes
  for (let attempt = 0; attempt < mostReads; attempt++) {
    const copy = await readFrom(broker, have)
    if (copy) return copy
    have = new Uint8Array(0)
  }
  throw new Trouble("the log moved while it was read", "ask again; if it repeats, look at the broker's log")
}

/** `have` and what follows it, or undefined when the two do not make the log. */
async function readFrom(broker: Broker, have: Uint8Array): Promise<LogCopy | undefined> {
  const parts = [have]
  for (let length = have.length; ; ) {
    const { log: state, bytes } = await broker.call("log", { offset: length })
    const piece = fromBase64(bytes)
    parts.push(piece)
    length += piece.length
    if (piece.length > 0 && length < state.length) continue
    const whole = new Uint8Array(Buffer.concat(parts))
    return digestOf(whole) === state.digest ? { state, bytes: whole } : undefined
  }
}

export const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** Source and subject in one key. */
export const keyOf = ({ source, subject }: Pick<Measurement, "source" | "subject">): string => `${source}\n${subject}`

/** The newest events of each subject: one, and the numbered parts that follow it. */
export type Recorded = ReadonlyMap<string, readonly string[]>

/** What `log` records. Throws Malformed. */
export function recordedIn(log: Uint8Array): Recorded {
  const newest = new Map<string, string[]>()
  for (const { content } of readCel(log)) {
    const event = readEvent(content)
    if (event.type !== "assay.measurement.v1") continue
    const [first] = event.facts
    const group = newest.get(keyOf(event))
    if (group && first?.[0] === "part") group.push(content)
    else newest.set(keyOf(event), [content])
  }
  return newest
}
