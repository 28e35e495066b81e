/**
 * How fast does Assay hash here, beside what else there is? `npm run bench` takes a few minutes; `-- --quick` less than one, with a
 * smaller file; `-- --json` is for scripts; `-- --revectorize` adds Node.js 26. What the figures mean: docs/performance.md.
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

type Plan = { readonly bytes: number; readonly memory: Extent; readonly files: Extent; readonly command: CommandExtent }

const plans: Readonly<Record<"quick" | "usual", Plan>> = {
  quick: {
    bytes: 1 << 27,
    memory: { processes: 3, rounds: 3, milliseconds: 25 },
    files: { processes: 3, rounds: 1, milliseconds: 0 },
    command: { times: 3, smallFiles: 2000 },
  },
  usual: {
    bytes: 1 << 30,
    memory: { processes: 9, rounds: 5, milliseconds: 40 },
    files: { processes: 5, rounds: 1, milliseconds: 0 },
    command: { times: 5, smallFiles: 100_000 },
  },
}

function readArguments(): { readonly quick: boolean; readonly json: boolean; readonly revectorize: boolean } {
  const flag = { type: "boolean", default: false } as const
  return parseArgs({ options: { quick: flag, json: flag, revectorize: flag } }).values
}

/** Progress on a terminal only, on one line. */
function say(message: string): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001b[K${message.slice(0, process.stderr.columns - 1)}`)
}

async function bench(plan: Plan, revectorize: boolean): Promise<Report> {
  const machine = describeMachine()
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
  return { date, machine, bytes: plan.bytes, memory, files, verdicts: judged, failures, revectorized }
}

const { quick, json, revectorize } = readArguments()
const report = await bench(plans[quick ? "quick" : "usual"], revectorize)
process.stdout.write(json ? reportJson(report) : reportText(report))
