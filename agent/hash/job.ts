/** What do a hasher and its threads say to each other, and when is a file still the file that was hashed? */
import type { BigIntStats } from "node:fs"
import type { Binary } from "./binary.ts"

/** Which implementation computes. */
export type EngineName = "node:crypto" | "wasm"

/**
 * What is computed in one read. both: the two digests, by two implementations; flat: SHA-256 alone; verity: the fs-verity
 * digest alone.
 */
export type Reading =
  | { readonly kind: "both"; readonly verity: EngineName | "each" }
  | { readonly kind: "flat" | "verity"; readonly by: EngineName }

/** buffered: what readers see; direct: what the disk holds, past the page cache (O_DIRECT). */
export type Reads = "buffered" | "direct"

/** A part of a file: the offsets of its first byte, a multiple of 512 KiB, and of the one after its last. */
export type Piece = {
  readonly path: Binary
  readonly state: string
  readonly size: number
  readonly start: number
  readonly end: number
}

export type Task =
  /** in which state are these files? */
  | { readonly kind: "look"; readonly paths: readonly Binary[] }
  /** the digests of each file */
  | { readonly kind: "hash"; readonly paths: readonly Binary[]; readonly reading: Reading; readonly reads: Reads }
  /** both digests of each file, each of at most 4096 bytes */
  | { readonly kind: "small"; readonly paths: readonly Binary[]; readonly reads: Reads }
  /** SHA-256 of each file, eight side by side */
  | { readonly kind: "lanes"; readonly paths: readonly Binary[]; readonly reads: Reads }
  /** the records of a part of a file that is in this state */
  | { readonly kind: "piece"; readonly piece: Piece; readonly by: EngineName; readonly reads: Reads }
  /** how fast is each implementation? */
  | { readonly kind: "rates"; readonly milliseconds: number }
  /** which thread of the system is this one? */
  | { readonly kind: "who" }

/** `stop` turns from 0 to another number when nobody waits for the answer any more. */
export type Job = { readonly id: number; readonly stop: Int32Array; readonly task: Task }

/** The states of files up to the first that cannot be looked at; then `code` says why, else it is empty. */
export type States = { readonly kind: "states"; readonly states: readonly string[]; readonly code: string }
/**
 * `state` names the contents as long as nobody writes to the file. Digests in hex, empty where they were not asked for; `by` made the only digest, or the fs-verity digest where
 * there are two: then SHA-256 is node:crypto's. `records` as wasm/verity.ts has them, of a file that has more than one. `settled` is false while the file
 * is too young to tell one write from the next by its times.
 */
export type Hashed = {
  readonly kind: "hashed"
  readonly sha256: string
  readonly verity: string
  readonly by: EngineName
  readonly records: Uint8Array | "none"
  readonly size: number
  readonly state: string
  readonly settled: boolean
}
export type Rates = { readonly kind: "rates"; readonly flat: number; readonly lanes: number } & {
  readonly verity: Readonly<Record<EngineName, number>>
}
export type Answer =
  | States
  | Hashed
  | Rates
  | { readonly kind: "records"; readonly records: Uint8Array }
  | { readonly kind: "who"; readonly thread: string }
  /** it did not hold still, or is another file than it was */
  | { readonly kind: "changed" }
  /** two implementations gave different digests of the same bytes */
  | { readonly kind: "disagree" }
  | { readonly kind: "failed"; readonly code: string }
  | { readonly kind: "stopped" }

export type Report =
  | { readonly id: number; readonly kind: "progress"; readonly bytes: number }
  | { readonly id: number; readonly kind: "answers"; readonly answers: readonly Answer[] }
  | { readonly id: number; readonly kind: "broken"; readonly message: string }

/** How the threads of a pool work: see thread settings in pool.ts. */
export type Manner = {
  /** idle: with whatever CPU and disk time nobody else wants */
  readonly priority: "usual" | "idle"
  /** what one thread reads at most; Infinity for no limit */
  readonly bytesPerSecond: number
  /** open: the core must work; spare: without it node:crypto does both */
  readonly core: "needed" | "spare"
  /** whether V8 makes wider instructions of the core: it is warmed up and tested again */
  readonly revectorized: boolean
}

/** What changes whenever a file's contents do: device, inode, size, and both times in nanoseconds. */
export const stateOf = (stat: BigIntStats): string =>
  `${stat.dev}:${stat.ino}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`

/** The size in bytes that a state names. */
export const sizeIn = (state: string): number => Number(state.split(":")[2])
