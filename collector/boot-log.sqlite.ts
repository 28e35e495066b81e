/**
 * How are the logs of firmware, systemd and IMA kept? By content: a log that grew is what it was and what came after, and two
 * machines that booted alike keep one. What must hold of it: `store.ts`.
 */
import { z } from "zod"
import type { Database } from "./database.ts"
import type { BootLogPiece, KnownBootLog } from "./store.ts"

const knownRow = z.strictObject({ digest: z.string(), length: z.int() })
const known = "SELECT digest, length FROM shown_log WHERE attester = ? AND name = ?"

/** The newest eight that the attester showed. */
export const shownLogs = (
  db: Database,
  attester: string,
  name: string,
  length: number | "any",
): readonly KnownBootLog[] =>
  length === "any"
    ? db.all(knownRow, `${known} ORDER BY id DESC LIMIT 8`, attester, name)
    : db.all(knownRow, `${known} AND length = ? ORDER BY id DESC LIMIT 8`, attester, name, length)

/** Keeps what is new of `logs`. */
export function keepBootLogs(db: Database, attester: string, logs: readonly BootLogPiece[]): void {
  for (const { name, digest, length, parent, bytes } of logs) {
    db.run(
      "INSERT INTO boot_log (digest, parent, start, bytes) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      ...[digest, parent, length - bytes.length, bytes],
    )
    db.run(
      "INSERT INTO shown_log (attester, name, length, digest) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      ...[attester, name, length, digest],
    )
  }
}

const pieceRow = z.strictObject({ parent: z.string().nullable(), start: z.int(), bytes: z.instanceof(Uint8Array) })

/** Bytes of a log that this attester showed, from `offset`, at most `length`. */
export function bootLogBytes(
  db: Database,
  attester: string,
  digest: string,
  offset: number,
  length: number,
): Uint8Array | undefined {
  const shown = "SELECT digest, length FROM shown_log WHERE attester = ? AND digest = ?"
  if (!db.one(knownRow, `${shown} LIMIT 1`, attester, digest)) return undefined
  const pieces: Uint8Array[] = []
  const end = offset + length
  let at: string | null = digest
  while (at !== null) {
    const piece: z.infer<typeof pieceRow> | undefined = db.one(
      pieceRow,
      "SELECT parent, start, bytes FROM boot_log WHERE digest = ?",
      at,
    )
    if (!piece) throw new Error(`the boot log ${at} is gone`)
    const from: number = piece.start
    pieces.push(piece.bytes.subarray(Math.max(0, offset - from), Math.max(0, end - from)))
    at = from > offset ? piece.parent : null
  }
  return new Uint8Array(Buffer.concat(pieces.toReversed()))
}
