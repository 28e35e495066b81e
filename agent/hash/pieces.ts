/** What are the records of a part of this file (wasm/records.ts)? Read apart from the rest, as long as the file is the one that was meant. */
import { closeSync, fstatSync, readSync } from "node:fs"
import type { Core } from "../../wasm/core.ts"
import { DIGEST_BYTES } from "../../wasm/memory.ts"
import { recordBytes, STRETCH_BYTES, stretchRecord } from "../../wasm/records.ts"
import { type Answer, type EngineName, type Piece, type Reads, stateOf } from "./job.ts"
import { nativeRecord } from "./native.ts"
import { attempt, neededCore, openToRead, type Reader, same } from "./pass.ts"

/** The records of a piece, or that the file is not in that state any more. */
export function pieceRecords(piece: Piece, by: EngineName, reads: Reads, reader: Reader): Answer {
  return attempt(() => {
    const file = openToRead(piece.path, reads)
    try {
      const before = fstatSync(file, { bigint: true })
      if (stateOf(before) !== piece.state) return { kind: "changed" }
      const records = recordsOf(file, piece, by, reader)
      if (records === "short" || !same(before, file)) return { kind: "changed" }
      return { kind: "records", records }
    } finally {
      closeSync(file)
    }
  })
}

function recordsOf(file: number, { size, start, end }: Piece, by: EngineName, reader: Reader): Uint8Array | "short" {
  const records = new Uint8Array(recordBytes(end) - recordBytes(start))
  const core = neededCore(reader.core)
  const record = by === "wasm" ? stretchRecord : nativeRecord
  for (let at = start; at < end; at += STRETCH_BYTES) {
    const length = Math.min(STRETCH_BYTES, end - at)
    const bytes = core.window.subarray(0, length)
    if (readWhole(file, at, length, core) < length) return "short"
    records.set(record(size, bytes, core), recordBytes(at) - recordBytes(start))
    reader.pace.spend(length)
    reader.progress(length)
  }
  return records
}

/** Into the core's window, whose address suits direct reads; these ask for whole blocks, also at the end of the file. */
function readWhole(file: number, at: number, length: number, core: Core): number {
  let filled = 0
  while (filled < length) {
    const count = readSync(file, core.window, filled, STRETCH_BYTES - filled, at + filled)
    if (count === 0) break
    filled += count
  }
  return filled
}

/** The bounds of the pieces of a file of `size` bytes, each `each` bytes (a multiple of 512 KiB) or what is left. */
export const cuts = (size: number, each: number): readonly { readonly start: number; readonly end: number }[] =>
  Array.from({ length: Math.ceil(size / each) }, (_, i) => ({ start: i * each, end: Math.min((i + 1) * each, size) }))

/** The part of a file's records that belongs to a piece. */
export const recordsBetween = (records: Uint8Array, { start, end }: { start: number; end: number }): Uint8Array =>
  records.subarray((start / STRETCH_BYTES) * DIGEST_BYTES, Math.ceil(end / STRETCH_BYTES) * DIGEST_BYTES)
