/** What attesters showed, in SQLite: nonces, evidence, results, and logs of which no byte is kept twice. What must hold of it: `store.ts`. */
import { z } from "zod"
import { tiers } from "../attestation/appraise/appraise.ts"
import { writeJson } from "../attestation/wire/json.ts"
import type { Seen } from "../attestation/verify/continuity.ts"
import { auditState } from "./admission.sqlite.ts"
import { bootLogBytes, keepBootLogs, shownLogs } from "./boot-log.sqlite.ts"
import { closeGaps } from "./closing.sqlite.ts"
import type { Bound, Database } from "./database.ts"
import { restorationFor } from "./restoration.sqlite.ts"
import { keepLog, logs, readLog } from "./log.sqlite.ts"
import { stand } from "./register.sqlite.ts"
import type { Archive, Archived, AuditState, Entry, Neighbours, Place, Recorded } from "./store.ts"
import { appendLeaf, contentOf } from "./vault/leaves.sqlite.ts"

/** Unsigned 64-bit numbers as text that sorts. */
const padded = (n: bigint | string): string => String(n).padStart(20, "0")
const unpadded = z.string().transform(text => String(BigInt(text)))

const bytes = z.instanceof(Uint8Array)
const nonceRow = z.strictObject({
  nonce: bytes,
  attester: z.string(),
  channel: bytes,
  issued: z.int(),
  expires: z.int(),
})

const seenColumns = z.strictObject({
  digest: z.string(),
  chain: z.string(),
  sequence: unpadded,
  reset: z.int(),
  restart: z.int(),
  clock: unpadded,
  boot: z.string(),
})
const toSeen = (row: z.infer<typeof seenColumns>): Seen => ({
  digest: row.digest,
  chain: { id: row.chain, sequence: row.sequence },
  clock: { milliseconds: BigInt(row.clock), resetCount: row.reset, restartCount: row.restart },
  boot: row.boot,
})
const seenRow = seenColumns.transform(toSeen)
const seenWithLog = seenColumns.extend({ log: z.int() }).transform(row => ({ ...toSeen(row), log: row.log }))
/** Attester, chain and boot are numbers in the table and text here. */
const textOf = (column: string): string => `(SELECT text FROM name WHERE id = ${column}) AS ${column}`
const seenOf = `digest, ${textOf("chain")}, sequence, reset, restart, clock, ${textOf("boot")}`
const isAttester = "attester = (SELECT id FROM name WHERE text = ?)"
const seen = `SELECT ${seenOf} FROM evidence WHERE ${isAttester}`
/** The same with the length of its log, if that is of the epoch asked for. */
const withLog = `SELECT ${seenOf},
  CASE WHEN reset = ? AND restart = ? THEN log_length ELSE 0 END AS log FROM evidence WHERE ${isAttester}`
const byQuote = "ORDER BY reset DESC, restart DESC, clock DESC LIMIT 1"

const archivedRow = z
  .strictObject({
    digest: z.string(),
    attester: z.string(),
    enrolment: z.int(),
    kind: z.enum(["answer", "report"]),
    timely: z.int(),
    chain: z.string(),
    sequence: unpadded,
    previous: z.string().nullable(),
    reset: z.int(),
    restart: z.int(),
    clock: unpadded,
    boot: z.string(),
    asked: z.int().nullable(),
    received: z.int(),
    log_length: z.int(),
    tier: z.enum(tiers),
    leaf: z.int(),
  })
  .transform(({ chain, sequence, previous, reset, restart, clock, log_length, timely, leaf, ...same }) => ({
    leaf,
    row: {
      ...same,
      timely: timely === 1,
      chain: { id: chain, sequence, previous },
      clock: { milliseconds: BigInt(clock), resetCount: reset, restartCount: restart },
      log: log_length,
    },
  }))
const archived = `SELECT digest, ${textOf("attester")}, enrolment, kind, timely, ${textOf("chain")}, sequence, previous, reset, restart,
  clock, ${textOf("boot")}, asked, received, log_length, tier, leaf FROM evidence`

/** The row that `sql` gives; its envelope and result lie in the vault where it has a leaf. Empty where they were pruned. */
function archivedBy(db: Database, sql: string, ...values: Bound[]): Archived | undefined {
  const found = db.one(archivedRow, `${archived} ${sql}`, ...values)
  if (!found) return undefined
  const [envelope, result] = [contentOf(db, found.leaf), contentOf(db, found.leaf + 1)]
  return { ...found.row, envelope: envelope ?? new Uint8Array(0), result: result ?? new Uint8Array(0) }
}

export function archive(db: Database): Archive {
  return {
    issue: async ({ nonce, attester, channel, issued, expires }) => {
      db.run(
        "INSERT INTO nonce (nonce, attester, channel, issued, expires) VALUES (?, ?, ?, ?, ?)",
        ...[nonce, attester, channel, issued, expires],
      )
    },
    nonce: async nonce =>
      db.one(nonceRow, "SELECT nonce, attester, channel, issued, expires FROM nonce WHERE nonce = ?", nonce),
    forgetNonces: async (late, now, most) => {
      db.run("DELETE FROM nonce WHERE expires < ?", late)
      db.run("DELETE FROM nonce WHERE expires < ? AND attester NOT IN (SELECT attester FROM enrolment)", now)
      db.run(
        `DELETE FROM nonce WHERE nonce IN (SELECT nonce FROM
           (SELECT nonce, row_number() OVER (PARTITION BY attester ORDER BY issued DESC) AS place FROM nonce)
           WHERE place > ?)`,
        most,
      )
    },
    neighbours: async place => neighbours(db, place),
    prefixes: async (epoch, length) =>
      logs(db, epoch)
        .map(id => readLog(db, id))
        .filter(log => log.length >= length)
        .map(log => log.subarray(0, length)),
    bootLogs: async (attester, name, length) => shownLogs(db, attester, name, length),
    bootLog: async (attester, digest, offset, length) => bootLogBytes(db, attester, digest, offset, length),
    record: async entry => db.transaction(() => record(db, entry)),
    archived: async digest => archivedBy(db, "WHERE digest = ?", digest),
    newest: async (attester, which) =>
      archivedBy(
        db,
        `WHERE ${isAttester} AND timely >= ? ORDER BY received DESC, rowid DESC LIMIT 1`,
        ...[attester, which === "timely" ? 1 : 0],
      ),
    log: async (digest, offset, length) => {
      const row = z.strictObject({ log: z.int(), log_length: z.int() })
      const found = db.one(row, "SELECT log, log_length FROM evidence WHERE digest = ?", digest)
      if (!found) return new Uint8Array(0)
      return readLog(db, found.log).subarray(offset, Math.min(found.log_length, offset + length))
    },
  }
}

function neighbours(db: Database, { attester, chain, predecessor, clock }: Place): Neighbours {
  const sequence = padded(chain.sequence)
  const [first] = logs(db, { attester, ...clock })
  const { resetCount, restartCount, milliseconds } = clock
  return {
    before: db.one(
      seenRow,
      `${seen} AND chain = (SELECT id FROM name WHERE text = ?) AND sequence < ? ORDER BY sequence DESC LIMIT 1`,
      ...[attester, chain.id, sequence],
    ),
    same: db.one(
      seenRow,
      `${seen} AND chain = (SELECT id FROM name WHERE text = ?) AND sequence = ?`,
      attester,
      chain.id,
      sequence,
    ),
    newest: db.one(seenRow, `${seen} ${byQuote}`, attester),
    older: db.one(
      seenWithLog,
      `${withLog} AND (reset, restart, clock) < (?, ?, ?) ${byQuote}`,
      ...[resetCount, restartCount, attester, resetCount, restartCount, padded(milliseconds)],
    ),
    newer: db.one(
      seenWithLog,
      `${withLog} AND reset = ? AND restart = ? AND clock > ? ORDER BY clock LIMIT 1`,
      ...[resetCount, restartCount, attester, resetCount, restartCount, padded(milliseconds)],
    ),
    knowsPredecessor: predecessor !== null && has(db, attester, predecessor),
    log: first === undefined ? new Uint8Array(0) : readLog(db, first),
    audit: auditBefore(db, attester, clock),
    restored: restorationFor(db, attester, resetCount),
  }
}

const joinRow = z.strictObject({ audit: z.string().transform(text => auditState.parse(JSON.parse(text))) })
const auditRow = z.strictObject({ audit: unpadded, reset: z.int(), restart: z.int(), clock: unpadded }).transform(
  ({ audit, reset, restart, clock }): AuditState => ({
    counter: audit,
    clock: { resetCount: reset, restartCount: restart, milliseconds: clock },
  }),
)
const audits = `SELECT audit, reset, restart, clock FROM evidence WHERE ${isAttester} AND audit IS NOT NULL`

const inOrder = ({ clock: a }: AuditState, { clock: b }: AuditState): number =>
  a.resetCount - b.resetCount ||
  a.restartCount - b.restartCount ||
  Number(BigInt(a.milliseconds) - BigInt(b.milliseconds))

/** What was stated at joining stands among what evidence stated, each in its own log epoch. */
function auditBefore(db: Database, attester: string, epoch: Place["clock"]): string | undefined {
  const { resetCount, restartCount } = epoch
  const joins = db.all(joinRow, "SELECT audit FROM enrolment WHERE attester = ? AND audit IS NOT NULL", attester)
  const stated = [
    db.one(auditRow, `${audits} AND (reset, restart) < (?, ?) ${byQuote}`, attester, resetCount, restartCount),
    db.one(
      auditRow,
      `${audits} AND reset = ? AND restart = ? ORDER BY clock LIMIT 1`,
      ...[attester, resetCount, restartCount],
    ),
    ...joins.map(({ audit }) => audit),
  ].filter(each => each !== undefined)
  const isBefore = ({ clock }: AuditState): boolean =>
    clock.resetCount < resetCount || (clock.resetCount === resetCount && clock.restartCount < restartCount)
  const isWithin = ({ clock }: AuditState): boolean =>
    clock.resetCount === resetCount && clock.restartCount === restartCount
  const last = stated.filter(isBefore).toSorted(inOrder).at(-1)
  return (last ?? stated.filter(isWithin).toSorted(inOrder)[0])?.counter
}

const has = (db: Database, attester: string, digest: string): boolean =>
  db.one(z.unknown(), `SELECT 1 FROM evidence WHERE ${isAttester} AND digest = ?`, attester, digest) !== undefined

function record(db: Database, entry: Entry): Recorded {
  if (has(db, entry.attester, entry.digest)) return "known"
  const version = z.strictObject({ version: z.int() })
  const now = db.one(version, "SELECT version FROM standing WHERE attester = ?", entry.attester)?.version ?? 0
  if (now !== entry.standing.version) return "moved"
  if (entry.nonce !== null && !redeem(db, entry.nonce, entry.attester)) return "spent"
  insert(db, entry)
  mindGaps(db, entry)
  stand(db, entry.attester, entry.standing)
  return "recorded"
}

const redeem = (db: Database, nonce: Uint8Array, attester: string): boolean =>
  db.run("DELETE FROM nonce WHERE nonce = ? AND attester = ?", nonce, attester) === 1

function insert(db: Database, entry: Entry): void {
  const { attester, clock, bootLogs } = entry
  const log = keepLog(db, { attester, ...clock }, entry.log)
  keepBootLogs(db, attester, bootLogs)
  insertEvidence(db, { ...entry, log, length: entry.log.length })
}

/** Evidence whose log is kept; `log` is its id. */
export type WithLog = Omit<Entry, "log" | "bootLogs" | "gap" | "standing"> & {
  readonly log: number
  readonly length: number
}

/** The row of evidence, and the leaves of its envelope and its result. */
export function insertEvidence(db: Database, entry: WithLog): void {
  const { digest, attester, enrolment, kind, timely, chain, clock, nonce, asked, received, envelope, result } = entry
  const enrolled = "SELECT 1 FROM enrolment WHERE attester = ? AND number = ?"
  if (!db.one(z.unknown(), enrolled, attester, enrolment)) throw new Error(`${attester} has no enrolment ${enrolment}`)
  const leaf = appendLeaf(db, { kind: "evidence", bytes: envelope, at: received, family: `evidence ${attester}` })
  appendLeaf(db, { kind: "result", bytes: result, at: received, family: `result ${attester}` })
  const [who, chainId, boot] = [attester, chain.id, entry.boot].map(text => nameIn(db, text))
  db.run(
    `INSERT INTO evidence (digest, attester, enrolment, kind, timely, chain, sequence, previous, reset, restart, clock, boot,
       nonce, asked, received, log, log_length, tier, leaf, audit)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[digest, who ?? null, enrolment, kind, timely ? 1 : 0, chainId ?? null, padded(chain.sequence), chain.previous],
    ...[clock.resetCount, clock.restartCount, padded(clock.milliseconds), boot ?? null, nonce, asked, received],
    ...[entry.log, entry.length, entry.tier, leaf, entry.audit === null ? null : padded(entry.audit)],
  )
}

/** The number of a text that stands in many rows. */
function nameIn(db: Database, text: string): number {
  const id = z.strictObject({ id: z.int() })
  const known = db.one(id, "SELECT id FROM name WHERE text = ?", text)
  return (known ?? db.one(id, "INSERT INTO name (text) VALUES (?) RETURNING id", text))?.id ?? 0
}

/** Opens the gap before this evidence, and closes those that it fills. */
function mindGaps(db: Database, { digest, attester, gap, received }: Entry): void {
  if (gap) {
    const opened = { evidence: digest, attester, missing: gap.missing, opened: received }
    db.run(
      "INSERT INTO gap (evidence, attester, missing, opened) VALUES (?, ?, ?, ?)",
      ...[digest, attester, gap.missing, received],
    )
    appendLeaf(db, { kind: "chain-gap", bytes: writeJson(opened), at: received })
  }
  closeGaps(db, { where: "missing", is: digest, attester, at: received, by: "evidence", reason: "it came later" })
}
