/**
 * Is the vault what it was? Every leaf is hashed anew into a tree, which must be the one that is kept, the one in the files, and the one in
 * each signed checkpoint; every byte that is kept must be what its leaf says. Nothing that the store says of itself is believed.
 */
import { createHash } from "node:crypto"
import { z } from "zod"
import type { NoteKey } from "../../attestation/pins/note.ts"
import { type Checkpoint, readCheckpoint } from "../../attestation/vault/checkpoint.ts"
import { writeLeaf } from "../../attestation/vault/leaf.ts"
import { tileHeight } from "../../attestation/vault/tile.ts"
import { append, type Edge, emptyEdge, emptyRoot, leafHash, rootOf } from "../../attestation/vault/tree.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { sameBytes, toHex } from "../../attestation/wire/text.ts"
import type { Database } from "../database.ts"
import { contentOf, edgeOf, hashesOf, leavesFrom } from "./leaves.sqlite.ts"
import type { Kept } from "./vault.ts"

/** What was seen. `faults` are sentences, at most a hundred; none means that all is as it was. */
export type Checked = {
  readonly size: number
  readonly root: string
  readonly bytes: number
  readonly pruned: number
  readonly checkpoints: number
  readonly faults: readonly string[]
}

/** `published` is the checkpoint of the files, or undefined; `kept` is the time before which bytes may have been pruned. */
export type Against = { readonly key: NoteKey; readonly published: Uint8Array | undefined; readonly kept: number }

const faultLimit = 100
const page = 1024

export function check(db: Database, against: Against): Checked {
  const faults: string[] = []
  const fault = (text: string): void => void (faults.length < faultLimit && faults.push(text))
  const promised = checkpoints(db, against, fault)
  const seen = walk(db, against, promised, fault)
  compareTree(db, seen.edge, fault)
  compareRows(db, fault)
  for (const [size, said] of promised)
    if (size > seen.edge.size)
      for (const each of said)
        fault(
          `${each.whose} says ${size} leaves, and here are ${seen.edge.size}: leaves are gone, or the vault was put back`,
        )
  const { bytes, pruned, edge } = seen
  const count = [...promised.values()].flat().length
  return { size: edge.size, root: toHex(rootOf(edge)), bytes, pruned, checkpoints: count, faults }
}

type Promised = Checkpoint & { readonly whose: string }
type Fault = (text: string) => void

/** Every signed checkpoint that is kept, by size. */
function checkpoints(db: Database, { key, published }: Against, fault: Fault): Map<number, Promised[]> {
  const anchors = db.all(z.strictObject({ checkpoint: z.instanceof(Uint8Array) }), "SELECT checkpoint FROM anchor")
  const given: [string, Uint8Array][] = anchors.map(({ checkpoint }) => ["a signed checkpoint", checkpoint])
  if (published) given.push(["the published checkpoint", published])
  const found = new Map<number, Promised[]>()
  for (const [whose, bytes] of given)
    try {
      const { checkpoint } = readCheckpoint(bytes, key)
      found.set(checkpoint.size, [...(found.get(checkpoint.size) ?? []), { ...checkpoint, whose }])
    } catch (error) {
      if (!(error instanceof Malformed)) throw error
      fault(`${whose} is not one of this vault: ${error.message}`)
    }
  return found
}

function walk(db: Database, { kept }: Against, promised: ReadonlyMap<number, Promised[]>, fault: Fault) {
  let edge: Edge = emptyEdge
  let [bytes, pruned] = [0, 0]
  for (
    let next = leavesFrom(db, 0, page);
    next.length > 0;
    next = leavesFrom(db, (next.at(-1)?.position ?? 0) + 1, page)
  )
    for (const each of next) {
      if (each.position !== edge.size) fault(`leaf ${edge.size} is not there`)
      const appended = append(edge, leafHash(writeLeaf(each.leaf)))
      edge = appended.edge
      for (const { level, index, hash } of appended.completed)
        if (level >= tileHeight && level % tileHeight === 0) compareTile(db, level / tileHeight, index, hash, fault)
      for (const said of promised.get(edge.size) ?? []) compareRoot(said, edge, fault)
      const content = compareContent(db, each, kept, fault)
      if (content === undefined) pruned += 1
      else bytes += content
    }
  return { edge, bytes, pruned }
}

function compareRoot({ whose, root, size }: Promised, edge: Edge, fault: Fault): void {
  if (!sameBytes(root, rootOf(edge)))
    fault(
      `${whose} over ${size} leaves has another root: a leaf before ${size} was altered, taken out, moved or put in`,
    )
}

function compareTile(db: Database, level: number, index: number, hash: Uint8Array, fault: Fault): void {
  const stored = hashesOf(db, level, Math.floor(index / 256))?.subarray((index % 256) * 32, (index % 256) * 32 + 32)
  if (!stored || !sameBytes(stored, hash)) fault(`tile ${level}/${Math.floor(index / 256)} does not fit its leaves`)
}

/** The length of what is kept; undefined where nothing is. */
function compareContent(db: Database, { position, leaf }: Kept, kept: number, fault: Fault): number | undefined {
  const content = readContent(db, position)
  if (content instanceof Error) {
    fault(`the bytes of leaf ${position} cannot be read: ${content.message}`)
    return undefined
  }
  if (content === undefined) {
    if (Date.parse(leaf.at) >= kept) fault(`the bytes of leaf ${position} (${leaf.kind}) are gone before their time`)
    return undefined
  }
  const digest = createHash("sha256").update(content).digest("hex")
  if (digest !== leaf.sha256 || content.length !== leaf.length)
    fault(`the bytes of leaf ${position} (${leaf.kind}) are not those that it stands for`)
  return content.length
}

function readContent(db: Database, position: number): Uint8Array | undefined | Error {
  try {
    return contentOf(db, position)
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function compareTree(db: Database, edge: Edge, fault: Fault): void {
  const stored = readEdge(db)
  if (stored instanceof Error) return fault(`the tree's edge cannot be read: ${stored.message}`)
  if (stored.size !== edge.size)
    return fault(
      `the tree has ${stored.size} leaves, and ${edge.size} are there: leaves were taken out or put in by hand`,
    )
  const root = edge.size === 0 ? emptyRoot : rootOf(edge)
  if (!sameBytes(rootOf(stored), root))
    fault("the tree's root is not that of its leaves: a leaf was altered, taken out, moved or put in")
}

function readEdge(db: Database): Edge | Error {
  try {
    return edgeOf(db)
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

/** Every row of evidence and every enrolment has its leaf, and every such leaf its row. */
function compareRows(db: Database, fault: Fault): void {
  const one = (sql: string): number => db.one(z.strictObject({ n: z.int() }), sql)?.n ?? 0
  const lost = one(
    "SELECT count(*) AS n FROM evidence WHERE leaf NOT IN (SELECT position FROM leaf WHERE kind = 'evidence')",
  )
  if (lost > 0) fault(`${lost} pieces of evidence have no leaf`)
  for (const [what, rows] of [
    ["evidence", "evidence"],
    ["result", "evidence"],
    ["enrolment", "enrolment"],
    ["secret-released", "secret_release"],
  ] as const) {
    const leaves = one(`SELECT count(*) AS n FROM leaf WHERE kind = '${what}'`)
    const there = one(`SELECT count(*) AS n FROM ${rows}`)
    if (leaves !== there) fault(`there are ${leaves} leaves of kind ${what}, and ${there} rows that they belong to`)
  }
}
