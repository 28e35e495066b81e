/**
 * How are leaves appended and found in SQLite? In the transaction of whoever appends: the leaf, its bytes, and the tree's edge, at a
 * cost that grows with the tree's height. What must hold of it: `vault.ts`. What is published of it: `publish.ts`.
 */
import { createHash } from "node:crypto"
import { z } from "zod"
import { type Leaf, leafOf, writeLeaf } from "../../attestation/vault/leaf.ts"
import type { ReadSubtree } from "../../attestation/vault/proof.ts"
import { subtreesIn, tileHeight, tileWidth } from "../../attestation/vault/tile.ts"
import {
  append,
  type Complete,
  type Edge,
  leafHash,
  readEdge,
  rootOf,
  writeEdge,
} from "../../attestation/vault/tree.ts"
import { toHex } from "../../attestation/wire/text.ts"
import type { Database } from "../database.ts"
import { forms, pack, type Packed, unpacked, whole } from "./pack.ts"
import type { Kept, TreeHead } from "./vault.ts"

const blob = z.instanceof(Uint8Array)
const treeRow = z.strictObject({ size: z.int(), edge: blob })

/** The tree as it stands. */
export function edgeOf(db: Database): Edge {
  const row = db.one(treeRow, "SELECT size, edge FROM tree")
  return row ? readEdge(row.size, row.edge) : { size: 0, roots: [] }
}

/** Size and root of the tree as it stands. */
export function headOf(db: Database): TreeHead {
  const edge = edgeOf(db)
  return { size: edge.size, root: rootOf(edge) }
}

/** What is to be kept; bytes of one `family` are expected to resemble each other. */
export type Given = { readonly kind: string; readonly bytes: Uint8Array; readonly at: number; readonly family?: string }

/** Appends a leaf within the caller's transaction; gives its position, counted from 0. */
export function appendLeaf(db: Database, { kind, bytes, at, family }: Given): number {
  const before = edgeOf(db)
  const position = before.size
  const leaf = leafOf(kind, bytes, at)
  const { edge, completed } = append(before, leafHash(writeLeaf(leaf)))
  db.run(
    "INSERT INTO leaf (position, kind, at, length, digest) VALUES (?, ?, ?, ?, ?)",
    ...[position, kind, at, leaf.length, Buffer.from(leaf.sha256, "hex")],
  )
  keep(db, position, bytes, family)
  for (const each of completed) if (each.level >= tileHeight && each.level % tileHeight === 0) fill(db, each)
  db.run(
    "INSERT INTO tree (one, size, edge) VALUES (1, ?, ?) ON CONFLICT DO UPDATE SET size = excluded.size, edge = excluded.edge",
    ...[edge.size, writeEdge(edge)],
  )
  return position
}

/** The position of the leaf with these bytes and this kind, of those whose bytes are looked for by digest. */
export function positionOf(db: Database, kind: string, bytes: Uint8Array): number | undefined {
  const digest = createHash("sha256").update(bytes).digest()
  const found = "SELECT position FROM leaf WHERE digest = ? AND kind = ? AND kind NOT IN ('evidence', 'result')"
  return db.one(z.strictObject({ position: z.int() }), found, digest, kind)?.position
}

/** As {@link appendLeaf}, unless the same bytes of this kind are kept already. */
export const keepOnce = (db: Database, given: Given): number =>
  positionOf(db, given.kind, given.bytes) ?? appendLeaf(db, given)

/** Adds a hash to its tile above the leaves. The tile of the leaves themselves is computed from them. */
function fill(db: Database, { level, index, hash }: Complete): void {
  db.run(
    `INSERT INTO tile (level, number, hashes) VALUES (?, ?, ?)
     ON CONFLICT DO UPDATE SET hashes = CAST(hashes || excluded.hashes AS BLOB)`,
    ...[level / tileHeight, Math.floor(index / tileWidth), hash],
  )
}

const baseRow = z.strictObject({ base: z.int(), form: z.int(), bytes: blob })

/** Packs against the family's base; what does not resemble it any more becomes the new base. */
function keep(db: Database, position: number, bytes: Uint8Array, family: string | undefined): void {
  const base =
    family === undefined
      ? undefined
      : db.one(
          baseRow,
          "SELECT position AS base, form, bytes FROM kept WHERE position = (SELECT base FROM family WHERE name = ?)",
          family,
        )
  const against = base ? packedOf(base) : undefined
  const packed = pack(bytes, against ? unpacked(against, empty) : empty)
  const resembles = against && packed.bytes.length <= against.bytes.length * 0.6
  const chosen = against && !resembles ? pack(bytes, empty) : packed
  db.run(
    "INSERT INTO kept (position, base, form, bytes) VALUES (?, ?, ?, ?)",
    ...[position, resembles ? (base?.base ?? null) : null, forms.indexOf(chosen.form), chosen.bytes],
  )
  if (family !== undefined && !resembles)
    db.run(
      "INSERT INTO family (name, base) VALUES (?, ?) ON CONFLICT DO UPDATE SET base = excluded.base",
      ...[family, position],
    )
}

const empty = new Uint8Array(0)
const packedOf = ({ form, bytes }: { readonly form: number; readonly bytes: Uint8Array }): Packed => ({
  form: forms[form] ?? "plain",
  bytes,
})

const keptRow = z.strictObject({ base: z.int().nullable(), form: z.int(), bytes: blob })
const keptAt = "SELECT base, form, bytes FROM kept WHERE position = ?"

/** The bytes that a leaf stands for; undefined where they were pruned. Throws where they were altered. */
export function contentOf(db: Database, position: number): Uint8Array | undefined {
  const row = db.one(keptRow, keptAt, position)
  if (!row) return undefined
  const base = row.base === null ? undefined : db.one(keptRow, keptAt, row.base)
  if (row.base !== null && !base) throw new Error(`leaf ${position} was packed against leaf ${row.base}, which is gone`)
  const packed = packedOf(row)
  return whole(packed.form, unpacked(packed, base ? unpacked(packedOf(base), empty) : empty))
}

const leafRow = z
  .strictObject({ position: z.int(), kind: z.string(), at: z.int(), length: z.int(), digest: blob })
  .transform(({ position, kind, at, length, digest }): Kept => {
    const leaf: Leaf = { kind, at: new Date(at).toISOString(), length, sha256: toHex(digest) }
    return { position, leaf }
  })
const leafColumns = "position, kind, at, length, digest FROM leaf"

/** At most `limit` leaves from `position` on. */
export const leavesFrom = (db: Database, position: number, limit: number): Kept[] =>
  db.all(leafRow, `SELECT ${leafColumns} WHERE position >= ? ORDER BY position LIMIT ?`, position, limit)

/** Reads subtrees of the tree as it was at `size` leaves. */
export const subtreesOf = (db: Database, size: number): ReadSubtree =>
  subtreesIn(size, ({ level, index, width }) => {
    if (level > 0) return hashesOf(db, level, index)?.subarray(0, width * 32)
    const leaves = leavesFrom(db, index * tileWidth, width)
    return new Uint8Array(Buffer.concat(leaves.map(({ leaf }) => leafHash(writeLeaf(leaf)))))
  })

/** The hashes of a tile above the leaves. */
export const hashesOf = (db: Database, level: number, index: number): Uint8Array | undefined =>
  db.one(z.strictObject({ hashes: blob }), "SELECT hashes FROM tile WHERE level = ? AND number = ?", level, index)
    ?.hashes
