/**
 * What does a collector keep, and what must hold of it? Invitations, enrolments, nonces, evidence with its result, standing.
 * Each method is one transaction. test/store.contract.ts is the other half of this file: every store passes it. How it is kept:
 * `sqlite.ts`. What is written into it is decided elsewhere.
 *
 * Times are milliseconds since 1970 by the collector's clock.
 */
import type { Endorsement, Tier } from "../attestation/appraise/appraise.ts"
import type { Standing } from "../attestation/appraise/state.ts"
import type { BootLogName } from "../attestation/protocol/evidence.ts"
import type { Identity } from "../attestation/protocol/message.ts"
import type { Seen } from "../attestation/verify/continuity.ts"
import type { Finding } from "../attestation/verify/finding.ts"
import type { Approval } from "./approval.ts"
import type { Secrets } from "./secret.ts"
import type { Trust } from "./trust.ts"
import type { Vault } from "./vault/vault.ts"

/** `id` is the SHA-256 of the token, in hex: the token itself is never kept. */
export type Invitation = {
  readonly id: string
  readonly purpose: "attester" | "verifier"
  /** what it admits is called: an outside verifier's name, or what the operator calls the machine */
  readonly name: string
  readonly by: string
  readonly issued: number
  readonly expires: number
  /** admits this EK only, and a named person vouches for it */
  readonly accept: { readonly ek: string; readonly by: string; readonly reason: string } | null
}
export type InvitationState = Invitation & { readonly revoked: boolean; readonly used: boolean }

/** One enrolment of an attester. It is never changed; enrolling again adds one, and the newest counts. */
export type Enrolment = {
  readonly attester: string
  readonly number: number
  readonly at: number
  readonly label: string
  readonly invitation: string
  readonly identity: Identity
  readonly ak: string
  readonly endorsement: Endorsement
  /** command audit of TPM2_PCR_Reset as it stood at joining, or "unavailable" (M4) */
  readonly audit: AuditState | "unavailable"
}

/** The counter of command audit, and when the TPM stated it. */
export type AuditState = {
  readonly counter: string
  readonly clock: { readonly milliseconds: string; readonly resetCount: number; readonly restartCount: number }
}

/** A nonce that was issued to one attester on one connection, which is its channel binding. */
export type Nonce = {
  readonly nonce: Uint8Array
  readonly attester: string
  readonly channel: Uint8Array
  readonly issued: number
  readonly expires: number
}

/** Which log: one of each pair of quoted counters, unless history was rewritten. */
export type LogEpoch = { readonly attester: string; readonly resetCount: number; readonly restartCount: number }

/** Where evidence stands, as far as its neighbours are looked for. */
export type Place = {
  readonly attester: string
  readonly chain: { readonly id: string; readonly sequence: string }
  readonly predecessor: string | null
  readonly clock: Seen["clock"]
}

/** What was verified before, around a {@link Place}. */
export type Neighbours = {
  readonly before: Seen | undefined
  readonly same: Seen | undefined
  /** the newest by quote */
  readonly newest: Seen | undefined
  /** the nearest by quote before this one, and after it in the same epoch; `log` is the length of its log in this epoch */
  readonly older: (Seen & { readonly log: number }) | undefined
  readonly newer: (Seen & { readonly log: number }) | undefined
  /** whether the predecessor that it names was verified */
  readonly knowsPredecessor: boolean
  /** the longest state of the first log of this epoch, or empty */
  readonly log: Uint8Array
  /**
   * the audit counter that was stated last before this log epoch, with evidence or at joining; where there is none, the first that was
   * stated in it; undefined where none was ever
   */
  readonly audit: string | undefined
  /** the store came out of a backup, and the resetCount looked for is not above the first that was seen after it (M11) */
  readonly restored: Restoration | undefined
}

/**
 * A boot log as evidence names it. It is called by the SHA-256 of its bytes: those of the log `parent`, if it names one, and
 * `bytes` after them.
 */
export type BootLogPiece = {
  readonly name: BootLogName
  readonly digest: string
  readonly length: number
  readonly parent: string | null
  readonly bytes: Uint8Array
}

/** Verified evidence with its verdict, as it goes in. */
export type Entry = {
  readonly digest: string
  readonly attester: string
  readonly enrolment: number
  readonly kind: "answer" | "report"
  /** an answer in time on its own connection */
  readonly timely: boolean
  readonly chain: { readonly id: string; readonly sequence: string; readonly previous: string | null }
  readonly clock: Seen["clock"]
  readonly boot: string
  /** the counter of its command audit, or null */
  readonly audit: string | null
  /** the nonce that it answers; redeemed with this */
  readonly nonce: Uint8Array | null
  readonly asked: number | null
  readonly received: number
  readonly envelope: Uint8Array
  readonly log: Uint8Array
  readonly bootLogs: readonly BootLogPiece[]
  readonly tier: Tier
  readonly result: Uint8Array
  /** whether evidence before it is missing: opens a gap, closed when `missing` comes or by a named person */
  readonly gap: { readonly missing: string | null } | null
  /** the standing that it leads to, given the one it was judged from */
  readonly standing: { readonly version: number; readonly after: Standing }
}
/** recorded: it is on disk; known: it was before; spent: its nonce was redeemed or never issued; moved: judge again */
export type Recorded = "recorded" | "known" | "spent" | "moved"

export type KnownBootLog = Pick<BootLogPiece, "digest" | "length">

/** Evidence as it was kept; `log` is the length that belongs to it. */
export type Archived = Omit<Entry, "gap" | "standing" | "log" | "bootLogs" | "nonce" | "audit"> & {
  readonly log: number
}

export type VersionedStanding = Standing & { readonly version: number }

/** Evidence before `evidence` is missing: that with the digest `missing`, if it names one. */
export type Gap = { readonly evidence: string; readonly missing: string | null; readonly opened: number }

/** Something that is told of an attester and is no evidence. Only the newest are kept. */
export type Incident = {
  readonly attester: string
  readonly at: number
  readonly kind: "refused" | "missed" | "declined"
  readonly evidence: string | null
  readonly findings: readonly Finding[]
  readonly says: string
}

/** A line of the fleet. */
export type Row = { readonly attester: string; readonly label: string; readonly enrolled: number }

/** Who cleared an attester, and why. */
export type Clearing = {
  readonly attester: string
  readonly at: number
  readonly by: string
  readonly reason: string
}

export interface Admission {
  invite(invitation: Invitation): Promise<void>
  invitation(id: string): Promise<InvitationState | undefined>
  /** false when there is no such invitation, or it was revoked before */
  revoke(id: string, by: string, at: number): Promise<boolean>
  /**
   * Redeems the invitation and adds the enrolment. refused: the invitation is used, revoked or expired at `at`;
   * taken: another attester has this AK or this evidence key.
   */
  enrol(enrolment: Omit<Enrolment, "number">): Promise<Enrolment | "refused" | "taken">
  /** the newest, or undefined */
  enrolment(attester: string): Promise<Enrolment | undefined>
  enrolmentNumber(attester: string, number: number): Promise<Enrolment | undefined>
  /** at most `limit` attesters after `after` ("" for the first), by name */
  attesters(after: string, limit: number): Promise<readonly Row[]>
  /** how many attesters there are */
  count(): Promise<number>
  /** the attesters whose name begins with `text`; if there are none, those whose label it is; at most two */
  find(text: string): Promise<readonly Row[]>
}

export interface Archive {
  issue(nonce: Nonce): Promise<void>
  nonce(nonce: Uint8Array): Promise<Nonce | undefined>
  /**
   * Forgets nonces that expired before `late`, those of names that nobody enrolled when they expired before `now`, and of each
   * name all but the newest `most`.
   */
  forgetNonces(late: number, now: number, most: number): Promise<void>
  neighbours(place: Place): Promise<Neighbours>
  /** the first `length` bytes of each log of an epoch that is at least so long, at most eight */
  prefixes(epoch: LogEpoch, length: number): Promise<readonly Uint8Array[]>
  record(entry: Entry): Promise<Recorded>
  /** digests and lengths of the newest boot logs of this name that the attester showed, at most eight; of any length, or of this one */
  bootLogs(attester: string, name: BootLogName, length: number | "any"): Promise<readonly KnownBootLog[]>
  /** bytes of a boot log that this attester showed, from `offset`, at most `length`; undefined if it never did */
  bootLog(attester: string, digest: string, offset: number, length: number): Promise<Uint8Array | undefined>
  archived(digest: string): Promise<Archived | undefined>
  /** the newest by receipt: of answers in time, or of all evidence */
  newest(attester: string, which: "timely" | "any"): Promise<Archived | undefined>
  /** bytes of the log of archived evidence, from `offset`, at most `length` */
  log(digest: string, offset: number, length: number): Promise<Uint8Array>
}

export interface Register {
  standing(attester: string): Promise<VersionedStanding>
  /** leaves the standing `after` unless it is another than the one that this was concluded from */
  stand(attester: string, concluded: Entry["standing"]): Promise<"kept" | "moved">
  /** writes who cleared it, closes every gap, and leaves the standing `after` */
  clear(clearing: Clearing, after: Standing): Promise<void>
  /** at most `limit` open gaps, oldest first */
  gaps(attester: string, limit: number): Promise<readonly Gap[]>
  /** keeps the newest `keep` of this attester */
  tell(incident: Incident, keep: number): Promise<void>
  /** newest first */
  incidents(attester: string, limit: number): Promise<readonly Incident[]>
  /** a reference's exact bytes; the newest counts */
  refer(attester: string, digest: string, at: number, bytes: Uint8Array): Promise<void>
  reference(attester: string): Promise<Uint8Array | undefined>
}

/** Who said that the store came out of a backup, and why. */
export type Restoration = { readonly at: number; readonly by: string; readonly reason: string }

export interface Restored {
  /** how many pieces of evidence there are */
  size(): Promise<number>
  /** notes that the store came out of a backup */
  restored(restoration: Restoration): Promise<void>
}

export interface Store extends Restored, Admission, Archive, Register, Trust, Approval, Secrets, Vault {
  close(): Promise<void>
}
