/** May the tests begin? They need the pinned Node and what scripts/setup.sh installs, and say so before all else. */
import { execFileSync } from "node:child_process"

const needed = ["swtpm", "swtpm_setup", "tpm2_quote", "fsverity", "jq", "openssl", "systemd-analyze"]

export default function setUp(): void {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number)
  if (major < 24 || (major === 24 && minor < 15)) refuse(`this is Node.js ${process.versions.node}`)
  const missing = needed.filter(program => !isThere(program))
  if (missing.length > 0) refuse(`${missing.join(", ")} cannot be found`)
}

function isThere(program: string): boolean {
  try {
    execFileSync("sh", ["-c", 'command -v "$0"', program], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
}

function refuse(why: string): never {
  throw new Error(`${why}; run npm test, or: sh scripts/setup.sh && . ./.cache/env.sh`)
}
