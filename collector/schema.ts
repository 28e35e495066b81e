/**
 * Which tables does the store have? One step a version, applied in order; a step that was released is never changed.
 * What is evidence, or says who admitted whom, can be added and not altered: triggers guard against mistakes of ours. They are
 * no proof against whoever owns the file.
 */

const appendOnly = [
  "invitation",
  "revocation",
  "enrolment",
  "log",
  "piece",
  "evidence",
  "gap",
  "closing",
  "clearing",
  "reference",
]

const guards = (tables: readonly string[]): string =>
  tables
    .flatMap(table =>
      ["UPDATE", "DELETE"].map(
        act => `CREATE TRIGGER ${table}_no_${act.toLowerCase()} BEFORE ${act} ON ${table}
        BEGIN SELECT RAISE(ABORT, '${table} is append-only'); END;`,
      ),
    )
    .join("\n")

const first = `
CREATE TABLE invitation (
  id TEXT PRIMARY KEY, purpose TEXT NOT NULL CHECK (purpose IN ('attester', 'verifier')), name TEXT NOT NULL,
  by TEXT NOT NULL, issued INTEGER NOT NULL, expires INTEGER NOT NULL, accept TEXT
) STRICT;
CREATE TABLE revocation (
  invitation TEXT PRIMARY KEY REFERENCES invitation, by TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE enrolment (
  attester TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, label TEXT NOT NULL,
  invitation TEXT NOT NULL UNIQUE REFERENCES invitation, identity TEXT NOT NULL, ak TEXT NOT NULL,
  evidence_key TEXT NOT NULL, endorsement TEXT NOT NULL, PRIMARY KEY (attester, number)
) STRICT;
CREATE INDEX enrolment_ak ON enrolment (ak);
CREATE INDEX enrolment_key ON enrolment (evidence_key);
CREATE INDEX enrolment_label ON enrolment (label);

-- not append-only: a nonce leaves when it is redeemed or long expired
CREATE TABLE nonce (
  nonce BLOB PRIMARY KEY CHECK (length(nonce) = 32), attester TEXT NOT NULL, channel BLOB NOT NULL CHECK (length(channel) = 32),
  issued INTEGER NOT NULL, expires INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX nonce_expires ON nonce (expires);

-- a log's first \`shared\` bytes are its parent's: history is kept once, and what was rewritten beside it
CREATE TABLE log (
  id INTEGER PRIMARY KEY, attester TEXT NOT NULL, reset INTEGER NOT NULL, restart INTEGER NOT NULL,
  parent INTEGER REFERENCES log, shared INTEGER NOT NULL
) STRICT;
CREATE INDEX log_epoch ON log (attester, reset, restart);
CREATE TABLE piece (
  log INTEGER NOT NULL REFERENCES log, start INTEGER NOT NULL, bytes BLOB NOT NULL, PRIMARY KEY (log, start)
) STRICT;

-- 64-bit numbers that SQLite's signed integers do not hold are decimal text of twenty digits, so that they sort
CREATE TABLE evidence (
  digest TEXT PRIMARY KEY, attester TEXT NOT NULL, enrolment INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('answer', 'report')), timely INTEGER NOT NULL CHECK (timely IN (0, 1)),
  chain TEXT NOT NULL, sequence TEXT NOT NULL CHECK (length(sequence) = 20), previous TEXT,
  reset INTEGER NOT NULL, restart INTEGER NOT NULL, clock TEXT NOT NULL CHECK (length(clock) = 20), boot TEXT NOT NULL,
  nonce BLOB UNIQUE, asked INTEGER, received INTEGER NOT NULL, envelope BLOB NOT NULL,
  log INTEGER NOT NULL REFERENCES log, log_length INTEGER NOT NULL, tier TEXT NOT NULL, result BLOB NOT NULL,
  UNIQUE (attester, chain, sequence), FOREIGN KEY (attester, enrolment) REFERENCES enrolment (attester, number)
) STRICT;
CREATE INDEX evidence_quote ON evidence (attester, reset, restart, clock);
CREATE INDEX evidence_received ON evidence (attester, received);
CREATE TABLE gap (
  evidence TEXT PRIMARY KEY REFERENCES evidence, attester TEXT NOT NULL, missing TEXT, opened INTEGER NOT NULL
) STRICT;
CREATE INDEX gap_attester ON gap (attester, opened);
CREATE TABLE closing (
  gap TEXT PRIMARY KEY REFERENCES gap, at INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;

CREATE TABLE standing (
  attester TEXT PRIMARY KEY, version INTEGER NOT NULL, state TEXT NOT NULL, reset INTEGER NOT NULL, fresh INTEGER
) STRICT;
CREATE TABLE clearing (
  id INTEGER PRIMARY KEY, attester TEXT NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL, was TEXT NOT NULL
) STRICT;
CREATE TABLE reference (
  id INTEGER PRIMARY KEY, attester TEXT NOT NULL, digest TEXT NOT NULL, at INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT;
CREATE INDEX reference_attester ON reference (attester, id);

-- not append-only: only the newest of each attester are kept
CREATE TABLE incident (
  id INTEGER PRIMARY KEY, attester TEXT NOT NULL, at INTEGER NOT NULL, kind TEXT NOT NULL, evidence TEXT,
  findings TEXT NOT NULL, says TEXT NOT NULL
) STRICT;
CREATE INDEX incident_attester ON incident (attester, id);
${guards(appendOnly)}
`

const trustTables = ["certificate", "withdrawal", "retirement", "alias"]

const second = `
CREATE TABLE certificate (
  id INTEGER PRIMARY KEY, fingerprint TEXT NOT NULL, bytes BLOB NOT NULL, role TEXT NOT NULL CHECK (role IN ('root', 'intermediate')),
  maker TEXT NOT NULL, by TEXT, reason TEXT, at INTEGER NOT NULL, CHECK ((by IS NULL) = (reason IS NULL))
) STRICT;
CREATE INDEX certificate_fingerprint ON certificate (fingerprint);
CREATE TABLE withdrawal (
  certificate INTEGER PRIMARY KEY REFERENCES certificate, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE TABLE retirement (
  attester TEXT NOT NULL, number INTEGER NOT NULL, at INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (attester, number), FOREIGN KEY (attester, number) REFERENCES enrolment (attester, number)
) STRICT;
CREATE TABLE alias (
  attester TEXT NOT NULL, alias TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (attester, alias)
) STRICT;
${guards(trustTables)}
`

const bootLogTables = ["boot_log", "shown_log"]

const third = `
-- a boot log is called by the SHA-256 of its bytes: its parent's, and these after them
CREATE TABLE boot_log (
  digest TEXT PRIMARY KEY, parent TEXT REFERENCES boot_log, start INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT;
CREATE TABLE shown_log (
  id INTEGER PRIMARY KEY, attester TEXT NOT NULL, name TEXT NOT NULL, length INTEGER NOT NULL,
  digest TEXT NOT NULL REFERENCES boot_log, UNIQUE (attester, digest, name)
) STRICT;
CREATE INDEX shown_log_name ON shown_log (attester, name, id);
${guards(bootLogTables)}
`

const fourth = `
-- the counter of command audit: as it was stated at joining (with its clock), and with each piece of evidence
ALTER TABLE enrolment ADD COLUMN audit TEXT;
ALTER TABLE evidence ADD COLUMN audit TEXT CHECK (length(audit) = 20);
CREATE INDEX evidence_audit ON evidence (attester, reset, restart, clock) WHERE audit IS NOT NULL;
`

const approvalTables = ["note", "gap_plan"]

/** `under`: the note in force when an attester was contraindicated by nothing but what is approved. */
const fifth = `
CREATE TABLE note (
  id INTEGER PRIMARY KEY, kind TEXT NOT NULL, origin TEXT NOT NULL, digest TEXT NOT NULL UNIQUE, at INTEGER NOT NULL,
  bytes BLOB NOT NULL
) STRICT;
CREATE TABLE gap_plan (
  id INTEGER PRIMARY KEY, gap TEXT NOT NULL, owner TEXT NOT NULL, closes TEXT NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL,
  at INTEGER NOT NULL
) STRICT;
ALTER TABLE standing ADD COLUMN under TEXT;
${guards(approvalTables)}
`

const vaultTables = ["leaf"]

/**
 * The vault. `kept` holds the bytes of leaves: it is not append-only, since bytes may be pruned when their time is over; `leaf` stays.
 * Evidence is told anew, without its bytes and with names that are written once: `vault/adopt.sqlite.ts` brings over what was there.
 */
const sixth = `
CREATE TABLE leaf (
  position INTEGER PRIMARY KEY, kind TEXT NOT NULL, at INTEGER NOT NULL, length INTEGER NOT NULL,
  digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE UNIQUE INDEX leaf_digest ON leaf (digest, kind) WHERE kind NOT IN ('evidence', 'result');
CREATE TABLE kept (
  position INTEGER PRIMARY KEY, base INTEGER, form INTEGER NOT NULL, bytes BLOB NOT NULL
) STRICT;
CREATE TABLE family (name TEXT PRIMARY KEY, base INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE tile (level INTEGER NOT NULL, number INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY (level, number)) STRICT;
CREATE TABLE tree (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, edge BLOB NOT NULL) STRICT;
CREATE TABLE anchor (
  size INTEGER PRIMARY KEY, at INTEGER NOT NULL, checkpoint BLOB NOT NULL, timestamp BLOB, witnessed INTEGER NOT NULL
) STRICT;

CREATE TABLE evidence_before AS SELECT * FROM evidence ORDER BY received, rowid;
DROP TABLE evidence;
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
-- attester, chain and boot are names; the leaf of the result is the next after that of the envelope
CREATE TABLE evidence (
  digest TEXT PRIMARY KEY, attester INTEGER NOT NULL REFERENCES name, enrolment INTEGER NOT NULL,
  kind TEXT NOT NULL CHECK (kind IN ('answer', 'report')), timely INTEGER NOT NULL CHECK (timely IN (0, 1)),
  chain INTEGER NOT NULL REFERENCES name, sequence TEXT NOT NULL CHECK (length(sequence) = 20), previous TEXT,
  reset INTEGER NOT NULL, restart INTEGER NOT NULL, clock TEXT NOT NULL CHECK (length(clock) = 20),
  boot INTEGER NOT NULL REFERENCES name, nonce BLOB UNIQUE, asked INTEGER, received INTEGER NOT NULL,
  log INTEGER NOT NULL REFERENCES log, log_length INTEGER NOT NULL, tier TEXT NOT NULL, leaf INTEGER NOT NULL,
  audit TEXT CHECK (length(audit) = 20),
  UNIQUE (attester, chain, sequence)
) STRICT;
CREATE INDEX evidence_quote ON evidence (attester, reset, restart, clock);
CREATE INDEX evidence_received ON evidence (attester, received);
CREATE INDEX evidence_audit ON evidence (attester, reset, restart, clock) WHERE audit IS NOT NULL;
${guards(["evidence", ...vaultTables])}
`

const restorationTables = ["restoration"]

const seventh = `
-- the store came out of a backup; evidence whose rowid is not above \`after\` was in it
CREATE TABLE restoration (
  id INTEGER PRIMARY KEY, at INTEGER NOT NULL, by TEXT NOT NULL, reason TEXT NOT NULL, after INTEGER NOT NULL
) STRICT;
${guards(restorationTables)}
`

const secretTables = ["secret", "secret_withdrawal", "secret_release"]

/** Secrets. `sealed_secret` is not append-only: what was withdrawn or replaced is forgotten there. */
const eighth = `
CREATE TABLE secret (
  id INTEGER PRIMARY KEY, attester TEXT NOT NULL, name TEXT NOT NULL, tier TEXT NOT NULL CHECK (tier IN ('affirming', 'warning')),
  by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
CREATE INDEX secret_name ON secret (attester, name, id);
CREATE TABLE sealed_secret (secret INTEGER PRIMARY KEY REFERENCES secret, bytes BLOB NOT NULL) STRICT;
CREATE TABLE secret_withdrawal (
  secret INTEGER PRIMARY KEY REFERENCES secret, by TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
) STRICT;
-- one piece of evidence releases one secret, once
CREATE TABLE secret_release (
  evidence TEXT PRIMARY KEY REFERENCES evidence, secret INTEGER NOT NULL REFERENCES secret, at INTEGER NOT NULL
) STRICT;
CREATE INDEX secret_release_secret ON secret_release (secret);
${guards(secretTables)}
`

/** Step i brings a store from version i to i + 1. */
export const schema: readonly string[] = [first, second, third, fourth, fifth, sixth, seventh, eighth]

/** The tables whose rows are never changed. */
export const appendOnlyTables: readonly string[] = [
  ...[...appendOnly, ...trustTables, ...bootLogTables],
  ...[...approvalTables, ...vaultTables, ...restorationTables, ...secretTables],
]
