/** The vault in SQLite: the leaves of `leaves.sqlite.ts`, and what was signed over them. What must hold of it: `vault.ts`. */
import { z } from "zod"
import { proveConsistency, proveInclusion } from "../../attestation/vault/proof.ts"
import { leafHash } from "../../attestation/vault/tree.ts"
import { writeLeaf } from "../../attestation/vault/leaf.ts"
import { tileWidth } from "../../attestation/vault/tile.ts"
import type { Database } from "../database.ts"
import { contentOf, hashesOf, headOf, keepOnce, leavesFrom, subtreesOf } from "./leaves.sqlite.ts"
import type { Anchor, Vault } from "./vault.ts"

const blob = z.instanceof(Uint8Array)
const anchorRow = z.strictObject({ size: z.int(), at: z.int(), checkpoint: blob, timestamp: blob.nullable() })
const anchors = "SELECT size, at, checkpoint, timestamp FROM anchor"

export function vault(db: Database): Vault {
  return {
    keep: async (kind, bytes, at) => db.transaction(() => keepOnce(db, { kind, bytes, at })),
    treeHead: async () => headOf(db),
    leaves: async (position, limit) => leavesFrom(db, position, limit),
    content: async position => contentOf(db, position),
    leafOfEvidence: async digest =>
      db.one(z.strictObject({ leaf: z.int() }), "SELECT leaf FROM evidence WHERE digest = ?", digest)?.leaf,
    evidenceBetween: async (from, to) =>
      db
        .all(
          z.strictObject({ digest: z.string() }),
          "SELECT digest FROM evidence WHERE received >= ? AND received <= ? ORDER BY received, leaf",
          ...[from, to],
        )
        .map(({ digest }) => digest),
    inclusion: async (position, size) => proveInclusion(position, size, subtreesOf(db, size)),
    consistency: async (older, newer) => proveConsistency(older, newer, subtreesOf(db, newer)),
    tile: async (level, index, width) => tile(db, level, index, width),
    anchor: async (anchor, witnessed) => db.transaction(() => keepAnchor(db, anchor, witnessed)),
    newestAnchor: async () => db.one(anchorRow, `${anchors} ORDER BY size DESC LIMIT 1`),
    anchorOver: async size =>
      db.one(
        anchorRow,
        `${anchors} WHERE size >= ? AND (witnessed = 1 OR timestamp IS NOT NULL) ORDER BY size LIMIT 1`,
        size,
      ) ?? db.one(anchorRow, `${anchors} WHERE size >= ? ORDER BY size DESC LIMIT 1`, size),
  }
}

function tile(db: Database, level: number, index: number, width: number): Uint8Array {
  if (level > 0) return hashesOf(db, level, index)?.subarray(0, width * 32) ?? new Uint8Array(0)
  const leaves = leavesFrom(db, index * tileWidth, width)
  return new Uint8Array(Buffer.concat(leaves.map(({ leaf }) => leafHash(writeLeaf(leaf)))))
}

/** A checkpoint that nobody but us signed says nothing that a newer one does not. */
function keepAnchor(db: Database, { size, at, checkpoint, timestamp }: Anchor, witnessed: boolean): void {
  db.run("DELETE FROM anchor WHERE size < ? AND witnessed = 0 AND timestamp IS NULL", size)
  db.run(
    `INSERT INTO anchor (size, at, checkpoint, timestamp, witnessed) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
       checkpoint = excluded.checkpoint, timestamp = coalesce(excluded.timestamp, timestamp),
       witnessed = max(witnessed, excluded.witnessed)`,
    ...[size, at, checkpoint, timestamp, witnessed ? 1 : 0],
  )
}
