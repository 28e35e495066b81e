/**
 * Does this TPM count here? A maker's listed root does; any other root, and a software TPM, only where the policy in force admits
 * it by name, or, while there is no policy, by an operator's word. Whose word an EK rests on: `endorsement.ts`.
 */
import { type AdmittedTpm, nameIn, type Policy } from "../pins/policy.ts"
import type { Measurement } from "../protocol/event.ts"
import { type Finding, finding } from "../verify/finding.ts"
import { type Endorsement, spoken } from "./endorsement.ts"

/** What is to be said of the TPM of `attester`, in words and findings. */
export function judgeTpm(
  attester: string,
  endorsement: Endorsement,
  events: readonly Measurement[],
  policy: Policy | undefined,
): { readonly says: string; readonly findings: readonly Finding[] } {
  const admission = policy && admissionOf(attester, endorsement, policy)
  const findings = [
    ...unendorsed(endorsement),
    ...unadmitted(endorsement, policy, admission),
    ...software(events, admission, policy),
  ]
  return { says: inWords(endorsement, admission, policy), findings }
}

function admissionOf(attester: string, endorsement: Endorsement, { admits }: Policy): AdmittedTpm | undefined {
  const own = admits.find(({ what, digest }) => what === "ek" && digest === attester)
  if (own || endorsement.kind !== "endorsed") return own
  return admits.find(({ what, digest }) => what === "root" && digest === endorsement.root)
}

function inWords(endorsement: Endorsement, admission: AdmittedTpm | undefined, policy: Policy | undefined): string {
  const word = endorsement.kind === "unendorsed" ? "no maker's root" : `EK ${spoken(endorsement)}`
  if (!admission || !policy) return word
  const { as, person, reason } = admission
  const loud = as === "software" ? "SOFTWARE TPM, " : ""
  return `${loud}${word}; admitted in policy ${policy.version} by ${nameIn(policy, person)}: ${reason}`
}

function unendorsed(endorsement: Endorsement): Finding[] {
  if (endorsement.kind === "accepted" || endorsement.kind === "endorsed") return []
  const seen =
    endorsement.kind === "unendorsed" ? "an EK that nobody vouches for" : `an EK certificate that ${endorsement.why}`
  return [finding("root.unendorsed", "tpm", seen, "a TPM maker's root")]
}

function unadmitted(
  endorsement: Endorsement,
  policy: Policy | undefined,
  admission: AdmittedTpm | undefined,
): Finding[] {
  const operators =
    endorsement.kind === "accepted" || (endorsement.kind === "endorsed" && endorsement.approval !== "listed")
  if (!policy || admission || !operators) return []
  return [
    finding("root.operators-word", "tpm", spoken(endorsement), `a line of policy ${policy.version} that admits it`),
  ]
}

/** What the machine says of its own TPM can only make matters worse. */
function software(
  events: readonly Measurement[],
  admission: AdmittedTpm | undefined,
  policy: Policy | undefined,
): Finding[] {
  if (admission?.as === "software")
    return [finding("tpm.software-admitted", "tpm", `software, admitted: ${admission.reason}`, "a TPM of hardware")]
  const said = events.some(
    ({ source, subject, facts }) =>
      source === "firmware" &&
      subject === "tpm" &&
      facts.some(([name, value]) => name === "kind" && value === "software"),
  )
  return said && policy ? [finding("tpm.software", "tpm", "software, as the machine says", "a TPM of hardware")] : []
}
