/**
 * How is a number of files shared out among threads so that all stay busy? Large files one each, the longest first; small
 * ones many to a job; a lone huge file that is known, in pieces. What is computed of which file: hasher.ts.
 */
import { stat } from "node:fs/promises"
import { digestOfRecords } from "../../wasm/records.ts"
import { BLOCK_BYTES } from "../../wasm/tree.ts"
import {
  type Answer,
  type EngineName,
  type Hashed,
  type Reading,
  type Reads,
  sizeIn,
  stateOf,
  type States,
} from "./job.ts"
import { type Binary, fromBinary, shown } from "./binary.ts"
import { cuts } from "./pieces.ts"
import { fewestTogether } from "./engine.ts"
import { measureOne } from "./kernel.ts"
import type { Pool } from "./pool.ts"
import { CannotHash, oddity, refusal, refuse, unsettled } from "./refusal.ts"

/** A file to read: its path, its state when it was looked at, and its size in bytes. */
export type Target = { readonly path: Binary; readonly state: string; readonly size: number }

/** Called with bytes that were read just now, and one of the files that they belong to. */
export type Heard = (bytes: number, target: Target) => void

/** What every call here needs. */
export type Round = {
  readonly pool: Pool
  readonly reads: Reads
  readonly signal: AbortSignal
  readonly heard: Heard
}

/** Files and bytes in one job, where files are small. */
const batch = { files: 256, bytes: 8 << 20 } as const
/** So few files are looked at without starting a thread for it. */
const fewLooks = 64
/** What one thread reads at a time of a file that several share: a multiple of 512 KiB. */
const share = 64 << 20

/** The state and size of each file. Throws {@link CannotHash}. */
export async function lookAt(pool: Pool, paths: readonly Binary[], signal: AbortSignal): Promise<Target[]> {
  if (paths.length <= fewLooks) return Promise.all(paths.map(lookAtOne))
  const groups = Array.from({ length: Math.ceil(paths.length / batch.files) }, (_, i) =>
    paths.slice(i * batch.files, (i + 1) * batch.files),
  )
  const looks = await allOrNone(signal, groups, async (group, signal) => {
    const [answer] = await pool.run({ kind: "look", paths: group }, signal, () => undefined)
    const { states, code } = expected(answer, "states", group[0] ?? "")
    return group.map((path, i) => {
      const state = states[i]
      if (state === undefined) throw refusal(path, code)
      return { path, state, size: sizeIn(state) }
    })
  })
  return looks.flat()
}

async function lookAtOne(path: Binary): Promise<Target> {
  const status = await stat(fromBinary(path), { bigint: true }).catch(error => refuse(path, error))
  if (!status.isFile()) throw oddity(path)
  return { path, state: stateOf(status), size: Number(status.size) }
}

/** What one read gives of each file, in their order. Throws {@link CannotHash}, and the signal's reason. */
export async function hashAll(round: Round, targets: readonly Target[], reading: Reading): Promise<Hashed[]> {
  const { pool, reads } = round
  const together = reading.kind === "both" && reading.verity === "wasm" && pool.hasCore
  return spread(round, targets, batches(targets), (group, signal, heard) => {
    const paths = group.map(({ path }) => path)
    const small = together && group.every(({ size }) => size <= BLOCK_BYTES)
    return pool.run(small ? { kind: "small", paths, reads } : { kind: "hash", paths, reading, reads }, signal, heard)
  })
}

/** SHA-256 of each file, eight side by side in each thread; few files in a thread go one by one. */
export async function hashLanes(round: Round, targets: readonly Target[], few: EngineName): Promise<Hashed[]> {
  const { pool, reads } = round
  const groups = deal(targets, pool.workers)
  return spread(round, targets, groups, (group, signal, heard) => {
    const paths = group.map(({ path }) => path)
    if (group.length >= fewestTogether) return pool.run({ kind: "lanes", paths, reads }, signal, heard)
    return pool.run({ kind: "hash", paths, reading: { kind: "flat", by: few }, reads }, signal, heard)
  })
}

/** The fs-verity digest in hex of one file, by all threads together. */
export async function hashShared(round: Round, target: Target, by: EngineName): Promise<string> {
  const { path, state, size } = target
  const records = await allOrNone(round.signal, cuts(size, share), async (cut, signal) => {
    const piece = { path: path, state, size, ...cut }
    const heard = (bytes: number): void => round.heard(bytes, target)
    const [answer] = await round.pool.run({ kind: "piece", piece, by, reads: round.reads }, signal, heard)
    return expected(answer, "records", path).records
  })
  return Buffer.from(digestOfRecords(size, Buffer.concat(records))).toString("hex")
}

/** Runs every group, and puts the answers into the order in which the files were first given. */
async function spread(
  round: Round,
  targets: readonly Target[],
  groups: readonly (readonly Target[])[],
  run: (group: readonly Target[], signal: AbortSignal, heard: (bytes: number) => void) => Promise<readonly Answer[]>,
): Promise<Hashed[]> {
  const found = new Map<Target, Hashed>()
  await allOrNone(round.signal, groups, async (group, signal) => {
    const [first] = group
    if (!first) return
    const answers = await run(group, signal, bytes => round.heard(bytes, first))
    for (const [i, target] of group.entries()) {
      const answer = answers[i]
      if (answer?.kind === "failed" && answer.code === "EIO") throw await brokenRead(target.path)
      found.set(target, expected(answer, "hashed", target.path))
    }
  })
  return targets.flatMap(target => found.get(target) ?? [])
}

const longestFirst = (targets: readonly Target[]): Target[] => targets.toSorted((a, b) => b.size - a.size)

/** The longest first, so that no thread begins a long file when the others are done. */
function batches(targets: readonly Target[]): Target[][] {
  const groups: Target[][] = []
  let bytes = 0
  for (const target of longestFirst(targets)) {
    const last = groups.at(-1)
    bytes += target.size
    const alike = last?.[0] && last[0].size > BLOCK_BYTES === target.size > BLOCK_BYTES
    if (last && alike && last.length < batch.files && bytes <= batch.bytes) last.push(target)
    else {
      groups.push([target])
      bytes = target.size
    }
  }
  return groups
}

/** Each file to the thread that has the fewest bytes so far. */
function deal(targets: readonly Target[], workers: number): Target[][] {
  const hands = Array.from({ length: workers }, () => ({ bytes: 0, files: [] as Target[] }))
  for (const target of longestFirst(targets)) {
    const least = hands.reduce((a, b) => (b.bytes < a.bytes ? b : a))
    least.files.push(target)
    least.bytes += target.size
  }
  return hands.map(({ files }) => files).filter(files => files.length > 0)
}

/** All results, or the first failure once the others have been called off. */
async function allOrNone<T, R>(
  signal: AbortSignal,
  each: readonly T[],
  run: (one: T, signal: AbortSignal) => Promise<R>,
): Promise<R[]> {
  const off = new AbortController()
  const both = AbortSignal.any([signal, off.signal])
  try {
    return await Promise.all(each.map(one => run(one, both)))
  } catch (error) {
    off.abort(error)
    throw error
  }
}

type Kinds = { states: States; hashed: Hashed; records: Extract<Answer, { kind: "records" }> }

/** The answer, if it is of the kind that was asked for; else its refusal. */
function expected<K extends keyof Kinds>(answer: Answer | undefined, kind: K, path: Binary): Kinds[K] {
  if (isOf(answer, kind)) return answer
  if (answer?.kind === "failed") throw refusal(path, answer.code)
  if (answer?.kind === "changed") throw unsettled(path)
  if (answer?.kind === "disagree") throw disagreement(path)
  throw new Error(`a hashing thread gave no answer for ${shown(path)}`)
}

const isOf = <K extends keyof Kinds>(answer: Answer | undefined, kind: K): answer is Kinds[K] & Answer =>
  answer?.kind === kind

/** The disk failed; or the kernel guards the file (fs-verity), and hands out nothing that is not what it vouches for. */
async function brokenRead(path: Binary): Promise<CannotHash> {
  if ((await measureOne(path)) === "none") return refusal(path, "EIO")
  const message = `the kernel refuses to read ${shown(path)} (EIO): on the disk it is not what its fs-verity digest says`
  return new CannotHash("unreadable", message, refusal(path, "EIO").hint, "EIO")
}

/** Two implementations saw different bytes, or one of them is wrong. */
export const disagreement = (path: Binary): CannotHash =>
  new CannotHash(
    "unsteady",
    `node:crypto and the hashing core do not agree on ${shown(path)}`,
    "test this machine's memory; if it is sound, turn hash.revectorize off and report the CPU",
  )
