/**
 * How does what was kept before there was a vault come into it? Once, at the first opening: enrolments, references and gaps, and all
 * evidence in the order of its coming. It says when it was received, and the tree when it began to be watched.
 */
import { z } from "zod"
import { tiers } from "../../attestation/appraise/appraise.ts"
import { writeJson } from "../../attestation/wire/json.ts"
import { insertEvidence } from "../archive.sqlite.ts"
import type { Database } from "../database.ts"
import { appendLeaf, keepOnce } from "./leaves.sqlite.ts"

const blob = z.instanceof(Uint8Array)
const row = z.strictObject({
  digest: z.string(),
  attester: z.string(),
  enrolment: z.int(),
  kind: z.enum(["answer", "report"]),
  timely: z.int(),
  chain: z.string(),
  sequence: z.string(),
  previous: z.string().nullable(),
  reset: z.int(),
  restart: z.int(),
  clock: z.string(),
  boot: z.string(),
  nonce: blob.nullable(),
  asked: z.int().nullable(),
  received: z.int(),
  envelope: blob,
  log: z.int(),
  log_length: z.int(),
  tier: z.enum(tiers),
  result: blob,
  audit: z.string().nullable(),
})
type Before = z.infer<typeof row>

/** Brings over what a store of an earlier version holds. Does nothing at any later opening. */
export function adopt(db: Database): void {
  const there = z.strictObject({ n: z.int() })
  if (db.one(there, "SELECT count(*) AS n FROM sqlite_schema WHERE name = 'evidence_before'")?.n === 0) return
  db.transaction(() => {
    adoptDecisions(db)
    for (const { id } of db.all(
      z.strictObject({ id: z.int() }),
      "SELECT rowid AS id FROM evidence_before ORDER BY rowid",
    ))
      adoptEvidence(db, db.one(row, "SELECT * FROM evidence_before WHERE rowid = ?", id))
    db.run("DROP TABLE evidence_before")
  })
}

function adoptDecisions(db: Database): void {
  const enrolment = z.strictObject({
    at: z.int(),
    attester: z.string(),
    number: z.int(),
    label: z.string(),
    identity: z.string(),
    endorsement: z.string(),
    ak: z.string(),
    invitation: z.string(),
  })
  const enrolments =
    "SELECT attester, at, label, invitation, identity, ak, endorsement, number FROM enrolment ORDER BY at"
  for (const each of db.all(enrolment, enrolments)) {
    const { attester, at, label, invitation, ak, number } = each
    const identity: unknown = JSON.parse(each.identity)
    const endorsement: unknown = JSON.parse(each.endorsement)
    const told = { attester, at, label, invitation, identity, ak, endorsement, number }
    appendLeaf(db, { kind: "enrolment", bytes: writeJson(told), at })
  }
  const reference = z.strictObject({ at: z.int(), bytes: blob })
  for (const { at, bytes } of db.all(reference, "SELECT at, bytes FROM reference ORDER BY id"))
    keepOnce(db, { kind: "reference", bytes, at })
  const gap = z.strictObject({
    evidence: z.string(),
    attester: z.string(),
    missing: z.string().nullable(),
    opened: z.int(),
  })
  for (const each of db.all(gap, "SELECT evidence, attester, missing, opened FROM gap ORDER BY opened"))
    appendLeaf(db, { kind: "chain-gap", bytes: writeJson(each), at: each.opened })
}

function adoptEvidence(db: Database, before: Before | undefined): void {
  if (!before) return
  const { chain, sequence, previous, reset, restart, clock, timely, log_length, ...same } = before
  insertEvidence(db, {
    ...same,
    timely: timely === 1,
    chain: { id: chain, sequence, previous },
    clock: { resetCount: reset, restartCount: restart, milliseconds: BigInt(clock) },
    length: log_length,
  })
}
