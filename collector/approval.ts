/**
 * What does a collector keep of what people approved, and what must hold of it? Published notes in the order of their acceptance,
 * and what was planned for gaps. Nothing is overwritten: the highest version that was accepted stays known. How it is kept:
 * `approval.sqlite.ts`; whether a note is accepted: `governor.ts`. Times are milliseconds since 1970 by the collector's clock.
 */
import type { StatementKind } from "../attestation/pins/statement.ts"

/** A note as it was published; `digest` is that of its text. */
export type PublishedNote = {
  readonly kind: StatementKind
  readonly origin: string
  readonly digest: string
  readonly at: number
  readonly bytes: Uint8Array
}

/** Who owns a gap, and until when it is to be closed: the newest plan counts, and those before it stay shown. */
export type GapPlan = {
  readonly gap: string
  readonly owner: string
  /** YYYY-MM-DD */
  readonly closes: string
  readonly by: string
  readonly reason: string
  readonly at: number
}

export interface Approval {
  /** Keeps the note and each approval under it, as leaves of the vault too; false when a note with this text is published already. */
  publish(note: PublishedNote, approvals: readonly Uint8Array[]): Promise<boolean>
  /** in the order of their acceptance */
  publishedNotes(): Promise<readonly PublishedNote[]>
  /** what was recorded of machines, the newest of each, at most `limit`: what pinned digests stand for */
  references(limit: number): Promise<readonly Uint8Array[]>
  planGap(plan: GapPlan): Promise<void>
  /** oldest first */
  gapPlans(): Promise<readonly GapPlan[]>
}
