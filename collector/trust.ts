/**
 * What does a collector keep of whom it trusts, and what must hold of it? Roots and intermediates of TPM makers, retired
 * attesters, and EKs that are one machine's. Nothing is overwritten: what ends has a row that says who ended it. How it is kept:
 * `trust.sqlite.ts`. Times are milliseconds since 1970 by the collector's clock.
 */
import type { Decision } from "../attestation/appraise/endorsement.ts"
import type { InvitationState } from "./store.ts"

/** A certificate that was admitted; `fingerprint` is its SHA-256 in hex. An intermediate is trusted for nothing by itself. */
export type AdmittedCertificate = {
  readonly fingerprint: string
  readonly certificate: Uint8Array
  readonly role: "root" | "intermediate"
  readonly maker: string
  /** "listed": the table of makers' roots has it, or it leads there */
  readonly approval: "listed" | Decision
  readonly at: number
}

/** An attester that is no longer one, up to its enrolment of this number. */
export type Retirement = Decision & { readonly attester: string; readonly number: number; readonly at: number }

/** Another EK that was shown to be in one TPM with the AK of `attester`. */
export type Alias = { readonly attester: string; readonly alias: string; readonly at: number }

export interface Trust {
  /** false when it is admitted already */
  admitCertificate(certificate: AdmittedCertificate): Promise<boolean>
  /** what is admitted and not withdrawn, in the order of admission */
  admittedCertificates(): Promise<readonly AdmittedCertificate[]>
  /** who withdrew the certificate last admitted under this fingerprint, if it is withdrawn */
  withdrawal(fingerprint: string): Promise<Decision | undefined>
  /** false when no such certificate is admitted */
  withdraw(fingerprint: string, decision: Decision, at: number): Promise<boolean>
  /** Ends what was enrolled so far. "none": nobody is enrolled under this name. */
  retire(attester: string, decision: Decision, at: number): Promise<Retirement | "none" | "retired before">
  /** the retirement of the newest enrolment, or undefined */
  retirement(attester: string): Promise<Retirement | undefined>
  alias(alias: Alias): Promise<void>
  /** every name under which this machine was seen, either way */
  aliases(attester: string): Promise<readonly Alias[]>
  /** which attester has this AK */
  ownerOf(ak: string): Promise<string | undefined>
  /** newest first, at most `limit`, issued before `before` */
  invitations(before: number, limit: number): Promise<readonly InvitationState[]>
}
