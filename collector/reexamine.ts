/**
 * What does kept evidence prove, read once more? From the bytes in the store and the keys that were enrolled, as anybody could who
 * was given them. Freshness was judged when it came, and is not judged again.
 */
import { fromBase64 } from "../attestation/wire/text.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { logLimits, readPayload } from "../attestation/protocol/evidence.ts"
import type { Finding } from "../attestation/verify/finding.ts"
import { firstTime } from "../attestation/verify/boot-logs.ts"
import { type VerifiedEvidence, verifyAgain } from "../attestation/verify/verify.ts"
import type { Configuration } from "./config.ts"
import type { Archived, Store } from "./store.ts"

/** The logs that kept evidence names. */
export async function logsOf(
  store: Store,
  { digest, attester, envelope, log }: Archived,
): Promise<Map<string, Uint8Array>> {
  const logs = new Map([["assay", await store.log(digest, 0, log)]])
  for (const named of readPayload(fromBase64(readEnvelope(envelope).payload)).quote.logs) {
    if (named.state !== "present") continue
    const bytes = await store.bootLog(attester, named.digest, 0, logLimits[named.name])
    if (bytes) logs.set(named.name, bytes)
  }
  return logs
}

/** Verifies kept evidence again; the findings where it no longer is authentic, which says that the store was altered. */
export async function reexamine(
  store: Store,
  config: Pick<Configuration, "evidence">,
  kept: Archived,
  now: number,
): Promise<VerifiedEvidence | readonly Finding[]> {
  const enrolment = await store.enrolmentNumber(kept.attester, kept.enrolment)
  if (!enrolment) throw new Error(`enrolment ${kept.enrolment} of ${kept.attester} is gone`)
  const { akPublic, evidenceKey } = enrolment.identity
  const keys = { attester: kept.attester, ak: fromBase64(akPublic), evidenceKey: fromBase64(evidenceKey) }
  const { pcrs, pcr, quirks } = config.evidence
  const outcome = verifyAgain(
    { envelope: kept.envelope, logs: await logsOf(store, kept) },
    { keys, asked: { kind: "nothing" }, pcrs, logPcr: pcr, audience: "anyone", now },
    { ...firstTime, quirks },
  )
  return outcome.authentic ? outcome.evidence : outcome.findings
}
