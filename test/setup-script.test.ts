/** Does scripts/setup.sh do only what is missing, say what it cannot do, and leave programs that work? */
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { arch, tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "..")
const script = join(root, "scripts/setup.sh")
const directory = mkdtempSync(join(tmpdir(), "assay-setup-"))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** A folder that looks to the script like a checkout in which npm has done its part, and apt, where it had to. */
function checkout(name: string): string {
  const folder = bareCheckout(name)
  const unpacked = join(root, ".cache/deb")
  mkdirSync(join(folder, ".cache"))
  if (existsSync(unpacked)) symlinkSync(unpacked, join(folder, ".cache/deb"))
  return folder
}

function bareCheckout(name: string): string {
  const folder = join(directory, name)
  mkdirSync(join(folder, "scripts"), { recursive: true })
  mkdirSync(join(folder, "node_modules/.bin"), { recursive: true })
  cpSync(script, join(folder, "scripts/setup.sh"))
  cpSync(join(root, "package-lock.json"), join(folder, "package-lock.json"))
  symlinkSync(join(root, "node_modules/.bin/node"), join(folder, "node_modules/.bin/node"))
  const lock = readFileSync(join(folder, "package-lock.json"))
  const machine = execFileSync("uname", ["-m"])
  const stamp = createHash("sha256").update(lock).update(machine).digest("hex")
  writeFileSync(join(folder, "node_modules/.assay-stamp"), `${stamp}\n`)
  return folder
}

/** Runs a line of shell in a checkout. */
const shell = (folder: string, line: string, env: NodeJS.ProcessEnv = process.env) =>
  spawnSync("sh", ["-c", line], { cwd: folder, env, encoding: "utf8" })

describe("setup", () => {
  it("says nothing and does nothing where all is there", () => {
    const folder = checkout("again")
    expect(shell(folder, "sh scripts/setup.sh").status).toBe(0)
    const before = readFileSync(join(folder, ".cache/env.sh"), "utf8")
    const { status, stdout, stderr } = shell(folder, "sh scripts/setup.sh")
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: "", stderr: "" })
    expect(readFileSync(join(folder, ".cache/env.sh"), "utf8")).toBe(before)
  })

  it("lets runs at the same time wait for each other", async () => {
    const folder = checkout("at-once")
    const runs = Array.from({ length: 4 }, async () => {
      const child = spawn("sh", ["scripts/setup.sh"], { cwd: folder, stdio: "ignore" })
      return new Promise<number | null>(resolve => child.on("exit", resolve))
    })
    expect(await Promise.all(runs)).toEqual([0, 0, 0, 0])
  })

  it("puts the pinned Node and a working swtpm_setup before all else, in a folder of any name", () => {
    const folder = checkout('it\'s-a-"folder"-of-$HOME')
    mkdirSync(join(folder, "tpm"))
    const { stdout, stderr, status } = shell(
      folder,
      `sh scripts/setup.sh && . ./.cache/env.sh && node --version && command -v node &&
       swtpm_setup --tpm2 --tpmstate tpm --create-ek-cert --create-platform-cert --logfile tpm/log`,
    )
    expect({ stderr, status }).toEqual({ stderr: "", status: 0 })
    const { optionalDependencies: pinned }: { optionalDependencies: Record<string, string> } = JSON.parse(
      readFileSync(join(root, "package.json"), "utf8"),
    )
    expect(stdout.split("\n").slice(0, 2)).toEqual([
      `v${pinned[`node-linux-${arch()}`]}`,
      join(folder, "node_modules/.bin/node"),
    ])
    expect(existsSync(join(folder, "tpm/tpm2-00.permall"))).toBe(true)
  })

  it("names what is missing and the line that installs it, and exits 69, where it cannot install", () => {
    const folder = bareCheckout("poor")
    const poor = join(directory, "bin")
    mkdirSync(poor)
    for (const program of ["sh", "dirname", "mkdir", "flock", "id", "tr", "grep", "sed", "cat"])
      symlinkSync(
        execFileSync("sh", ["-c", 'command -v "$0"', program], { encoding: "utf8" }).trim(),
        join(poor, program),
      )
    const { status, stdout, stderr } = shell(folder, "sh scripts/setup.sh", { PATH: poor })
    expect({ status, stdout }).toEqual({ status: 69, stdout: "" })
    expect(stderr).toMatch(/^assay: error: this machine lacks: .*\bswtpm_setup\b.*\bjq\b/)
    expect(stderr).toMatch(/\nassay: hint: run as root: \S+.* swtpm .*\bjq\b.*\n$/)
  })
})
