/** What must this evidence answer? An open challenge of its connection; else it is history, whose nonce is looked up. */
import { fromBase64 } from "../attestation/wire/text.ts"
import type { Payload } from "../attestation/protocol/evidence.ts"
import { type Finding, finding } from "../attestation/verify/finding.ts"
import type { Asked } from "../attestation/verify/verify.ts"
import type { Nonce, Store } from "./store.ts"

/** The connection that evidence came over, and its open challenge that the evidence says it answers. */
export type Asking = {
  readonly channel: Uint8Array
  readonly challenge: Pick<Nonce, "nonce" | "issued" | "expires"> | "none of this connection"
}

/** What this evidence must answer, and since when it was asked. `missing` refuses what was never asked, unless it is known. */
export type Question = {
  readonly asked: Asked
  readonly timely: boolean
  readonly nonce: Pick<Nonce, "nonce" | "issued"> | null
  readonly missing: Finding | undefined
}

const noSecret = new Uint8Array(0)

/**
 * An open challenge of this connection, before its deadline, is answered exactly. Anything else is history: a report, or an
 * answer to a nonce that this attester was once given, checked against the connection that it was given on.
 */
export async function questionOf(
  store: Store,
  { channel, challenge }: Asking,
  claimedAttester: string,
  { body }: Payload,
  received: number,
): Promise<Question> {
  if (challenge !== "none of this connection" && received <= challenge.expires)
    return { asked: nonceAsked(challenge, channel), timely: true, nonce: challenge, missing: undefined }
  if (body.kind === "report") return { asked: { kind: "nothing" }, timely: false, nonce: null, missing: undefined }
  const issued = await store.nonce(fromBase64(body.nonce))
  if (issued?.attester === claimedAttester)
    return { asked: nonceAsked(issued, issued.channel), timely: false, nonce: issued, missing: undefined }
  const missing = finding("nonce.unknown", "nonce", "a nonce that is not open", "one that this attester was given")
  return { asked: { kind: "nothing" }, timely: false, nonce: null, missing }
}

const nonceAsked = ({ nonce, issued }: Pick<Nonce, "nonce" | "issued">, channel: Uint8Array): Asked => ({
  ...{ kind: "nonce", nonce, channel, credential: noSecret, issued },
})
