/** Who was invited and who was let in, in SQLite. What must hold of it: `store.ts`. */
import { z } from "zod"
import { endorsement } from "../attestation/appraise/endorsement.ts"
import { identity } from "../attestation/protocol/message.ts"
import { writeJson } from "../attestation/wire/json.ts"
import type { Database } from "./database.ts"
import type { Admission, Enrolment, InvitationState } from "./store.ts"
import { appendLeaf } from "./vault/leaves.sqlite.ts"

const accept = z.strictObject({ ek: z.string(), by: z.string(), reason: z.string() })
/** A column of JSON that we wrote. */
const json = <T>(schema: z.ZodType<T>) => z.string().transform(text => schema.parse(JSON.parse(text)))
/** 64-bit numbers are decimal strings. */
export const auditState = z.strictObject({
  counter: z.string(),
  clock: z.strictObject({
    milliseconds: z.string(),
    resetCount: z.int(),
    restartCount: z.int(),
  }),
})
const flag = z.int().transform(n => n !== 0)

export const invitationRow = z.strictObject({
  id: z.string(),
  purpose: z.enum(["attester", "verifier"]),
  name: z.string(),
  by: z.string(),
  issued: z.int(),
  expires: z.int(),
  accept: json(accept).nullable(),
  revoked: flag,
  used: flag,
})

export const invitationColumns = `id, purpose, name, by, issued, expires, accept,
  EXISTS (SELECT 1 FROM revocation WHERE invitation = id) AS revoked,
  EXISTS (SELECT 1 FROM enrolment WHERE invitation = invitation.id) AS used`

const enrolmentRow = z.strictObject({
  attester: z.string(),
  number: z.int(),
  at: z.int(),
  label: z.string(),
  invitation: z.string(),
  identity: json(identity),
  ak: z.string(),
  endorsement: json(endorsement),
  audit: json(auditState)
    .nullable()
    .transform(audit => audit ?? "unavailable"),
})
const enrolmentColumns = "attester, number, at, label, invitation, identity, ak, endorsement, audit"

const fleetRow = z.strictObject({ attester: z.string(), label: z.string(), enrolled: z.int() })
/** The newest enrolment of each attester. */
const fleet = `SELECT attester, label, at AS enrolled FROM enrolment AS own
  WHERE number = (SELECT max(number) FROM enrolment WHERE attester = own.attester)`

export function admission(db: Database): Admission {
  return {
    invite: async each => {
      const accepted = each.accept === null ? null : JSON.stringify(each.accept)
      db.run(
        "INSERT INTO invitation (id, purpose, name, by, issued, expires, accept) VALUES (?, ?, ?, ?, ?, ?, ?)",
        ...[each.id, each.purpose, each.name, each.by, each.issued, each.expires, accepted],
      )
    },
    invitation: async id => invitationOf(db, id),
    revoke: async (id, by, at) =>
      db.run(
        `INSERT INTO revocation (invitation, by, at) SELECT id, ?, ? FROM invitation WHERE id = ?
         ON CONFLICT DO NOTHING`,
        ...[by, at, id],
      ) > 0,
    enrol: async enrolment => db.transaction(() => enrol(db, enrolment)),
    enrolment: async attester =>
      db.one(
        enrolmentRow,
        `SELECT ${enrolmentColumns} FROM enrolment WHERE attester = ? ORDER BY number DESC LIMIT 1`,
        attester,
      ),
    enrolmentNumber: async (attester, number) =>
      db.one(
        enrolmentRow,
        `SELECT ${enrolmentColumns} FROM enrolment WHERE attester = ? AND number = ?`,
        ...[attester, number],
      ),
    attesters: async (after, limit) =>
      db.all(fleetRow, `${fleet} AND attester > ? ORDER BY attester LIMIT ?`, after, limit),
    count: async () =>
      db.one(z.strictObject({ n: z.int() }), "SELECT count(DISTINCT attester) AS n FROM enrolment")?.n ?? 0,
    find: async text => {
      const named = db.all(fleetRow, `${fleet} AND substr(attester, 1, length(?1)) = ?1 LIMIT 2`, text)
      return named.length > 0 ? named : db.all(fleetRow, `${fleet} AND label = ? LIMIT 2`, text)
    },
  }
}

function invitationOf(db: Database, id: string): InvitationState | undefined {
  return db.one(invitationRow, `SELECT ${invitationColumns} FROM invitation WHERE id = ?`, id)
}

function enrol(db: Database, enrolment: Omit<Enrolment, "number">): Enrolment | "refused" | "taken" {
  const { attester, at, label, identity, ak, endorsement, audit } = enrolment
  const invitation = invitationOf(db, enrolment.invitation)
  if (invitation?.purpose !== "attester" || invitation.used || invitation.revoked || invitation.expires <= at)
    return "refused"
  const others = db.one(
    z.strictObject({ taken: flag }),
    "SELECT EXISTS (SELECT 1 FROM enrolment WHERE attester <> ? AND (ak = ? OR evidence_key = ?)) AS taken",
    ...[attester, ak, identity.evidenceKey],
  )
  if (others?.taken) return "taken"
  const last = db.one(
    z.strictObject({ number: z.int() }),
    "SELECT coalesce(max(number), 0) AS number FROM enrolment WHERE attester = ?",
    attester,
  )
  const number = (last?.number ?? 0) + 1
  db.run(
    `INSERT INTO enrolment (attester, number, at, label, invitation, identity, ak, evidence_key, endorsement, audit)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[attester, number, at, label, invitation.id, JSON.stringify(identity), ak, identity.evidenceKey],
    ...[JSON.stringify(endorsement), audit === "unavailable" ? null : JSON.stringify(audit)],
  )
  const enrolled = { ...enrolment, number }
  appendLeaf(db, { kind: "enrolment", bytes: writeJson(enrolled), at })
  return enrolled
}
