/**
 * Which doors does a server have, for whom is each, and what must be shown for each thing that can be said there? Rows: servers dispatch by them, and the
 * tests that knock at every door are made from them. How a door is kept: `listen.ts`; how each proof is checked: whoever talks behind it.
 */

/** By what a message shows that it is its sender's to say. */
export type Proof =
  /** whoever says it: nothing is revealed, changed or told for it */
  | "none"
  /** a token that an operator issued for one attester, unused and in time */
  | "an attester's invitation"
  /** the secret that only the TPM with this EK and AK recovers */
  | "the recovered secret"
  /** evidence that the keys of an enrolment made */
  | "enrolled keys"
  /** a challenge that is open on this very connection */
  | "an open challenge"
  /** a token that an operator issued for an outside verifier, in time and not revoked */
  | "a verifier's token"
  /** the TLS key of a verifier on the list, shown before anything is said */
  | "a listed TLS key"

/** A door for WebSockets. A message that has no row is none. */
export type Route = {
  readonly path: string
  readonly who: "attesters" | "verifiers"
  readonly says: Readonly<Record<string, { readonly needs: Proof }>>
}

/** What HTTP gets without a WebSocket: the same text for everybody. No page says anything of anybody. */
export const pages: readonly { readonly path: string; readonly method: "GET"; readonly text: string }[] = [
  /** whether the process lives */
  { path: "/healthz", method: "GET", text: "ok\n" },
]
