/**
 * What may be forgotten, and what stays? The bytes of evidence and results, and the logs that came with them, when their time is over; the
 * leaves stay, so that every proof holds. Who pruned, and up to when, is a leaf of its own.
 */
import { z } from "zod"
import { writeJson } from "../../attestation/wire/json.ts"
import type { Database } from "../database.ts"
import { appendLeaf } from "./leaves.sqlite.ts"

/** `retention` is the floor under which it was done, in years: whoever lowers it says so in the leaf. */
export type Pruning = {
  readonly before: number
  readonly by: string
  readonly at: number
  readonly retention: number
}
export type Pruned = { readonly leaves: number; readonly logs: number }

/** Takes away what was kept before `before`. Bytes that newer ones are packed against stay until those go. */
export function prune(db: Database, { before, by, at, retention }: Pruning): Pruned {
  return db.transaction(() => {
    const leaves = db.run(
      `DELETE FROM kept WHERE position IN (SELECT position FROM leaf WHERE at < ?1 AND kind IN ('evidence', 'result'))
         AND position NOT IN (SELECT base FROM kept JOIN leaf USING (position) WHERE base IS NOT NULL AND at >= ?1)`,
      before,
    )
    const logs = pruneLogs(db, before)
    const told = { before: new Date(before).toISOString(), retention: yearsOf(retention), by, leaves, logs }
    if (leaves + logs > 0) appendLeaf(db, { kind: "pruning", bytes: writeJson(told), at })
    return { leaves, logs }
  })
}

/** "1 year". */
export const yearsOf = (years: number): string => `${years} ${years === 1 ? "year" : "years"}`

/** The one place where rows that are never deleted are: their guard is taken off and put back within the transaction. */
function pruneLogs(db: Database, before: number): number {
  const guard = db.one(
    z.strictObject({ sql: z.string() }),
    "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = 'piece_no_delete'",
  )
  if (!guard) throw new Error("the store lacks the guard of its logs")
  db.run("DROP TRIGGER piece_no_delete")
  const needed = "SELECT log FROM evidence WHERE received >= ?1"
  const logs = db.run(
    `DELETE FROM piece WHERE log NOT IN (${needed})
       AND log NOT IN (SELECT parent FROM log WHERE parent IS NOT NULL AND id IN (${needed}))`,
    before,
  )
  db.run(guard.sql)
  return logs
}
