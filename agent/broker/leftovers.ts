/**
 * What did a broker that was killed leave in a TPM without a resource manager? Loaded keys and sessions, in the few slots
 * there are. The kernel's /dev/tpmrm0 flushes them by itself; before a bare swtpm, whose only user is the broker, we do.
 */
import { Esys, type OpenOptions, TR } from "../../node-tpm2/esys.ts"
import { readHandles } from "../../node-tpm2/capability.ts"

/** Flushes every transient object and loaded session. Only for a TPM that nobody else uses. */
export async function flushLeftovers(tcti: string, options: OpenOptions): Promise<void> {
  const esys = await Esys.open(tcti, options)
  try {
    for (const kind of ["transient", "loaded-session"] as const)
      for (const handle of await readHandles(esys, kind)) {
        const [tr] = await esys.call("TR_FromTPMPublic", handle, TR.none, TR.none, TR.none)
        await esys.call("FlushContext", tr)
      }
  } finally {
    await esys.close()
  }
}
