/**
 * What does the vault promise? That whatever was kept is a leaf of one tree that only grows, so that anybody with an earlier
 * checkpoint sees when something is altered, taken out or put in between. How it is kept: `vault.sqlite.ts`; who is told: `publish.ts`.
 */
import type { Leaf } from "../../attestation/vault/leaf.ts"
import type { Head } from "../../attestation/vault/proof.ts"

/** Size and root of the tree. */
export type TreeHead = Head

/** A leaf and its position, counted from 0. */
export type Kept = { readonly position: number; readonly leaf: Leaf }

/** What was said of the tree at one time: the checkpoint with its signatures, and RFC 3161 tokens over it. */
export type Anchor = {
  readonly size: number
  readonly at: number
  /** the note with its signatures, in its bytes */
  readonly checkpoint: Uint8Array
  /** TimeStampResp over the text of the checkpoint, or null */
  readonly timestamp: Uint8Array | null
}

export interface Vault {
  /** Keeps bytes that no other method of the store keeps; gives the position. The same bytes of the same kind are kept once. */
  keep(kind: string, bytes: Uint8Array, at: number): Promise<number>
  treeHead(): Promise<TreeHead>
  /** at most `limit` leaves from `position` on */
  leaves(position: number, limit: number): Promise<readonly Kept[]>
  /** the bytes of a leaf; undefined where they were pruned */
  content(position: number): Promise<Uint8Array | undefined>
  /** the leaf of archived evidence; that of its result is the next */
  leafOfEvidence(digest: string): Promise<number | undefined>
  /** digests of evidence received from `from` to `to`, oldest first */
  evidenceBetween(from: number, to: number): Promise<readonly string[]>
  inclusion(position: number, size: number): Promise<readonly Uint8Array[]>
  consistency(older: number, newer: number): Promise<readonly Uint8Array[]>
  /** the hashes of a tile of the tree at `size` leaves: for files that others read */
  tile(level: number, index: number, width: number): Promise<Uint8Array>
  /** Keeps an anchor; those without cosignature or time stamp that are older are forgotten. */
  anchor(anchor: Anchor, witnessed: boolean): Promise<void>
  newestAnchor(): Promise<Anchor | undefined>
  /** the oldest anchor with `size` leaves or more that was witnessed or stamped, else the newest */
  anchorOver(size: number): Promise<Anchor | undefined>
}
