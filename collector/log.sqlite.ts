/**
 * How are logs that only grow kept so that no byte is kept twice? Each as pieces one after another. Where history was rewritten
 * within an epoch, both are kept: the second from where it parts from the first.
 */
import { z } from "zod"
import { sameBytes } from "../attestation/wire/text.ts"
import { continues } from "../attestation/verify/log.ts"
import type { Database } from "./database.ts"
import type { LogEpoch } from "./store.ts"

const idRow = z.strictObject({ id: z.int() })

/** The logs of an epoch: the first, which is its history, and the newest seven after it. */
export function logs(db: Database, { attester, resetCount, restartCount }: LogEpoch): number[] {
  const all = "SELECT id FROM log WHERE attester = ? AND reset = ? AND restart = ? ORDER BY id"
  const epoch = [attester, resetCount, restartCount] as const
  const first = db.all(idRow, `${all} LIMIT 1`, ...epoch)
  const newest = db.all(idRow, `${all} DESC LIMIT 7`, ...epoch)
  return [...new Set([...first, ...newest].map(row => row.id))]
}

const logRow = z.strictObject({ parent: z.int().nullable(), shared: z.int() })
const pieceRow = z.strictObject({ bytes: z.instanceof(Uint8Array) })

/** The whole of a log. */
export function readLog(db: Database, id: number): Uint8Array {
  const log = db.one(logRow, "SELECT parent, shared FROM log WHERE id = ?", id)
  const pieces = db.all(pieceRow, "SELECT bytes FROM piece WHERE log = ? ORDER BY start", id)
  const shared = log?.parent == null ? [] : [readLog(db, log.parent).subarray(0, log.shared)]
  return new Uint8Array(Buffer.concat([...shared, ...pieces.map(piece => piece.bytes)]))
}

/** Keeps `bytes`, of which the beginning may be kept already; gives the log that holds them. */
export function keepLog(db: Database, epoch: LogEpoch, bytes: Uint8Array): number {
  for (const id of logs(db, epoch)) {
    const kept = readLog(db, id)
    if (continues(bytes, kept)) return id
    if (continues(kept, bytes)) return append(db, id, kept.length, bytes)
  }
  return begin(db, epoch, bytes)
}

/** A log that continues none: its parent is always the first of its epoch, which has none. */
function begin(db: Database, { attester, resetCount, restartCount }: LogEpoch, bytes: Uint8Array): number {
  const [parent = null] = logs(db, { attester, resetCount, restartCount })
  const shared = parent === null ? 0 : inCommon(readLog(db, parent), bytes)
  db.run(
    "INSERT INTO log (attester, reset, restart, parent, shared) VALUES (?, ?, ?, ?, ?)",
    ...[attester, resetCount, restartCount, parent, shared],
  )
  const id = db.one(idRow, "SELECT last_insert_rowid() AS id")?.id ?? 0
  return append(db, id, shared, bytes)
}

function append(db: Database, id: number, length: number, bytes: Uint8Array): number {
  if (bytes.length > length)
    db.run("INSERT INTO piece (log, start, bytes) VALUES (?, ?, ?)", id, length, bytes.subarray(length))
  return id
}

/** How many bytes two logs begin with alike: halved, since `Buffer.compare` is faster than a loop. */
function inCommon(a: Uint8Array, b: Uint8Array): number {
  let [alike, differ] = [0, Math.min(a.length, b.length) + 1]
  while (differ - alike > 1) {
    const middle = (alike + differ) >> 1
    if (sameBytes(a.subarray(alike, middle), b.subarray(alike, middle))) alike = middle
    else differ = middle
  }
  return alike
}
