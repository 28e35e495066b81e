/**
 * What shows that a leaf is in a tree, and that a later tree holds all of an earlier one? Inclusion and consistency proofs of RFC 9162
 * (2.1.3, 2.1.4), over whole trees and over subtrees. Verifying needs nothing but the hashes given; proving reads complete subtrees.
 */
import { sameBytes } from "../wire/text.ts"
import { emptyRoot, hashSize, nodeHash, treeLimit } from "./tree.ts"

/** The longest proof: one hash a level, and one more. */
export const proofLimit = 64

/** The leaves from `start` up to but without `end`. */
export type Span = { readonly start: number; readonly end: number }

const isSize = (n: number): boolean => Number.isSafeInteger(n) && n >= 0 && n <= treeLimit
const areHashes = (hashes: readonly Uint8Array[]): boolean =>
  hashes.length <= proofLimit && hashes.every(each => each.length === hashSize)
const half = (n: number): number => Math.floor(n / 2)
const isOdd = (n: number): boolean => n % 2 === 1

/** Whether `start` is a multiple of the smallest power of two that holds the span: only such spans are subtrees. */
function isSubtree({ start, end }: Span): boolean {
  if (!isSize(start) || !isSize(end) || start > end) return false
  if (start === end) return true
  return start % 2 ** Math.ceil(Math.log2(end - start)) === 0
}

type Inclusion = { readonly index: number; readonly leaf: Uint8Array; readonly proof: readonly Uint8Array[] }

/** Whether the leaf with this hash is the one at `index` of the tree of `size` leaves with this root. */
export const includes = (size: number, root: Uint8Array, given: Inclusion): boolean =>
  subtreeIncludes({ start: 0, end: size }, root, given)

/** The same of a subtree; `index` counts from the tree's first leaf. */
export function subtreeIncludes(span: Span, root: Uint8Array, { index, leaf, proof }: Inclusion): boolean {
  if (!isSubtree(span) || !isSize(index) || index < span.start || index >= span.end) return false
  if (!areHashes([root, leaf]) || !areHashes(proof)) return false
  let [at, last, hash] = [index - span.start, span.end - span.start - 1, leaf]
  for (const each of proof) {
    if (last === 0) return false
    if (isOdd(at) || at === last) {
      hash = nodeHash(each, hash)
      while (!isOdd(at) && at !== 0) [at, last] = [half(at), half(last)]
    } else hash = nodeHash(hash, each)
    ;[at, last] = [half(at), half(last)]
  }
  return last === 0 && sameBytes(hash, root)
}

/** A tree as one hash says it. */
export type Head = { readonly size: number; readonly root: Uint8Array }

/**
 * Whether `newer` holds every leaf of `older`, in its place. Of the empty tree that says nothing, so it is true only between two empty
 * trees.
 */
export function consistent(older: Head, newer: Head, proof: readonly Uint8Array[]): boolean {
  if (newer.size === 0 && !sameBytes(newer.root, emptyRoot)) return false
  if (older.size === 0 && newer.size > 0) return false
  return subtreeConsistent({ start: 0, end: older.size }, older.root, newer, proof)
}

/** Whether the subtree with the root `part` is that of `whole`. */
export function subtreeConsistent(span: Span, part: Uint8Array, whole: Head, proof: readonly Uint8Array[]): boolean {
  if (!isSubtree(span) || !isSize(whole.size) || span.end > whole.size) return false
  if (span.start === 0 && span.end === whole.size && span.end > 0)
    return proof.length === 0 && sameBytes(part, whole.root)
  if (span.start === span.end) return proof.length === 0 && sameBytes(part, emptyRoot)
  return areHashes([part, whole.root]) && areHashes(proof) && climbs(span, part, whole, proof)
}

/** Three positions of one level, which rise together: the span's first and last, and the tree's last. */
type Climb = { readonly first: number; readonly last: number; readonly end: number }
const risen = ({ first, last, end }: Climb): Climb => ({ first: half(first), last: half(last), end: half(end) })

function climbs(span: Span, part: Uint8Array, whole: Head, proof: readonly Uint8Array[]): boolean {
  let at = begin({ first: span.start, last: span.end - 1, end: whole.size - 1 })
  const [seed, ...rest] = at.first === at.last ? [part, ...proof] : proof
  if (!seed) return false
  let [older, newer] = [seed, seed]
  for (const each of rest) {
    if (at.end === 0) return false
    if (isOdd(at.last) || at.last === at.end) {
      if (at.first < at.last) older = nodeHash(each, older)
      newer = nodeHash(each, newer)
      while (!isOdd(at.last) && at.last !== 0) at = risen(at)
    } else newer = nodeHash(newer, each)
    at = risen(at)
  }
  return at.end === 0 && sameBytes(older, part) && sameBytes(newer, whole.root)
}

/** Where the proof begins: at the largest complete subtree that ends with the span. */
function begin(from: Climb): Climb {
  const mayRise = from.last === from.end ? () => true : isOdd
  let at = from
  while (at.first !== at.last && mayRise(at.last)) at = risen(at)
  return at
}

/** Reads the root of the complete subtree of 2^`level` leaves that is number `index` from the left. */
export type ReadSubtree = (level: number, index: number) => Uint8Array

/** The proof that the leaf at `index` is in the tree of `size` leaves. Throws RangeError if it is not. */
export function proveInclusion(index: number, size: number, read: ReadSubtree): Uint8Array[] {
  if (!isSize(size) || !isSize(index) || index >= size) throw new RangeError(`leaf ${index} is not among ${size}`)
  const path: Uint8Array[] = []
  for (let [start, end] = [0, size]; end - start > 1; ) {
    const middle = start + split(end - start)
    const onTheLeft = index < middle
    path.push(onTheLeft ? rootOfSpan({ start: middle, end }, read) : rootOfSpan({ start, end: middle }, read))
    ;[start, end] = onTheLeft ? [start, middle] : [middle, end]
  }
  return path.toReversed()
}

/** The proof that the tree of `size` leaves holds that of `older`. Throws RangeError if it cannot. */
export function proveConsistency(older: number, size: number, read: ReadSubtree): Uint8Array[] {
  if (!isSize(size) || !isSize(older) || older > size) throw new RangeError(`${older} leaves are not within ${size}`)
  if (older === 0 || older === size) return []
  const path: Uint8Array[] = []
  let [start, end, within] = [0, size, false]
  while (end !== older) {
    const middle = start + split(end - start)
    const onTheLeft = older <= middle
    path.push(onTheLeft ? rootOfSpan({ start: middle, end }, read) : rootOfSpan({ start, end: middle }, read))
    ;[start, end] = onTheLeft ? [start, middle] : [middle, end]
    within ||= !onTheLeft
  }
  // the older root itself is left out where it is one subtree: who verifies has it
  return [...(within ? [rootOfSpan({ start, end }, read)] : []), ...path.toReversed()]
}

/** The largest power of two below `count`, which is at least 2. */
const split = (count: number): number => 2 ** (Math.ceil(Math.log2(count)) - 1)

/** The root over a span that is a subtree, from complete ones. */
export function rootOfSpan({ start, end }: Span, read: ReadSubtree): Uint8Array {
  const parts: Uint8Array[] = []
  for (let [at, left] = [start, end - start]; left > 0; ) {
    const level = Math.floor(Math.log2(left))
    parts.push(read(level, at / 2 ** level))
    at += 2 ** level
    left -= 2 ** level
  }
  const [last, ...others] = parts.toReversed()
  if (!last) return emptyRoot
  return others.reduce((right, left) => nodeHash(left, right), last)
}
