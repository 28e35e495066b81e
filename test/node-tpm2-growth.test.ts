/** Does a connection that quotes all day grow? The soak script, over few enough quotes to wait for. */
import { execFile } from "node:child_process"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, test } from "vitest"
import { startSwtpm } from "./swtpm.ts"

/** TPM_SOAK_QUOTES=20000 for the long run. */
const QUOTES = process.env["TPM_SOAK_QUOTES"] ?? "1000"

test("quotes leave nothing behind in native memory", { timeout: 600_000 }, async () => {
  const swtpm = await startSwtpm({ endorsed: false })
  try {
    const script = join(import.meta.dirname, "../node-tpm2/soak.ts")
    const env = { ...process.env, MALLOC_ARENA_MAX: "1" }
    const soak = await promisify(execFile)(process.execPath, ["--expose-gc", script, swtpm.tcti, QUOTES], { env })
    expect(soak.stdout).toMatch(/bytes a quote\n$/)
  } finally {
    await swtpm.stop()
  }
})
