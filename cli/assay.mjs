#!/usr/bin/env node
// Does this Node run Assay, and does it find what setup.sh unpacked? If not, the pinned one is started in the environment
// that setup.sh wrote, and this process only stands for it. What `assay` does stands in main.ts. JavaScript that every
// Node since 18 understands, since it is read before it is known which one reads it.
import { spawn } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { constants } from "node:os"
import { fileURLToPath } from "node:url"

const environment = fileURLToPath(new URL("../.cache/env.sh", import.meta.url))
const [major, minor] = process.versions.node.split(".").map(Number)
const recent = major > 24 || (major === 24 && minor >= 15)

/** Programs and libraries unpacked into the checkout are found only with LD_LIBRARY_PATH, which is read at the start. */
const unpacked = existsSync(environment) && readFileSync(environment, "utf8").includes("LD_LIBRARY_PATH")
const entered = process.env.ASSAY_ENTERED === environment

if (!entered && existsSync(environment) && (!recent || unpacked)) standIn()
else if (recent) await carryOut()
else refuse()

async function carryOut() {
  const { main } = await import("./main.ts")
  process.exitCode = await main(process.argv.slice(2))
}

function standIn() {
  const command = ["-c", '. "$ASSAY_ENTERED" && exec node "$@"', "assay", ...process.argv.slice(1)]
  const child = spawn("sh", command, { stdio: "inherit", env: { ...process.env, ASSAY_ENTERED: environment } })
  process.on("SIGINT", () => undefined) // a terminal sends it to both
  for (const signal of ["SIGTERM", "SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGWINCH"])
    process.on(signal, () => child.kill(signal))
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal]
  })
}

function refuse() {
  process.stderr.write(`assay: error: Node.js ${process.versions.node} is too old\n`)
  process.stderr.write("assay: hint: run sh scripts/setup.sh, which brings the pinned one, or install Node.js 24\n")
  process.exitCode = 69
}
