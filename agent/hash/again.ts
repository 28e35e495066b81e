/**
 * Is a known file still the same? One of its two digests tells, by the kernel where it guards the file, else by the engine. If
 * that differs the file is read again, by both implementations: only what both see is an alarm.
 */
import type { Stretch } from "../../wasm/records.ts"
import { type Binary, shown } from "./binary.ts"
import { otherThan, type Plan } from "./engine.ts"
import type { EngineName, Hashed, Reading } from "./job.ts"
import { measuredByKernel } from "./kernel.ts"
import type { FileDigests } from "./known.ts"
import { unsettled } from "./refusal.ts"
import { disagreement, hashAll, hashShared, type Round, type Target } from "./round.ts"

/** A file with the two digests that belong together, both found by this process. */
export type Pair = Target & { readonly known: FileDigests }

/**
 * The contents of a file changed although nobody wrote to it through its file system: by the disk, by memory, or by somebody
 * who could turn back its times. `confirmed`: by the other implementation in a second read; if not, the second read gave
 * what was known, so the first one was wrong.
 */
export type Alarm = {
  readonly path: Binary
  readonly known: FileDigests
  readonly by: EngineName
  readonly confirmed: EngineName | "not"
  /** the parts that differ, to 512 KiB; none if it is not known which */
  readonly where: readonly Stretch[]
}

/** What a person reads of an alarm: what was seen, and what to do. */
export function alarmText({ path, by, confirmed, where }: Alarm): { readonly message: string; readonly hint: string } {
  const name = shown(path)
  if (confirmed === "not")
    return {
      message: `${name}: ${by} saw other contents once, and node:crypto and wasm saw the known ones again`,
      hint: "test this machine's memory and disk",
    }
  const parts = where.map(({ start, end }) => `bytes ${start} to ${end - 1}`).slice(0, 8)
  const more = where.length > parts.length ? [`${where.length - parts.length} more places`] : []
  const places = parts.length === 0 ? "" : `: ${[...parts, ...more].join(", ")}`
  return {
    message: `${name} changed although nobody wrote to it${places} (seen by ${by}, confirmed by ${confirmed})`,
    hint: "restore it from its source, and look at the disk and at who may write to it",
  }
}

/** A file as it was found. `hashed`: what the second read gave, if there had to be one. */
export type Seen = {
  readonly pair: Pair
  readonly how: "again" | "kernel" | "read"
  readonly hashed: Hashed | "none"
  readonly alarm: Alarm | "none"
}

/** One of a file's digests in hex. */
type One = { readonly kind: "flat" | "verity"; readonly by: EngineName; readonly digest: string }

/** From this size on several threads share one file, if they are not busy with others. */
const worthSharing = 128 << 20

/** Looks at every file once, and at those that differ twice. Throws CannotHash, and the signal's reason. */
export async function readAgain(
  round: Round,
  pairs: readonly Pair[],
  plan: Plan,
  baseline: Reading,
): Promise<readonly Seen[]> {
  const kernel = await measuredByKernel(pairs)
  const guarded = pairs.filter((pair, i) => kernel[i] === pair.known.verity)
  const rest = pairs.filter((pair, i) => kernel[i] !== pair.known.verity)
  const ones = await onceEach(round, rest, plan)
  const seen: Seen[] = guarded.map(pair => ({ pair, how: "kernel", hashed: "none", alarm: "none" }))
  for (const [i, pair] of rest.entries()) {
    const one = ones[i]
    if (one) seen.push(agrees(pair, one) ? asKnown(pair) : await secondLook(round, pair, one, baseline))
  }
  return seen
}

const asKnown = (pair: Pair): Seen => ({ pair, how: "again", hashed: "none", alarm: "none" })
const agrees = ({ known }: Pair, { kind, digest }: One): boolean =>
  (kind === "flat" ? known.sha256 : known.verity) === digest

async function onceEach(round: Round, pairs: readonly Pair[], plan: Plan): Promise<readonly One[]> {
  const { workers } = round.pool
  const shares = pairs.length < workers && plan.piecesRate * workers > plan.rate
  const shared = pairs.filter(({ size }) => shares && size >= worthSharing)
  const single = pairs.filter(pair => !shared.includes(pair))
  const { kind, by } = plan.again
  const hashed = await hashAll(round, single, plan.again)
  const found = new Map<Pair, One>()
  for (const [i, pair] of single.entries()) {
    const each = hashed[i]
    if (each?.state !== pair.state) throw unsettled(pair.path)
    found.set(pair, { kind, by, digest: kind === "flat" ? each.sha256 : each.verity })
  }
  for (const pair of shared)
    found.set(pair, { kind: "verity", by: plan.pieces, digest: await hashShared(round, pair, plan.pieces) })
  return pairs.flatMap(pair => found.get(pair) ?? [])
}

/** Both digests of what is there now: both differ, or neither does. */
async function secondLook(round: Round, pair: Pair, { by }: One, baseline: Reading): Promise<Seen> {
  const [hashed] = await hashAll(round, [pair], baseline)
  if (!hashed || hashed.state !== pair.state) throw unsettled(pair.path)
  const { path, known } = pair
  const flat = hashed.sha256 === known.sha256
  const verity = hashed.verity === known.verity
  if (flat !== verity) throw disagreement(path)
  const alarm = { path, known, by, confirmed: flat ? ("not" as const) : otherThan(by), where: [] }
  return { pair, how: flat ? "again" : "read", hashed: flat ? "none" : hashed, alarm }
}
