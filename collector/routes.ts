/** At which doors does the collector listen, and what may be said at each, when, by whom? A row for each message; who is not in a row is not heard. */
import { type FromAttester, type FromVerifier, paths } from "../attestation/protocol/message.ts"
import type { Proof, Route } from "../channel/route.ts"

/** How far a connection of an attester's is. */
export type StageName = "new" | "applying" | "enrolled" | "greeted" | "proven"

type Says<T extends string, Row> = Readonly<Record<T, { readonly needs: Proof } & Row>>
const always: readonly StageName[] = ["new", "applying", "enrolled", "greeted", "proven"]

/** Until evidence verified in time a connection's name is a claim, and only `evidence` moves it on from there. */
const attesterSays = {
  hello: { needs: "none", at: ["new", "enrolled"] },
  enrol: { needs: "an attester's invitation", at: ["new"] },
  activated: { needs: "the recovered secret", at: ["applying"] },
  evidence: { needs: "enrolled keys", at: ["greeted", "proven"] },
  declined: { needs: "an open challenge", at: ["greeted", "proven"] },
  hashed: { needs: "an open challenge", at: ["greeted", "proven"] },
  want: { needs: "enrolled keys", at: ["greeted", "proven"] },
  goodbye: { needs: "none", at: always },
} as const satisfies Says<FromAttester["type"], { readonly at: readonly StageName[] }>

const verifierSays = {
  who: { needs: "a verifier's token" },
  ask: { needs: "a verifier's token" },
} as const satisfies Says<FromVerifier["type"], object>

export const attesterRoute = { path: paths.attester, who: "attesters", says: attesterSays } as const satisfies Route
export const verifierRoute = { path: paths.verifier, who: "verifiers", says: verifierSays } as const satisfies Route

/** Every door. */
export const routes = [attesterRoute, verifierRoute] as const
