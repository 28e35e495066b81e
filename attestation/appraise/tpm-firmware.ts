/**
 * Which firmware does the TPM run, by its own word? Every quote carries the version, signed (TPMS_ATTEST, TPM 2.0 Library, Part 2, 10.12.12). The agent
 * measures it too, and may say what it likes: what references and pins are compared with is the quoted one.
 */
import { keyOfMeasurement } from "../pins/reference.ts"
import type { LogEvent, Measurement } from "../protocol/event.ts"
import { type Finding, finding } from "../verify/finding.ts"
import type { VerifiedEvidence } from "../verify/verify.ts"

/** The measurement of the TPM, and its fact that a quote holds too. */
const about = "firmware tpm"
const fact = "firmware"

type Quoting = Pick<VerifiedEvidence, "quote">

/**
 * firmwareVersion as the agent's measurement spells it: 16 digits of hex. The TPM blinds it for keys that are of neither the endorsement
 * nor the platform hierarchy; the AK of an enrolled attester is of the endorsement hierarchy.
 */
export const quotedFirmware = ({ quote }: Quoting): string => quote.firmwareVersion.toString(16).padStart(16, "0")

/** The events, of which the newest measurement of the TPM says the quoted version, whatever it said. */
export function withQuotedFirmware<E extends LogEvent>(events: readonly E[], quoting: Quoting): readonly E[] {
  const newest = newestOf(events)
  const quoted = quotedFirmware(quoting)
  if (!newest || claimedBy(newest).every(claimed => claimed === quoted)) return events
  return events.map(each => (each === newest ? { ...each, facts: factsWith(newest, quoted) } : each))
}

/** An agent that measured another version than its TPM quotes. */
export function firmwareContradiction(events: readonly LogEvent[], quoting: Quoting): Finding[] {
  const newest = newestOf(events)
  const quoted = quotedFirmware(quoting)
  return (newest ? claimedBy(newest) : [])
    .filter(claimed => claimed !== quoted)
    .map(claimed =>
      finding("source.contradiction", `${about}: ${fact}`, `the agent says ${claimed}`, `${quoted}, as the TPM quotes`),
    )
}

const newestOf = (events: readonly LogEvent[]): Measurement | undefined =>
  events.findLast(
    (event): event is Measurement => event.type === "assay.measurement.v1" && keyOfMeasurement(event) === about,
  )

const claimedBy = ({ facts }: Measurement): string[] =>
  facts.filter(([name]) => name === fact).map(([, value]) => value)

const factsWith = ({ facts }: Measurement, quoted: string): Measurement["facts"] =>
  facts.map(([name, value]) => [name, name === fact ? quoted : value])
