/**
 * How fast does Assay hash here, beside what else there is? `npm run bench` takes a few minutes; `-- --quick` less than one, with a
 * smaller file; `-- verify` measures verification alone, `-- vault` the vault; `-- --json` is for scripts; `-- --revectorize` adds Node.js 26. What the figures mean: docs/performance.md.
 */
import { join } from "node:path"
import { parseArgs } from "node:util"
import { fileCases, kernelCases, shardCases } from "./bench/cases.ts"
import { type CommandExtent, commandVerdicts } from "./bench/command.ts"
import { describeMachine } from "./bench/machine.ts"
import { folder, makeBundle, makeMaterial } from "./bench/material.ts"
import { type Bench, type Extent, measure } from "./bench/measure.ts"
import { type Report, reportJson, reportText } from "./bench/report.ts"
import { measureRevectorized } from "./bench/revectorize.ts"
import { judge } from "./bench/targets.ts"
import { machineText, verdictTable } from "./bench/table.ts"
import { growVault, type VaultSize, vaultText } from "./bench/vault.ts"
import { measureVerification, type VerifyExtent, verificationText } from "./bench/verify.ts"

type Plan = {
  readonly bytes: number
  readonly memory: Extent
  readonly files: Extent
  readonly command: CommandExtent
  readonly verify: VerifyExtent
  readonly vault: readonly number[]
}

const plans: Readonly<Record<"quick" | "usual", Plan>> = {
  quick: {
    bytes: 1 << 27,
    memory: { processes: 3, rounds: 3, milliseconds: 25 },
    files: { processes: 3, rounds: 1, milliseconds: 0 },
    command: { times: 3, smallFiles: 2000 },
    verify: { rounds: 5, seconds: 0.1, entries: 800, large: 50_000 },
    vault: [1000, 3000],
  },
  usual: {
    bytes: 1 << 30,
    memory: { processes: 9, rounds: 5, milliseconds: 40 },
    files: { processes: 5, rounds: 1, milliseconds: 0 },
    command: { times: 5, smallFiles: 100_000 },
    verify: { rounds: 25, seconds: 0.2, entries: 800, large: 500_000 },
    vault: [10_000, 30_000, 100_000, 300_000, 1_000_000],
  },
}

function readArguments() {
  const flag = { type: "boolean", default: false } as const
  const options = { quick: flag, json: flag, revectorize: flag }
  const { values, positionals } = parseArgs({ options, allowPositionals: true })
  const [section = "all", ...more] = positionals
  if (!["all", "verify", "vault"].includes(section) || more.length > 0)
    throw new Error(`there is no section ${positionals.join(" ")}: leave it out, or say verify or vault`)
  return { ...values, section }
}

/** Verification alone, as text or as JSON. */
function verifyOnly(plan: Plan, json: boolean): string {
  const verification = measureVerification(plan.verify)
  if (json) return `${JSON.stringify({ date: new Date().toISOString(), machine: describeMachine(), verification })}\n`
  const head = machineText(describeMachine(), new Date().toISOString())
  return head + verificationText(verification) + verdictTable("goals", verification.verdicts)
}

/** The vault alone: it takes as long as all else together, so it is asked for by name. */
async function vaultOnly(plan: Plan, json: boolean): Promise<string> {
  const sizes: VaultSize[] = []
  await growVault(join(folder, "vault"), plan.vault, 1000, size => {
    sizes.push(size)
    say(`${size.evidences} evidences`)
  })
  say("")
  if (json) return `${JSON.stringify({ date: new Date().toISOString(), machine: describeMachine(), vault: sizes })}\n`
  return machineText(describeMachine(), new Date().toISOString()) + vaultText(sizes)
}

/** Progress on a terminal only, on one line. */
function say(message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${message.slice(0, process.stderr.columns - 1)}`)
}

async function bench(plan: Plan, revectorize: boolean): Promise<Report> {
  const machine = describeMachine()
  say("verifying evidence")
  const verification = measureVerification(plan.verify)
  const date = new Date().toISOString()
  say("making the bundle and the files")
  const bundle = await makeBundle(join(folder, "bundle"))
  const material = await makeMaterial(plan.bytes)
  const parts: Bench = { script: bundle.sampler, node: process.execPath, flags: [], material, say }
  const memory = await measure(kernelCases, plan.memory, parts)
  const files = await measure([...fileCases, ...shardCases], plan.files, parts)
  say("the command")
  const { verdicts, failures } = commandVerdicts(bundle, material, plan.command)
  const revectorized = revectorize ? await measureRevectorized(parts, plan.memory) : "not asked for"
  say("")
  const judged = [...judge([...memory, ...files], machine.ports), ...verdicts]
  return { date, machine, bytes: plan.bytes, memory, files, verdicts: judged, failures, revectorized, verification }
}

const { quick, json, revectorize, section } = readArguments()
const plan = plans[quick ? "quick" : "usual"]
if (section === "verify") process.stdout.write(verifyOnly(plan, json))
else if (section === "vault") process.stdout.write(await vaultOnly(plan, json))
else {
  const report = await bench(plan, revectorize)
  process.stdout.write(json ? reportJson(report) : reportText(report))
}
