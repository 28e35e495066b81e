/** How do tests of verify() speak of its outcome? As one list: authentic or refused, then the ids of what was found. */
import { generateKeyPairSync, type KeyObject } from "node:crypto"
import type { Body, Payload } from "../attestation/protocol/evidence.ts"
import { type Expected, type Outcome, type UntrustedEvidence, verify } from "../attestation/verify/verify.ts"
import { asked, expectedOf, type Machine, type Options } from "./evidence-maker.ts"

export const idsOf = (outcome: Outcome): string[] => {
  const findings = outcome.authentic ? outcome.evidence.findings : outcome.findings
  return [...new Set(findings.map(each => each.id))].toSorted()
}

/** The outcome over evidence of `machine`, with `change` to what is expected of it. */
export const judged = (machine: Machine, untrusted: UntrustedEvidence, change: Partial<Expected> = {}): string[] => {
  const outcome = verify(untrusted, { ...expectedOf(machine), ...change })
  return [outcome.authentic ? "authentic" : "refused", ...idsOf(outcome)]
}

/** The outcome over evidence made with `options`. */
export const attested = async (machine: Machine, options: Options, change: Partial<Expected> = {}): Promise<string[]> =>
  judged(machine, await machine.attest(options), change)

/** What is usually asked, with a change. */
export const asking = (change: Partial<Extract<Expected["asked"], { kind: "nonce" }>>): Partial<Expected> => ({
  asked: { kind: "nonce", nonce: asked.nonce, channel: asked.channel, credential: new Uint8Array(0), ...change },
})

export type Alter<T> = (value: T) => T
/** Changes the body in the payload, after it was quoted. */
export const later =
  (alter: Alter<Body>): Alter<Payload> =>
  payload => ({ ...payload, body: alter(payload.body) })

/** An evidence key of somebody else. */
export const keyPair = (): { publicKey: Uint8Array; secret: KeyObject } => {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  return {
    publicKey: new Uint8Array(publicKey.export({ format: "der", type: "spki" }).subarray(-32)),
    secret: privateKey,
  }
}
