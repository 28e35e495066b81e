/** What does the broker say when it cannot do something? What is wrong, and the fix; both reach the caller and stderr. */
import { Hinted, hintOf } from "../../attestation/wire/hinted.ts"
import { withLevel } from "../../local/journal.ts"

/** A failure with a hint: what a person should do about it. */
export class Fault extends Hinted {}

/** A failure that trying again does not mend: a supervisor should not start the broker anew until a person was there. */
export class LastingFault extends Fault {}

/** Runs what needs the endorsement hierarchy; its owner may have closed it. */
export async function underEndorsement<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    const closed = error instanceof Error && "code" in error && error.code === "TPM_RC_BAD_AUTH"
    if (!closed) throw error
    throw new LastingFault(
      "the TPM's endorsement hierarchy has a password",
      "take it away with tpm2_changeauth -c endorsement -p PASSWORD: the broker's keys are made in that hierarchy",
    )
  }
}

/** What went wrong, with the fix apart from it. */
export function faultOf(error: unknown): Fault {
  if (error instanceof Fault) return error
  if (!(error instanceof Error)) return new Fault(String(error), "")
  const hint = hintOf(error)
  const told = hint !== "" && error.message.endsWith(`: ${hint}`)
  return new Fault(told ? error.message.slice(0, -hint.length - 2) : error.message, hint)
}

/** Tells people on stderr, in house style. */
export function say(message: string, hint = ""): void {
  const fix = hint === "" ? "" : `assay: hint: ${hint}\n`
  process.stderr.write(withLevel("error", `assay: broker: ${message}\n${fix}`))
}
