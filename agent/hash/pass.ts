/**
 * What are the digests of this file, after one read of it? Each buffer goes to every implementation that is asked, and the
 * file must be the same before and after. For the threads of a pool; many files side by side: lanes.ts.
 */
import { createHash } from "node:crypto"
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync, statSync } from "node:fs"
import type { Core } from "../../wasm/core.ts"
import { DIGEST_BYTES } from "../../wasm/memory.ts"
import { createSha256 } from "../../wasm/sha256.ts"
import { createVerity, type VerityDigest } from "../../wasm/verity.ts"
import { type Answer, type EngineName, type Hashed, type Reading, type Reads, stateOf, type States } from "./job.ts"
import { type Binary, fromBinary } from "./binary.ts"
import { NativeVerity } from "./native.ts"
import { type Pace, Stopped } from "./pace.ts"

/** What a thread reads with: a core, or "none" where it does not work, and its pace. */
export type Reader = { readonly core: Core | "none"; readonly pace: Pace; readonly progress: (bytes: number) => void }

/** Nanoseconds: file systems keep time in steps, so a write soon after another may leave the same time behind. */
const settling = 2_000_000_000n

/** The answer for one file. Errors of the file system are answers. Throws {@link Stopped}. */
export function hashFile(path: Binary, reading: Reading, reads: Reads, reader: Reader): Answer {
  return attempt(() => {
    const file = openToRead(path, reads)
    try {
      return whole(file, reading, reader)
    } finally {
      closeSync(file)
    }
  })
}

/** In which states are they? */
export function look(paths: readonly Binary[]): States {
  const states: string[] = []
  const failed = attempt(() => {
    for (const path of paths) {
      const status = statSync(fromBinary(path), { bigint: true })
      if (!status.isFile()) return { kind: "failed", code: "ENODEV" }
      states.push(stateOf(status))
    }
    return { kind: "failed", code: "" }
  })
  return { kind: "states", states, code: failed.kind === "failed" ? failed.code : "" }
}

export function openToRead(path: Binary, reads: Reads): number {
  const direct = reads === "direct" ? constants.O_DIRECT : 0
  return openSync(fromBinary(path), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY | direct)
}

/** An error of the file system is an answer; any other is a surprise. */
export function attempt(read: () => Answer): Answer {
  try {
    return read()
  } catch (error) {
    if (error instanceof Stopped) return { kind: "stopped" }
    if (!(error instanceof Error && "code" in error && "syscall" in error)) throw error
    return { kind: "failed", code: String(error.code) }
  }
}

function whole(file: number, reading: Reading, reader: Reader): Answer {
  const before = fstatSync(file, { bigint: true })
  if (!before.isFile()) return { kind: "failed", code: "ENODEV" }
  const began = BigInt(Date.now()) * 1_000_000n
  const consumer = consumerFor(reading, reader.core)
  const size = readAll(file, Number(before.size), consumer, reader)
  if (size === "changed" || !same(before, file)) return { kind: "changed" }
  const digests = consumer.digests()
  if (digests === "disagree") return { kind: "disagree" }
  return { kind: "hashed", ...digests, size, state: stateOf(before), settled: isSettled(before, began) }
}

/** The open file is as it was before. Whether it is still the one at its path is asked when all files are read. */
export const same = (before: BigIntStats, file: number): boolean =>
  stateOf(before) === stateOf(fstatSync(file, { bigint: true }))

export const isSettled = ({ mtimeNs, ctimeNs }: BigIntStats, began: bigint): boolean =>
  began - (mtimeNs > ctimeNs ? mtimeNs : ctimeNs) > settling

/** Reads all that the file has; a direct read ends where the size says, as the one behind it need not be aligned. */
function readAll(file: number, expected: number, consumer: Consumer, { pace, progress }: Reader): number | "changed" {
  let size = 0
  for (let count = -1; count !== 0 && (count < 0 || size < expected); ) {
    const { room } = consumer
    count = readSync(file, room)
    consumer.take(count)
    size += count
    pace.spend(count)
    progress(count)
  }
  return size === expected ? size : "changed"
}

type Digests = Pick<Hashed, "sha256" | "verity" | "by" | "records">
/** Where the next bytes go (never empty; aligned for direct reads), that they came, and what came of all. */
type Consumer = {
  readonly room: Uint8Array
  take(count: number): void
  digests(): Digests | "disagree"
}

/** The buffer of threads whose core does not work. Its alignment suits no direct read. */
let spare: Uint8Array | undefined

function consumerFor(reading: Reading, core: Core | "none"): Consumer {
  if (reading.kind === "flat") return flatConsumer(reading.by === "wasm" ? neededCore(core) : core, reading.by)
  if (core === "none") return plainConsumer(reading.kind === "both")
  if (reading.kind === "verity" && reading.by === "node:crypto") return plainConsumer(false, core)
  const flat = reading.kind === "both" ? createHash("sha256") : undefined
  const second = reading.kind === "both" && reading.verity === "each" ? new NativeVerity() : undefined
  const verity = createVerity(core)
  let taken = 0
  return {
    get room() {
      return verity.window
    },
    take(count) {
      const piece = verity.window.subarray(0, count)
      flat?.update(piece)
      second?.update(piece)
      verity.commit(count)
      taken += count
    },
    digests() {
      const found = verity.digest()
      if (second && !Buffer.from(second.digest().digest).equals(found.digest)) return "disagree"
      return { sha256: flat?.digest("hex") ?? "", ...inHex(found, "wasm") }
    },
  }
}

const inHex = ({ digest, records }: VerityDigest, by: EngineName): Omit<Digests, "sha256"> => ({
  by,
  verity: Buffer.from(digest).toString("hex"),
  records: records.length > DIGEST_BYTES ? new Uint8Array(records) : "none",
})

/** The core. Throws where it does not work. */
export function neededCore(core: Core | "none"): Core {
  if (core === "none") throw new Error("the hashing core does not work here: use the native engine")
  return core
}

/** The window of the core as a buffer, as long as nobody else hashes: a thread does one thing at a time. */
function flatConsumer(core: Core | "none", by: "node:crypto" | "wasm"): Consumer {
  const room = core === "none" ? (spare ??= new Uint8Array(1 << 20)) : core.window
  const native = createHash("sha256")
  const own = by === "wasm" ? createSha256(neededCore(core)) : undefined
  return {
    room,
    take(count) {
      const piece = room.subarray(0, count)
      if (own) own.update(piece)
      else native.update(piece)
    },
    digests: () => ({
      sha256: own ? Buffer.from(own.digest()).toString("hex") : native.digest("hex"),
      verity: "",
      by: by,
      records: "none",
    }),
  }
}

/** By node:crypto alone; short reads are put together, as its tree takes whole blocks. */
function plainConsumer(withFlat: boolean, core: Core | "none" = "none"): Consumer {
  const buffer = core === "none" ? (spare ??= new Uint8Array(1 << 20)) : core.window
  const flat = withFlat ? createHash("sha256") : undefined
  const verity = new NativeVerity()
  let filled = 0
  const flush = (): void => {
    flat?.update(buffer.subarray(0, filled))
    verity.update(buffer.subarray(0, filled))
    filled = 0
  }
  return {
    get room() {
      return buffer.subarray(filled)
    },
    take(count) {
      filled += count
      if (filled === buffer.length) flush()
    },
    digests() {
      flush()
      return { sha256: flat?.digest("hex") ?? "", ...inHex(verity.digest(), "node:crypto") }
    },
  }
}
