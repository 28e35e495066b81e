/**
 * What does one hash say of a list that only grows? The Merkle tree of RFC 6962 (2.1) and RFC 9162 (2.1): the hashes, and the state
 * that is needed to go on appending. What proves that a leaf is in it: `proof.ts`; how it is laid out for others to read: `tile.ts`.
 */
import { createHash } from "node:crypto"
import { Malformed } from "../wire/codec.ts"

/** The bytes of every hash of the tree. */
export const hashSize = 32

/** The most leaves of a tree here: beyond any vault, and far below where numbers lose their last digit. */
export const treeLimit = 2 ** 48

/** SHA-256 of nothing: the root of the tree without leaves (RFC 6962, 2.1). */
export const emptyRoot: Uint8Array = new Uint8Array(createHash("sha256").digest())

const leafPrefix = Uint8Array.of(0)
const nodePrefix = Uint8Array.of(1)

/** SHA-256(0x00 ‖ entry). */
export const leafHash = (entry: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update(leafPrefix).update(entry).digest())

/** SHA-256(0x01 ‖ left ‖ right). */
export const nodeHash = (left: Uint8Array, right: Uint8Array): Uint8Array =>
  new Uint8Array(createHash("sha256").update(nodePrefix).update(left).update(right).digest())

/**
 * The right edge of a tree of `size` leaves: the root of each complete subtree, the largest first, one for each 1 in `size`. It is
 * all that appending needs; to append costs at most one hash a level.
 */
export type Edge = { readonly size: number; readonly roots: readonly Uint8Array[] }

export const emptyEdge: Edge = Object.freeze({ size: 0, roots: Object.freeze([]) })

/** A complete subtree: `index` counts subtrees of 2^`level` leaves from the left. */
export type Complete = { readonly level: number; readonly index: number; readonly hash: Uint8Array }

/** The edge after one more leaf, and the subtrees that it completed, the leaf itself first. */
export function append(
  { size, roots }: Edge,
  leaf: Uint8Array,
): { readonly edge: Edge; readonly completed: Complete[] } {
  const left = [...roots]
  const completed: Complete[] = [{ level: 0, index: size, hash: leaf }]
  let hash = leaf
  for (let [level, index] = [1, size]; index % 2 === 1; level += 1) {
    const sibling = left.pop()
    if (!sibling) throw new Malformed(`the edge of ${size} leaves lacks a subtree`)
    hash = nodeHash(sibling, hash)
    index = (index - 1) / 2
    completed.push({ level, index, hash })
  }
  return { edge: { size: size + 1, roots: [...left, hash] }, completed }
}

/** The root of the tree of which this is the edge. */
export function rootOf({ roots }: Edge): Uint8Array {
  const [last, ...others] = roots.toReversed()
  if (!last) return emptyRoot
  return others.reduce((right, left) => nodeHash(left, right), last)
}

/** The edge in its bytes: the hashes one after another. Throws {@link Malformed} if they are not as many as `size` has ones. */
export function readEdge(size: number, bytes: Uint8Array): Edge {
  const ones = size === 0 ? 0 : size.toString(2).replaceAll("0", "").length
  if (bytes.length !== ones * hashSize) throw new Malformed(`the edge of ${size} leaves has ${ones} hashes`)
  const roots = Array.from({ length: ones }, (_, i) => bytes.slice(i * hashSize, (i + 1) * hashSize))
  return { size, roots }
}

/** As {@link readEdge} reads it. */
export const writeEdge = ({ roots }: Edge): Uint8Array => new Uint8Array(Buffer.concat(roots))

/** The root over hashes of leaves. Computed anew, from nothing but them. */
export function rootOver(leaves: Iterable<Uint8Array>): Uint8Array {
  let edge = emptyEdge
  for (const leaf of leaves) ({ edge } = append(edge, leaf))
  return rootOf(edge)
}
