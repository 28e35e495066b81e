/** Whom the collector trusts, in SQLite. What must hold of it: `trust.ts`. */
import { z } from "zod"
import { decision } from "../attestation/appraise/endorsement.ts"
import { invitationColumns, invitationRow } from "./admission.sqlite.ts"
import { writeJson } from "../attestation/wire/json.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import type { Database } from "./database.ts"
import type { AdmittedCertificate, Retirement, Trust } from "./trust.ts"
import { appendLeaf } from "./vault/leaves.sqlite.ts"

const certificateRow = z
  .strictObject({
    fingerprint: z.string(),
    certificate: z.instanceof(Uint8Array),
    role: z.enum(["root", "intermediate"]),
    maker: z.string(),
    by: z.string().nullable(),
    reason: z.string().nullable(),
    at: z.int(),
  })
  .transform(
    ({ by, reason, ...rest }): AdmittedCertificate => ({
      ...rest,
      approval: by === null || reason === null ? "listed" : { by, reason },
    }),
  )
const inForce = "NOT EXISTS (SELECT 1 FROM withdrawal WHERE certificate = certificate.id)"

const retirementRow = z.strictObject({
  attester: z.string(),
  number: z.int(),
  at: z.int(),
  by: z.string(),
  reason: z.string(),
})
const aliasRow = z.strictObject({ attester: z.string(), alias: z.string(), at: z.int() })
const numberRow = z.strictObject({ number: z.int().nullable() })
const attesterRow = z.strictObject({ attester: z.string() })
const idRow = z.strictObject({ id: z.int() })

export function trust(db: Database): Trust {
  return {
    admitCertificate: async certificate => db.transaction(() => admit(db, certificate)),
    admittedCertificates: async () =>
      db.all(
        certificateRow,
        `SELECT fingerprint, bytes AS certificate, role, maker, by, reason, at FROM certificate
         WHERE ${inForce} ORDER BY id`,
      ),
    withdrawal: async fingerprint =>
      idOf(db, fingerprint) === undefined
        ? db.one(
            decision,
            `SELECT withdrawal.by, withdrawal.reason FROM withdrawal JOIN certificate ON id = certificate
             WHERE fingerprint = ? ORDER BY id DESC LIMIT 1`,
            fingerprint,
          )
        : undefined,
    withdraw: async (fingerprint, { by, reason }, at) =>
      db.transaction(() => {
        const id = idOf(db, fingerprint)
        if (id === undefined) return false
        db.run("INSERT INTO withdrawal (certificate, by, reason, at) VALUES (?, ?, ?, ?)", id, by, reason, at)
        appendLeaf(db, { kind: "withdrawal", bytes: writeJson({ fingerprint, by, reason, at }), at })
        return true
      }),
    retire: async (attester, { by, reason }, at) => db.transaction(() => retire(db, { attester, by, reason, at })),
    retirement: async attester => retirementOf(db, attester),
    alias: async ({ attester, alias, at }) => {
      db.run(
        "INSERT INTO alias (attester, alias, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        ...[attester, alias, at],
      )
    },
    aliases: async attester =>
      db.all(aliasRow, "SELECT attester, alias, at FROM alias WHERE ? IN (attester, alias) ORDER BY at", attester),
    ownerOf: async ak =>
      db.one(attesterRow, "SELECT attester FROM enrolment WHERE ak = ? ORDER BY at DESC LIMIT 1", ak)?.attester,
    invitations: async (before, limit) =>
      db.all(
        invitationRow,
        `SELECT ${invitationColumns} FROM invitation WHERE issued < ? ORDER BY issued DESC, id LIMIT ?`,
        ...[before, limit],
      ),
  }
}

const idOf = (db: Database, fingerprint: string): number | undefined =>
  db.one(idRow, `SELECT id FROM certificate WHERE fingerprint = ? AND ${inForce}`, fingerprint)?.id

function admit(db: Database, { fingerprint, certificate, role, maker, approval, at }: AdmittedCertificate): boolean {
  if (idOf(db, fingerprint) !== undefined) return false
  const { by, reason } = approval === "listed" ? { by: null, reason: null } : approval
  db.run(
    "INSERT INTO certificate (fingerprint, bytes, role, maker, by, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?)",
    ...[fingerprint, certificate, role, maker, by, reason, at],
  )
  const admitted = { fingerprint, role, maker, by, reason, at, certificate: toBase64(certificate) }
  appendLeaf(db, { kind: "certificate", bytes: writeJson(admitted), at })
  return true
}

const newest = "SELECT max(number) AS number FROM enrolment WHERE attester = ?"

/** The retirement of the newest enrolment. */
export const retirementOf = (db: Database, attester: string): Retirement | undefined =>
  db.one(
    retirementRow,
    `SELECT attester, number, at, by, reason FROM retirement WHERE attester = ? AND number = (${newest})`,
    ...[attester, attester],
  )

function retire(db: Database, given: Omit<Retirement, "number">): Retirement | "none" | "retired before" {
  const { attester, at, by, reason } = given
  const number = db.one(numberRow, newest, attester)?.number ?? null
  if (number === null) return "none"
  if (retirementOf(db, attester)) return "retired before"
  db.run(
    "INSERT INTO retirement (attester, number, at, by, reason) VALUES (?, ?, ?, ?, ?)",
    ...[attester, number, at, by, reason],
  )
  appendLeaf(db, { kind: "retirement", bytes: writeJson({ attester, number, at, by, reason }), at })
  return { ...given, number }
}
