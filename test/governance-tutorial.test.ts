/**
 * Does docs/governance.md tell the truth? Its blocks marked `sh run` are run in order, as one session on a terminal of its own, on
 * which somebody types each passphrase that is asked for.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import { afterAll, beforeAll, expect, test } from "vitest"

const root = join(import.meta.dirname, "..")
const folder = mkdtempSync(join(tmpdir(), "governance-"))
const page = readFileSync(join(root, "docs/governance.md"), "utf8")
const script = [...page.matchAll(/^```sh run\n([^]*?)^```$/gm)]
  .map(([, text]) => text ?? "")
  .join("\n")
  .replaceAll("7453", String(30_000 + (process.pid % 10_000)))

let said = ""
let session: ChildProcess | undefined
let code: number | null = null

/** Runs the session under script(1), which gives it a terminal; answers each prompt with the passphrase of that key. */
function onTerminal(): Promise<number | null> {
  writeFileSync(join(folder, "session"), script)
  const child = (session = spawn("script", ["-qefc", "bash -euo pipefail session", "/dev/null"], {
    cwd: folder,
    detached: true,
    env: { ...process.env, TERM: "dumb", SHELL: "/bin/bash" },
  }))
  let answered = 0
  child.stdout.on("data", chunk => {
    said += String(chunk)
    const prompts = [...said.matchAll(/passphrase[^\n:]*: /g)]
    for (; answered < prompts.length; answered++) child.stdin.write("three people, one purpose\r")
  })
  return new Promise(resolve => child.once("exit", resolve))
}

/** script(1) hangs up the terminal of its session when it ends, and what ran there ends with it. */
function endSession(): void {
  if (session?.exitCode === null) session.kill("SIGTERM")
}

beforeAll(async () => {
  symlinkSync(join(root, ".cache"), join(folder, ".cache"))
  code = await onTerminal()
  said = stripVTControlCharacters(said).replaceAll("\r", "")
  for (const log of ["collector.log", "agent.log"])
    if (code !== 0 && existsSync(join(folder, log))) said += `\n${log}:\n${readFileSync(join(folder, log), "utf8")}`
}, 900_000)

afterAll(() => {
  endSession()
  spawnSync("swtpm_ioctl", ["--unix", join(folder, "tpm/s.ctrl"), "-s"], { stdio: "ignore" })
  rmSync(folder, { recursive: true, force: true })
})

test("every step does what the page says", () => expect(code, said).toBe(0))
