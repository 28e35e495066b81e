/** Secrets and their releases, in SQLite. What must hold of it: `secret.ts`. */
import { z } from "zod"
import { tiers } from "../attestation/appraise/component.ts"
import type { Decision } from "../attestation/appraise/endorsement.ts"
import { writeJson } from "../attestation/wire/json.ts"
import type { Database } from "./database.ts"
import {
  releaseTiers,
  type Granted,
  type Secret,
  type Secrets,
  type Unseal,
  type Wish,
  type Withheld,
} from "./secret.ts"
import { retirementOf } from "./trust.sqlite.ts"
import { appendLeaf } from "./vault/leaves.sqlite.ts"

const put = {
  attester: z.string(),
  name: z.string(),
  tier: z.enum(releaseTiers),
  by: z.string(),
  reason: z.string(),
  at: z.int(),
}
const secretRow = z.strictObject({ id: z.int(), ...put })
type Put = z.infer<typeof secretRow>
const listedRow = z.strictObject({ ...put, releases: z.int(), last: z.int().nullable() })

/** What was neither withdrawn nor replaced has its bytes. */
const inForce = "EXISTS (SELECT 1 FROM sealed_secret WHERE secret = secret.id)"
const columns = "secret.attester, secret.name, secret.tier, secret.by, secret.reason, secret.at"

export const secrets = (db: Database): Secrets => ({
  putSecret: async (secret, sealed) => db.transaction(() => keep(db, secret, sealed)),
  secrets: async () =>
    db.all(
      listedRow,
      `SELECT ${columns}, count(evidence) AS releases, max(secret_release.at) AS last FROM secret
       LEFT JOIN secret_release ON secret_release.secret = secret.id WHERE ${inForce}
       GROUP BY secret.id ORDER BY secret.attester, secret.name`,
    ),
  withdrawSecret: async (attester, name, decision, at) =>
    db.transaction(() => withdraw(db, { attester, name, ...decision, at })),
  release: async (wish, unseal) => db.transaction(() => release(db, wish, unseal)),
})

const find = (db: Database, { attester, name }: Pick<Wish, "attester" | "name">): Put | undefined =>
  db.one(secretRow, `SELECT id, ${columns} FROM secret WHERE attester = ? AND name = ? AND ${inForce}`, attester, name)

const forget = (db: Database, id: number): number => db.run("DELETE FROM sealed_secret WHERE secret = ?", id)

function keep(db: Database, { attester, name, tier, by, reason, at }: Secret, sealed: Uint8Array): boolean {
  const before = find(db, { attester, name })
  if (before) forget(db, before.id)
  db.run(
    "INSERT INTO secret (attester, name, tier, by, reason, at) VALUES (?, ?, ?, ?, ?, ?)",
    ...[attester, name, tier, by, reason, at],
  )
  const { id } = db.one(z.strictObject({ id: z.int() }), "SELECT max(id) AS id FROM secret") ?? { id: 0 }
  db.run("INSERT INTO sealed_secret (secret, bytes) VALUES (?, ?)", id, sealed)
  const told = { number: id, secret: name, attester, tier, by, reason, at, replaces: before?.id ?? null }
  appendLeaf(db, { kind: "secret-put", bytes: writeJson(told), at })
  return before !== undefined
}

type Withdrawal = Decision & Pick<Secret, "attester" | "name" | "at">

function withdraw(db: Database, { attester, name, by, reason, at }: Withdrawal): boolean {
  const found = find(db, { attester, name })
  if (!found) return false
  forget(db, found.id)
  db.run("INSERT INTO secret_withdrawal (secret, by, reason, at) VALUES (?, ?, ?, ?)", ...[found.id, by, reason, at])
  const told = { number: found.id, secret: name, attester, by, reason, at }
  appendLeaf(db, { kind: "secret-withdrawn", bytes: writeJson(told), at })
  return true
}

function release(db: Database, wish: Wish, unseal: Unseal): Granted | Withheld {
  const found = find(db, wish)
  if (!found) return { kind: "withheld", why: "unknown" }
  const granted = judge(db, found, wish, unseal)
  const told = {
    ...{ number: found.id, secret: found.name, attester: found.attester, evidence: wish.evidence, at: wish.at },
    ...{ tier: found.tier, by: found.by, put: found.at },
  }
  if (granted.kind === "granted") {
    db.run("INSERT INTO secret_release (evidence, secret, at) VALUES (?, ?, ?)", wish.evidence, found.id, wish.at)
    appendLeaf(db, { kind: "secret-released", bytes: writeJson(told), at: wish.at })
  } else appendLeaf(db, { kind: "secret-withheld", bytes: writeJson({ ...told, why: granted.why }), at: wish.at })
  return granted
}

const withheld = (why: "unanswered" | "retired" | "sealed"): Withheld => ({ kind: "withheld", why })

const answerRow = z.strictObject({ asked: z.int(), tier: z.enum(tiers), enrolment: z.int() })
const stateRow = z.strictObject({ state: z.string() })
const bytesRow = z.strictObject({ bytes: z.instanceof(Uint8Array) })

/** An answer in time of this attester's newest enrolment that was asked for the sake of the wish, and released nothing yet. */
const answerSql = `
  SELECT asked, tier, enrolment FROM evidence JOIN name ON name.id = attester
  WHERE digest = ?1 AND text = ?2 AND timely = 1 AND asked >= ?3
    AND enrolment = (SELECT max(number) FROM enrolment WHERE attester = ?2)
    AND NOT EXISTS (SELECT 1 FROM secret_release WHERE evidence = ?1)`

function judge(db: Database, found: Put, { attester, evidence, since }: Wish, unseal: Unseal): Granted | Withheld {
  const answer = db.one(answerRow, answerSql, evidence, attester, since)
  if (!answer) return withheld("unanswered")
  if (retirementOf(db, attester)) return withheld("retired")
  const { tier, enrolment } = answer
  const state = db.one(stateRow, "SELECT state FROM standing WHERE attester = ?", attester)?.state ?? "unknown"
  const enough = (is: string): boolean => is === "affirming" || (found.tier === "warning" && is === "warning")
  if (!enough(tier)) return { kind: "withheld", why: "tier", tier, allowed: found.tier }
  if (!enough(state)) return { kind: "withheld", why: "standing", tier, allowed: found.tier }
  const sealed = db.one(bytesRow, "SELECT bytes FROM sealed_secret WHERE secret = ?", found.id)
  const secret = sealed && unseal(found, sealed.bytes)
  return secret ? { kind: "granted", secret, enrolment } : withheld("sealed")
}
