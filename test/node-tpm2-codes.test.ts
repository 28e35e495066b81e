/** Are response codes read as tpm2-tss reads them? Every code of the table, with every subject, is put to tpm2_rc_decode. */
import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { describe, expect, test } from "vitest"
import { decodeResponseCode } from "../node-tpm2/index.ts"

const run = promisify(execFile)

/** `tpm:parameter(2):value is out of range…` */
async function judged(rc: number): Promise<string> {
  return (await run("tpm2_rc_decode", [`0x${rc.toString(16)}`])).stdout.trim()
}

/** Our subject in the words of the tool: `parameter 2` is `parameter(2)`. */
const spelled = (subject: string): string => subject.replace(/ (\d+)/, "($1)")

describe("codes about an argument", () => {
  test.each([
    [0x09a2, "TPM_RC_BAD_AUTH", "authorization failure without DA implications"],
    [0x098e, "TPM_RC_AUTH_FAIL", "the authorization HMAC check failed and DA counter incremented"],
    [0x099d, "TPM_RC_POLICY_FAIL", "a policy check failed"],
    [0x018b, "TPM_RC_HANDLE", "the handle is not correct for the use"],
    [0x02d5, "TPM_RC_SIZE", "structure is the wrong size"],
    [0x07c4, "TPM_RC_VALUE", "value is out of range or is not correct for the context"],
    [0x01df, "TPM_RC_INTEGRITY", "integrity check failed"],
    [0x0084, "TPM_RC_VALUE", "value is out of range or is not correct for the context"],
  ])("%i is %s", async (rc, code, text) => {
    const decoded = decodeResponseCode(rc)
    expect(decoded).toMatchObject({ code, layer: "tpm" })
    const tool = await judged(rc)
    expect(tool).toContain(text)
    if (decoded.subject !== "command") expect(tool).toContain(`tpm:${spelled(decoded.subject)}:`)
  })
})

describe("codes that stand by themselves", () => {
  test.each([
    [0x0100, "TPM_RC_INITIALIZE", "TPM not initialized"],
    [0x0128, "TPM_RC_PCR_CHANGED", "PCR have changed"],
    [0x014a, "TPM_RC_NV_UNINITIALIZED", "an NV Index is used before being initialized"],
    [0x0902, "TPM_RC_OBJECT_MEMORY", "out of memory for object contexts"],
    [0x0910, "TPM_RC_REFERENCE_H0", "the 1st handle in the handle area references a transient object"],
    [0x0921, "TPM_RC_LOCKOUT", "authorizations for objects subject to DA protection are not allowed"],
  ])("%i is %s", async (rc, code, text) => {
    expect(decodeResponseCode(rc)).toEqual({ code, layer: "tpm", subject: "command" })
    expect(await judged(rc)).toContain(text)
  })

  test.each([
    [0x00070007, "TSS2_ESYS_RC_BAD_SEQUENCE", "esys", "esapi:Function called in the wrong order"],
    [0x0007001b, "TSS2_ESYS_RC_RSP_AUTH_FAILED", "esys", "esapi:"],
    [0x000a000a, "TSS2_TCTI_RC_IO_ERROR", "tcti", "tcti:IO failure"],
    [0x00090006, "TSS2_MU_RC_INSUFFICIENT_BUFFER", "mu", "mu:A buffer isn't large enough"],
  ])("%i is %s of %s", async (rc, code, layer, text) => {
    expect(decodeResponseCode(rc)).toEqual({ code, layer, subject: "command" })
    expect(await judged(rc)).toContain(text)
  })

  test("an unknown one keeps its number", () => {
    expect(decodeResponseCode(0x0955)).toEqual({ code: "TPM_RC_0x955", layer: "tpm", subject: "command" })
    expect(decodeResponseCode(0x00ff0001)).toMatchObject({ layer: "unknown" })
  })
})
