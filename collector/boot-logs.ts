/**
 * Which bytes make up the boot logs that evidence names? What came over the wire, after what this attester showed before; and
 * nothing at all where what they prove is remembered. What they prove: `attestation/verify/boot-logs.ts`.
 */
import { createHash } from "node:crypto"
import { type BootLog, type BootLogName, logLimits, type Payload } from "../attestation/protocol/evidence.ts"
import { type Circumstances, type Remembered, rememberedIma, remembersBoot } from "../attestation/verify/boot-logs.ts"
import type { LogPart } from "./delivery.ts"
import type { BootLogPiece, KnownBootLog, Store } from "./store.ts"

/** How many attesters' boots are remembered; another's logs are replayed whole. */
const mostRemembered = 2000

/** What was proven of each attester's boot, of those that were judged last. */
export class Memory {
  readonly #remembered = new Map<string, Remembered>()

  of(attester: string): Remembered | "nothing" {
    return this.#remembered.get(attester) ?? "nothing"
  }
  keep(attester: string, remembered: Remembered): void {
    this.#remembered.delete(attester)
    this.#remembered.set(attester, remembered)
    const [oldest] = this.#remembered.keys()
    if (this.#remembered.size > mostRemembered && oldest !== undefined) this.#remembered.delete(oldest)
  }
}

/** The boot logs of one piece of evidence: for {@link verifyAgain}, and for the store once they have proven true. */
export type Assembled = {
  readonly logs: ReadonlyMap<BootLogName, Uint8Array>
  readonly tail: Circumstances["tail"]
  readonly pieces: readonly BootLogPiece[]
}

type Present = BootLog & { readonly state: "present" }

/** Puts together what the claimed `payload` names. */
export async function assembleBootLogs(
  store: Store,
  attester: string,
  payload: Payload,
  parts: readonly LogPart[],
  { remembered, quirks }: Pick<Circumstances, "remembered" | "quirks">,
): Promise<Assembled> {
  const logs = new Map<BootLogName, Uint8Array>()
  const pieces: BootLogPiece[] = []
  let tail: Circumstances["tail"] = "none"
  const known = rememberedIma(remembered)
  for (const named of payload.quote.logs) {
    if (named.state !== "present") continue
    const part = parts.find(each => each.name === named.name)
    if (named.name !== "ima" && remembersBoot(remembered, payload, quirks)) continue
    if (named.name === "ima" && known.length > 0 && (part?.offset ?? 0) === known.length) {
      const bytes = part?.bytes.subarray(0, Math.max(0, named.length - known.length)) ?? new Uint8Array(0)
      tail = { offset: known.length, bytes }
      if (bytes.length > 0) pieces.push({ ...pieceOf(named), parent: known.digest, bytes })
      continue
    }
    const whole = await wholeOf(store, attester, named, part)
    if (!whole) continue
    logs.set(named.name, whole.log)
    pieces.push({
      ...pieceOf(named),
      parent: whole.parent?.digest ?? null,
      bytes: whole.log.subarray(whole.parent?.length ?? 0, named.length),
    })
  }
  return { logs, tail, pieces }
}

const pieceOf = ({ name, digest, length }: Present): Omit<BootLogPiece, "parent" | "bytes"> => ({
  name,
  digest,
  length,
})

type Whole = { readonly log: Uint8Array; readonly parent: KnownBootLog | undefined }

/** A log from its beginning, and which log of the attester's it continues. */
async function wholeOf(
  store: Store,
  attester: string,
  named: Present,
  part: LogPart | undefined,
): Promise<Whole | undefined> {
  const { name, digest, length } = named
  const kept = await store.bootLog(attester, digest, 0, logLimits[name])
  if (kept) return { log: kept, parent: { digest, length } }
  if (!part) return undefined
  const before = await store.bootLogs(attester, name, part.offset === 0 ? "any" : part.offset)
  for (const parent of before) {
    const log = part.offset === 0 ? part.bytes : await joined(store, attester, parent, part)
    if (log && isPrefix(parent, log) && sha256(log.subarray(0, length)) === digest) return { log, parent }
  }
  return part.offset === 0 ? { log: part.bytes, parent: undefined } : undefined
}

async function joined(
  store: Store,
  attester: string,
  parent: KnownBootLog,
  { bytes }: LogPart,
): Promise<Uint8Array | undefined> {
  const prefix = await store.bootLog(attester, parent.digest, 0, parent.length)
  return prefix && new Uint8Array(Buffer.concat([prefix, bytes]))
}

const isPrefix = ({ digest, length }: KnownBootLog, log: Uint8Array): boolean =>
  length <= log.length && sha256(log.subarray(0, length)) === digest

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
