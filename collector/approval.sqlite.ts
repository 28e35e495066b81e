/** What people approved and planned, in SQLite. What must hold of it: `approval.ts`. */
import { z } from "zod"
import { statementKinds } from "../attestation/pins/statement.ts"
import { writeJson } from "../attestation/wire/json.ts"
import type { Approval } from "./approval.ts"
import type { Database } from "./database.ts"
import { appendLeaf, keepOnce } from "./vault/leaves.sqlite.ts"

const noteRow = z.strictObject({
  kind: z.enum(statementKinds),
  origin: z.string(),
  digest: z.string(),
  at: z.int(),
  bytes: z.instanceof(Uint8Array),
})

const planRow = z.strictObject({
  ...{ gap: z.string(), owner: z.string(), closes: z.string(), by: z.string(), reason: z.string(), at: z.int() },
})

export const approval = (db: Database): Approval => ({
  publish: async ({ kind, origin, digest, at, bytes }, approvals) =>
    db.transaction(() => {
      const sql = "INSERT INTO note (kind, origin, digest, at, bytes) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
      if (db.run(sql, kind, origin, digest, at, bytes) === 0) return false
      keepOnce(db, { kind, bytes, at })
      for (const each of approvals) keepOnce(db, { kind: "approval", bytes: each, at })
      return true
    }),
  publishedNotes: async () => db.all(noteRow, "SELECT kind, origin, digest, at, bytes FROM note ORDER BY id"),
  references: async limit =>
    db
      .all(
        z.strictObject({ bytes: z.instanceof(Uint8Array) }),
        "SELECT bytes FROM reference ORDER BY id DESC LIMIT ?",
        limit,
      )
      .map(({ bytes }) => bytes),
  planGap: async plan =>
    db.transaction(() => {
      const { gap, owner, closes, by, reason, at } = plan
      db.run(
        "INSERT INTO gap_plan (gap, owner, closes, by, reason, at) VALUES (?, ?, ?, ?, ?, ?)",
        ...[gap, owner, closes, by, reason, at],
      )
      appendLeaf(db, { kind: "gap-plan", bytes: writeJson(plan), at })
    }),
  gapPlans: async () => db.all(planRow, "SELECT gap, owner, closes, by, reason, at FROM gap_plan ORDER BY id"),
})
