/**
 * Do the README, docs/operating.md and docs/auditing.md tell the truth? Their blocks marked `sh run` are run in order, as one session, in which the
 * README's last block ends what runs; its table is the table of exits.
 */
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "vitest"
import { exits, meanings } from "../cli/exit.ts"

const root = join(import.meta.dirname, "..")
const readme = readFileSync(join(root, "README.md"), "utf8")
const operating = readFileSync(join(root, "docs/operating.md"), "utf8")
const auditing = readFileSync(join(root, "docs/auditing.md"), "utf8")
const blocksOf = (page: string, kind: string): string[] =>
  [...page.matchAll(/^```(.*)\n([^]*?)^```$/gm)].filter(([, info]) => info === kind).map(([, , text]) => text ?? "")

/** Runs a script in a session of its own, so that whatever it started can be ended. */
function session(script: string, cwd: string): Promise<{ code: number | null; said: string }> {
  const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
    cwd,
    detached: true,
    env: { ...process.env, TERM: "dumb" },
  })
  let said = ""
  for (const stream of [child.stdout, child.stderr]) stream.on("data", chunk => (said += String(chunk)))
  return new Promise(resolve => {
    child.once("exit", code => {
      try {
        if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL")
      } catch {
        // everything has ended by itself, as it should
      }
      resolve({ code, said })
    })
  })
}

test("the first session, file to file, operating a fleet, and from outside", async () => {
  const folder = mkdtempSync(join(tmpdir(), "readme-"))
  try {
    for (const name of [".cache", "docs"]) symlinkSync(join(root, name), join(folder, name))
    const first = blocksOf(readme, "sh run")
    const script = [
      ...first.slice(0, -1),
      ...[operating, auditing].flatMap(page => blocksOf(page, "sh run")),
      ...first.slice(-1),
    ]
      .join("\n")
      .replaceAll("7443", String(20_000 + (process.pid % 10_000)))
      .replaceAll("7455", String(30_000 + (process.pid % 2700)))
      // what the pages say is refused must be
      .replaceAll(/ \|\| test \$\? = (\d)$/gm, " && false || test $? = $1")
    const { code, said } = await session(script, folder)
    expect(code, said).toBe(0)
    expect(said).toMatch(/weights {5}none[^]*weights {5}warning[^]*weights {5}contraindicated/)
    expect(said).toContain("file/weights.bin")
    expect(said).toMatch(/FAIL {2}another file/)
    expect(said).toMatch(/fresh {7}yes {2}answers your nonce/)
  } finally {
    // a session that failed left its TPM running, which is a daemon and in no group of ours
    spawnSync("swtpm_ioctl", ["--unix", join(folder, "tpm/s.ctrl"), "-s"], { stdio: "ignore" })
    rmSync(folder, { recursive: true, force: true })
  }
}, 420_000)

test("other commands in it are what .ci/run runs", () => {
  const ci = readFileSync(join(root, ".ci/run"), "utf8")
  for (const line of blocksOf(readme, "sh").flatMap(text => text.trim().split("\n"))) expect(ci).toContain(line)
})

test("its table is the table of exits", () => {
  for (const [name, code] of Object.entries(exits))
    expect(readme).toContain(`| ${code} | ${meanings[name as keyof typeof exits]} |`)
})

test("what it links to is there", () => {
  for (const [, path] of readme.matchAll(/\]\(([^)#:]+)\)/g))
    expect(existsSync(join(root, path ?? "")), path).toBe(true)
})
