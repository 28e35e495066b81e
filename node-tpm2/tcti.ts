/**
 * Which connection strings may reach tpm2-tss? Its TCTI loader treats them as code: `cmd:` runs a shell command, any other
 * name is dlopen'ed, and an empty one probes whatever is there. So only what stands here passes.
 */
import { ownError } from "./error.ts"

/** The kernel's devices. tpmrm (with the kernel's resource manager) is the one to use. */
const DEVICE = /^device:\/dev\/tpm(rm)?\d+$/

/** swtpm over Unix sockets `PATH` and `PATH.ctrl`, or over loopback TCP (`port` and the one above). */
const SOFTWARE = /^swtpm:(path=\/[^,]+|host=127\.0\.0\.1,port=\d{1,5})$/

/** sun_path holds 108 bytes; the TCTI appends `.ctrl` and a NUL. */
const LONGEST_PATH = 100

/**
 * Admits a connection string, or refuses it.
 *
 * @returns the transport it names
 * @throws TpmError TPM_TCTI_REFUSED
 */
export function admitTcti(tcti: string, allowSoftware: boolean): "device" | "swtpm" {
  if (DEVICE.test(tcti)) return "device"
  if (!SOFTWARE.test(tcti)) {
    const hint = "use device:/dev/tpmrm0" + (allowSoftware ? ", swtpm:path=/… or swtpm:host=127.0.0.1,port=…" : "")
    throw ownError("TPM_TCTI_REFUSED", "open", `"${tcti.slice(0, 200)}" is not an admitted connection string`, hint)
  }
  if (!allowSoftware) {
    const hint = "a software TPM proves nothing about a machine; allow it only for tests and demonstrations"
    throw ownError("TPM_TCTI_REFUSED", "open", `"${tcti.slice(0, 200)}" names a software TPM`, hint)
  }
  if (Buffer.byteLength(tcti) > "swtpm:path=".length + LONGEST_PATH) {
    throw ownError("TPM_TCTI_REFUSED", "open", "the socket's path is too long", `at most ${LONGEST_PATH} bytes`)
  }
  return "swtpm"
}
