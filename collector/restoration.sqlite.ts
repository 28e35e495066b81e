/** That this store came out of a backup, and for whom that still counts (M11), in SQLite. What must hold of it: `store.ts`. */
import { z } from "zod"
import { writeJson } from "../attestation/wire/json.ts"
import type { Database } from "./database.ts"
import type { Restoration, Restored } from "./store.ts"
import { appendLeaf } from "./vault/leaves.sqlite.ts"

const restorationRow = z.strictObject({
  at: z.int(),
  by: z.string(),
  reason: z.string(),
  after: z.int(),
})
const sizeRow = z.strictObject({ n: z.int() })
const resetRow = z.strictObject({ reset: z.int() })

export function restoration(db: Database): Restored {
  return {
    size: async () => size(db),
    restored: async ({ at, by, reason }) =>
      db.transaction(() => {
        db.run("INSERT INTO restoration (at, by, reason, after) VALUES (?, ?, ?, ?)", at, by, reason, size(db))
        appendLeaf(db, { kind: "restoration", bytes: writeJson({ at, by, reason, evidence: size(db) }), at })
      }),
  }
}

/** Nothing of evidence is ever deleted: the highest rowid is their number. */
const size = (db: Database): number => db.one(sizeRow, "SELECT coalesce(max(rowid), 0) AS n FROM evidence")?.n ?? 0

/**
 * The restoration that counts for evidence of this resetCount: the newest, if the attester was enrolled before it, and as long as
 * resetCount does not exceed that of its first answer in time after it.
 */
export function restorationFor(db: Database, attester: string, resetCount: number): Restoration | undefined {
  const last = db.one(
    restorationRow,
    `SELECT at, by, reason, after FROM restoration
     WHERE at >= (SELECT min(at) FROM enrolment WHERE attester = ?) ORDER BY id DESC LIMIT 1`,
    attester,
  )
  if (!last) return undefined
  const first = db.one(
    resetRow,
    `SELECT reset FROM evidence WHERE attester = (SELECT id FROM name WHERE text = ?) AND rowid > ? AND timely = 1
     ORDER BY rowid LIMIT 1`,
    ...[attester, last.after],
  )
  const { after: _, ...told } = last
  return first && resetCount > first.reset ? undefined : told
}
