/** How attesters stand and what they are compared with, in SQLite. What must hold of it: `store.ts`. */
import { z } from "zod"
import { unknown } from "../attestation/appraise/state.ts"
import { writeJson } from "../attestation/wire/json.ts"
import { closeGaps } from "./closing.sqlite.ts"
import type { Database } from "./database.ts"
import { found } from "./found.ts"
import type { Entry, Incident, Register, VersionedStanding } from "./store.ts"
import { appendLeaf, keepOnce } from "./vault/leaves.sqlite.ts"

const standingRow = z
  .strictObject({
    version: z.int(),
    state: z.enum(["unknown", "affirming", "warning", "contraindicated"]),
    reset: z.int(),
    fresh: z.int().nullable(),
    under: z.string().nullable(),
  })
  .transform(({ reset, ...same }): VersionedStanding => ({ ...same, resetCount: reset }))

const gapRow = z.strictObject({ evidence: z.string(), missing: z.string().nullable(), opened: z.int() })
const open =
  "SELECT evidence, missing, opened FROM gap WHERE attester = ? AND evidence NOT IN (SELECT gap FROM closing)"

const incidentRow = z.strictObject({
  attester: z.string(),
  at: z.int(),
  kind: z.enum(["refused", "missed", "declined"]),
  evidence: z.string().nullable(),
  findings: z.string().transform(text => z.array(found).parse(JSON.parse(text))),
  says: z.string(),
})

export function register(db: Database): Register {
  const standing = (attester: string): VersionedStanding =>
    db.one(standingRow, "SELECT version, state, reset, fresh, under FROM standing WHERE attester = ?", attester) ?? {
      ...unknown,
      version: 0,
    }
  return {
    standing: async attester => standing(attester),
    stand: async (attester, { version, after }) =>
      db.transaction(() => {
        if (standing(attester).version !== version) return "moved"
        stand(db, attester, { version, after })
        return "kept"
      }),
    clear: async ({ attester, at, by, reason }, after) =>
      db.transaction(() => {
        const was = standing(attester)
        db.run(
          "INSERT INTO clearing (attester, at, by, reason, was) VALUES (?, ?, ?, ?, ?)",
          ...[attester, at, by, reason, was.state],
        )
        appendLeaf(db, { kind: "clearing", bytes: writeJson({ attester, at, by, reason, was: was.state }), at })
        closeGaps(db, { where: "open", attester, at, by, reason })
        db.run(
          "UPDATE standing SET version = version + 1, state = ?, reset = ?, fresh = ?, under = ? WHERE attester = ?",
          ...[after.state, after.resetCount, after.fresh, after.under, attester],
        )
      }),
    gaps: async (attester, limit) => db.all(gapRow, `${open} ORDER BY opened LIMIT ?`, attester, limit),
    tell: async (incident, keep) => db.transaction(() => tell(db, incident, keep)),
    incidents: async (attester, limit) =>
      db.all(
        incidentRow,
        "SELECT attester, at, kind, evidence, findings, says FROM incident WHERE attester = ? ORDER BY id DESC LIMIT ?",
        ...[attester, limit],
      ),
    refer: async (attester, digest, at, bytes) =>
      db.transaction(() => {
        db.run(
          "INSERT INTO reference (attester, digest, at, bytes) VALUES (?, ?, ?, ?)",
          ...[attester, digest, at, bytes],
        )
        keepOnce(db, { kind: "reference", bytes, at })
      }),
    reference: async attester =>
      db.one(
        z.strictObject({ bytes: z.instanceof(Uint8Array) }),
        "SELECT bytes FROM reference WHERE attester = ? ORDER BY id DESC LIMIT 1",
        attester,
      )?.bytes,
  }
}

/** Writes the standing that follows the one of this version. */
export function stand(db: Database, attester: string, { version, after }: Entry["standing"]): void {
  db.run(
    `INSERT INTO standing (attester, version, state, reset, fresh, under) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (attester)
     DO UPDATE SET version = excluded.version, state = excluded.state, reset = excluded.reset, fresh = excluded.fresh,
       under = excluded.under`,
    ...[attester, version + 1, after.state, after.resetCount, after.fresh, after.under],
  )
}

function tell(db: Database, { attester, at, kind, evidence, findings: found, says }: Incident, keep: number): void {
  db.run(
    "INSERT INTO incident (attester, at, kind, evidence, findings, says) VALUES (?, ?, ?, ?, ?, ?)",
    ...[attester, at, kind, evidence, JSON.stringify(found), says],
  )
  db.run(
    `DELETE FROM incident WHERE attester = ?1 AND id NOT IN
       (SELECT id FROM incident WHERE attester = ?1 ORDER BY id DESC LIMIT ?2)`,
    ...[attester, keep],
  )
}
