/** Does docs/releasing-secrets.md tell the truth? Its blocks marked `sh run` are one session, on a software TPM, with a collector and an agent. */
import { spawn, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, onTestFinished, test } from "vitest"

const root = join(import.meta.dirname, "..")
const script = [...readFileSync(join(root, "docs/releasing-secrets.md"), "utf8").matchAll(/^```sh run\n([^]*?)^```$/gm)]
  .map(([, text]) => text ?? "")
  .join("\n")
  .replaceAll("7463", String(33_000 + (process.pid % 7000)))
  // what the page says is refused must be
  .replaceAll(/ \|\| test \$\? = (\d)$/gm, " && false || test $? = $1")

test("the page runs as it stands", async () => {
  const folder = mkdtempSync(join(tmpdir(), "secrets-"))
  symlinkSync(join(root, ".cache"), join(folder, ".cache"))
  const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
    cwd: folder,
    detached: true,
    env: { ...process.env, TERM: "dumb" },
  })
  onTestFinished(() => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
    } catch {
      // everything has ended by itself, as it should
    }
    // a session that failed left its TPM running, which is a daemon and in no group of ours
    spawnSync("swtpm_ioctl", ["--unix", join(folder, "tpm/s.ctrl"), "-s"], { stdio: "ignore" })
    rmSync(folder, { recursive: true, force: true })
  })
  let said = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", chunk => (said += String(chunk)))
  expect(await new Promise(resolve => child.once("exit", resolve)), said).toBe(0)
  expect(said).toMatch(/withheld: the verdict on this machine is warning[^]*\n600\n/)
  expect(said).toMatch(/affirming or a warning, released once, last /)
  expect(said).toMatch(/withheld: the verdict on this machine is contraindicated[^]*withheld: no secret of this name/)
  expect(said).toMatch(/secret-put[^]*secret-released[^]*secret-withheld/)
  expect(said).toMatch(/^\d+\tdisk-key\ttier\tAda Lovelace$/m)
}, 240_000)
