/**
 * What does a collector keep of secrets, and what must hold of it? For whom each is and on which verdict it may be released; its bytes
 * are sealed before they come here (`safe.ts`), and leave only through {@link Secrets.release}, whose leaf of the vault is on disk
 * before the bytes are given. How it is kept: `secret.sqlite.ts`. Times are milliseconds since 1970 by the collector's clock.
 */
import type { Tier } from "../attestation/appraise/component.ts"
import type { Decision } from "../attestation/appraise/endorsement.ts"

/** The least good verdict on which a secret is released. */
export const releaseTiers = ["affirming", "warning"] as const
export type ReleaseTier = (typeof releaseTiers)[number]

/** A secret as it was put: for one attester, under a name, by a person. */
export type Secret = Decision & {
  readonly attester: string
  readonly name: string
  readonly tier: ReleaseTier
  readonly at: number
}

/** A secret in force, and what became of it: how often it was released, and when last (null: never). */
export type SecretRow = Secret & { readonly releases: number; readonly last: number | null }

/** `evidence` answers a nonce that was drawn at or after `since`, when the wish came. */
export type Wish = {
  readonly attester: string
  readonly name: string
  readonly evidence: string
  readonly since: number
  readonly at: number
}

/** Why a wish is not granted; `tier` is that of the evidence, `allowed` that of the secret. */
export type Withheld =
  | { readonly kind: "withheld"; readonly why: "unknown" | "unanswered" | "retired" | "sealed" }
  | { readonly kind: "withheld"; readonly why: "tier" | "standing"; readonly tier: Tier; readonly allowed: ReleaseTier }

/** The bytes, and the number of the enrolment whose AK quoted. */
export type Granted = { readonly kind: "granted"; readonly secret: Uint8Array; readonly enrolment: number }

/** What gives the bytes back that were sealed for this secret; undefined where they cannot be opened. */
export type Unseal = (secret: Secret, sealed: Uint8Array) => Uint8Array | undefined

export interface Secrets {
  /** Keeps it; one of the same name for the same attester is forgotten. Gives whether there was one. */
  putSecret(secret: Secret, sealed: Uint8Array): Promise<boolean>
  /** those in force, by attester and name */
  secrets(): Promise<readonly SecretRow[]>
  /** Forgets the bytes. false when there is no such secret. */
  withdrawSecret(attester: string, name: string, decision: Decision, at: number): Promise<boolean>
  /**
   * Gives the bytes if, at this moment, the secret is there, the evidence is this attester's answer in time to a nonce not older than the
   * wish, nothing else was released for it, and both its tier and how the attester stands now are good enough. In that transaction it
   * leaves a leaf; so it does where a secret is withheld.
   */
  release(wish: Wish, unseal: Unseal): Promise<Granted | Withheld>
}
