/** At which doors does the collector listen? Attesters' and outside verifiers'. Who may say what there: `routes.ts`; what comes of it: `attester.ts`, `verifier.ts`; how it is bounded: `channel/listen.ts`. */
import { type Door, listen, type Serving } from "../channel/listen.ts"
import { AttesterSession } from "./attester.ts"
import type { Parts } from "./parts.ts"
import { attesterRoute, verifierRoute } from "./routes.ts"
import type { TlsIdentity } from "./tls.ts"
import { VerifierSession } from "./verifier.ts"

/** Listens as `parts.config` says. */
export function serve(parts: Parts, { options }: TlsIdentity): Promise<Serving> {
  const { config, now, say } = parts
  const doors: Door[] = [
    { ...attesterRoute, open: peer => new AttesterSession(peer, parts) },
    { ...verifierRoute, open: peer => new VerifierSession(peer, parts) },
  ]
  const common = { tls: options, peerCertificates: "not asked", limits: config.limits, now, say } as const
  return listen({ ...config.listen, ...common, doors, farewell: "the collector stops" })
}
