/**
 * Whose machine signs with these keys? A certification: the firm's root key says that an attester's AK and evidence key are those
 * of an enrolment. Made by a person at enrolment; the collector, which keeps it, cannot make it.
 */
import { tpmName } from "../protocol/evidence.ts"
import { Malformed } from "../wire/codec.ts"
import {
  readDigest,
  readMoment,
  readPersonId,
  readStatement,
  readVersion,
  readWords,
  Taken,
  writeDigest,
  writeMoment,
  writeStatement,
} from "./statement.ts"

export type Certification = {
  readonly origin: string
  /** digest of the policy whose root key signs */
  readonly policy: string
  readonly attester: string
  readonly enrolment: number
  /** Name of the AK */
  readonly ak: string
  /** what DSSE envelopes call the evidence key: SHA-256 of its SubjectPublicKeyInfo */
  readonly evidenceKey: string
  readonly at: number
  readonly by: string
  readonly change: string
}

/** The certification in `text`. Throws {@link Malformed}. */
export function readCertification(text: string): Certification {
  const statement = readStatement(text)
  if (statement.kind !== "certification") throw new Malformed(`this is a ${statement.kind}, not a certification`)
  const lines = new Taken(statement)
  const certification: Certification = {
    origin: statement.origin,
    policy: readDigest(lines.one("policy")),
    attester: readTpmName(lines.one("attester")),
    enrolment: readVersion(lines.one("enrolment")),
    ak: readTpmName(lines.one("ak")),
    evidenceKey: readDigest(lines.one("evidence-key")),
    at: readMoment(lines.one("at")),
    by: readPersonId(lines.one("by")),
    change: readWords(lines.one("change")),
  }
  if (writeCertification(certification) !== text)
    throw new Malformed("its lines are not those of a certification, in their order")
  return certification
}

function readTpmName(text: string): string {
  if (!tpmName.safeParse(text).success) throw new Malformed(`"${text}" is not the Name of a TPM object`)
  return text
}

/** The text of a certification. */
export const writeCertification = (given: Certification): string =>
  writeStatement({
    ...{ origin: given.origin, kind: "certification" },
    lines: [
      ["policy", writeDigest(given.policy)],
      ["attester", given.attester],
      ["enrolment", String(given.enrolment)],
      ["ak", given.ak],
      ["evidence-key", writeDigest(given.evidenceKey)],
      ["at", writeMoment(given.at)],
      ["by", given.by],
      ["change", given.change],
    ],
  })
