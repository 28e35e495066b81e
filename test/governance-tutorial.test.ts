/**
 * Does docs/governance.md tell the truth? Its blocks marked `sh run` are run in order, as one session on a terminal of its own, on
 * which somebody types each passphrase that is asked for.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { stripVTControlCharacters } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { alone } from "./alone.ts"

const root = join(import.meta.dirname, "..")
const folder = mkdtempSync(join(tmpdir(), "governance-"))
const page = readFileSync(join(root, "docs/governance.md"), "utf8")
const script = [...page.matchAll(/^```sh run\n([^]*?)^```$/gm)]
  .map(([, text]) => text ?? "")
  .join("\n")
  .replaceAll("7453", String(30_000 + (process.pid % 10_000)))
  // what the page says is refused must be
  .replaceAll(/ \|\| test \$\? = (\d)$/gm, " && false || test $? = $1")

let said = ""
let session: ChildProcess | undefined
let code: number | null = null

/**
 * Runs the session under script(1), which gives it a terminal; answers each prompt with the passphrase of that key. In a PID namespace of its
 * own, whose first process is a shell that takes in orphans, it ends as a whole; and servers of other tests are none of this machine's.
 */
function onTerminal(): Promise<number | null> {
  writeFileSync(join(folder, "session"), script)
  const line = "script -qefc 'bash -euo pipefail session' /dev/null; exit $?"
  const child = (session = spawn("unshare", [...alone, "bash", "-c", line], {
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

/** What ran in the namespace ends with its first process. */
function endSession(): void {
  if (session?.exitCode === null) session.kill("SIGKILL")
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

/** What was said from the section whose commands hold `first` to the one whose commands hold `next`. */
const between = (first: RegExp, next: RegExp): string => {
  const from = said.search(first)
  return said.slice(from, from + said.slice(from).search(next))
}

describe("as it is told", () => {
  test("the machine turns affirming with three names", () => {
    const first = between(/1 of 2 approvals for terms \(Grace Hopper\)/, /contraindicated/)
    expect(first).toMatch(/overall {5}affirming/)
    expect(first).toMatch(
      /whose hash {2}Ada Lovelace:[^]*publisher: signature[^]*whose key {3}Mei Lin:[^]*whose pin {3}Grace Hopper, Mei/,
    )
  })
  test("another driver is contraindicated with a diff, and one approval leaves it so", () => {
    const red = between(/overall {5}contraindicated/, /overall {5}affirming/)
    expect(red).toMatch(/driver nvidia: version: 595\.84|driver nvidia: version; seen 595|seen {4}595\.84/)
    expect(red.match(/driver nvidia: version 550\.120 becomes 595\.84/g)).toHaveLength(2)
    expect(red).toMatch(/1 of 2 approvals for terms \(Ada Lovelace\)[^]*overall {5}contraindicated/)
  })
  test("C35 what was put for an affirming machine is released to it, and not once its driver is another", () => {
    expect(said).toMatch(/released {4}when affirming\na token of the firm/)
    expect(said.match(/a token of the firm/g)).toHaveLength(1)
    expect(said).toContain(
      "withheld: the verdict on this machine is contraindicated, and the secret is for an affirming",
    )
  })
  test("every note and what was decided is in the audit, under the policy root that was told", () => {
    expect(said).toContain("notes were accepted by the quorums of their day, from the policy root")
    expect(said).toContain("report.html tells just that")
    expect(said).not.toMatch(/FAIL {2}/)
  })
})
