/** At which doors does the collector listen? Attesters' and outside verifiers'. What is said there: `attester.ts`, `verifier.ts`; how it is bounded: `channel/listen.ts`. */
import { paths } from "../attestation/protocol/message.ts"
import { type Doors, listen, type Serving } from "../channel/listen.ts"
import { AttesterSession } from "./attester.ts"
import type { Parts } from "./parts.ts"
import type { TlsIdentity } from "./tls.ts"
import { VerifierSession } from "./verifier.ts"

/** Listens as `parts.config` says. */
export function serve(parts: Parts, { options }: TlsIdentity): Promise<Serving> {
  const { config, now, say } = parts
  const doors: Doors = {
    [paths.attester]: peer => new AttesterSession(peer, parts),
    [paths.verifier]: peer => new VerifierSession(peer, parts),
  }
  const common = { tls: options, peerCertificates: "not asked", limits: config.limits, now, say } as const
  return listen({ ...config.listen, ...common, doors, farewell: "the collector stops" })
}
