/**
 * What does Assay do, on this machine, now? The main job with the product's own processes on a software TPM: join, measure,
 * challenge, verdict; three people approve what was seen, and it turns affirming; then one byte of the weights is flipped, and the
 * verdict must say so; then a reboot, and all is as approved.
 * Exits with 0 only if every verdict was the one that had to come.
 *
 *   npm start                        then watches, until Ctrl-C
 *   npm start -- --once              ends after the last verdict
 *   npm start -- --model PATH        with your own weights, which are not written to
 */
import { existsSync, realpathSync } from "node:fs"
import { basename } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { parseArgs } from "node:util"
import { exits } from "../cli/exit.ts"
import { duration } from "../cli/progress.ts"
import { complain, processTerminal } from "../cli/terminal.ts"
import { lookOf } from "../cli/verdict.ts"
import { endOf } from "./swtpm.ts"
import { type Act, askAgent, askCollector, deaths } from "./start/act.ts"
import { runnerUnder } from "./start/child.ts"
import { approvedVerdict } from "./start/approvals.ts"
import { openHouse, writeConfigurations } from "./start/house.ts"
import { firstAnswer, openUp, powerOn, prepareModel } from "./start/opening.ts"
import { agree, meetPeople } from "./start/people.ts"
import { stepsOn } from "./start/steps.ts"
import { firstVerdict, secondVerdict, thirdVerdict } from "./start/verdicts.ts"

const terminal = processTerminal()
const { out } = terminal

type Options = { readonly once: boolean; readonly model: string | undefined; readonly mebibytes: number }

/** The options, or undefined after telling what is wrong with them. */
function readOptions(): Options | undefined {
  try {
    const { values } = parseArgs({
      options: {
        once: { type: "boolean", default: false },
        model: { type: "string" },
        /** size of the model that is made when none is named */
        mebibytes: { type: "string", default: "512" },
      },
    })
    const { once, model } = values
    const mebibytes = Number(values.mebibytes)
    if (!Number.isInteger(mebibytes) || mebibytes < 2) throw new Error("--mebibytes is no whole number from 2 on")
    if (model !== undefined && !existsSync(model)) throw new Error(`${model} does not exist`)
    return { once, model: model === undefined ? undefined : realpathSync(model), mebibytes }
  } catch (error) {
    const hint = "npm start -- [--once] [--model PATH] [--mebibytes NUMBER]"
    complain(terminal, error instanceof Error ? error.message : String(error), hint)
    return undefined
  }
}

async function main(): Promise<number> {
  const options = readOptions()
  if (!options) return exits.misuse
  const interrupt = new AbortController()
  const { signal } = interrupt
  const run = runnerUnder(signal)
  const act: Act = { out, signal, run, house: openHouse(), steps: stepsOn(out, signal), running: {} }
  const interrupted = untilStopped().then(() => interrupt.abort(new Error("interrupted")))
  try {
    const code = await Promise.race([perform(act, options), interrupted])
    return code ?? (act.running.watching ? 0 : 130)
  } catch (error) {
    const [first = "", ...rest] = (error instanceof Error ? error.message : String(error)).split("\n")
    complain(terminal, first, "")
    for (const line of rest) terminal.err.write(`  ${line}\n`)
    return 1
  } finally {
    if (signal.aborted) terminal.err.write("\nassay: stopping what was started\n")
    await close(act)
  }
}

/** Ctrl-C, a polite kill, or the terminal being closed. */
const untilStopped = (): Promise<unknown> =>
  Promise.race([terminal.interrupted(), new Promise(resolve => process.once("SIGHUP", resolve))])

/** In the opposite order of how it began. */
async function close({ running, house }: Act): Promise<void> {
  await running.agent?.stop()
  await running.collector?.stop()
  running.tpm?.kill("SIGTERM")
  if (running.tpm) await endOf(running.tpm)
  house.remove()
}

async function perform(act: Act, { once, model, mebibytes }: Options): Promise<number> {
  const begun = performance.now()
  const { steps } = act
  steps.title("Assay proves what a workstation runs. Here: this machine, with a software TPM.")
  await powerOn(act)
  const agreeing = agree(act)
  agreeing.catch(() => undefined)
  const stage = await prepareModel(act, model, mebibytes)
  writeConfigurations(act.house, { name: basename(stage.path), path: stage.path })
  await meetPeople(act, agreeing)
  await openUp(act)
  await firstAnswer(act)
  const { good, measured } = await firstVerdict(act)
  const approved = await approvedVerdict(act, measured)
  const found = stage.victim === undefined ? "left out" : await secondVerdict(act, stage.victim)
  const again = found === "left out" ? "left out" : await thirdVerdict(act)
  const asExpected = good && approved && found !== false && again !== false
  out.write(`\n  ${asExpected ? out.style("good", "✓") : out.style("bad", "✗")} ${closing(found, asExpected)}`)
  out.write(`${out.style("faint", `, ${duration((performance.now() - begun) / 1000)} in all`)}\n`)
  if (!asExpected) return 1
  if (!once) await watch(act)
  return 0
}

const closing = (found: boolean | "left out", asExpected: boolean): string => {
  if (!asExpected) return "a verdict was not the one that had to come"
  return found === "left out"
    ? "the verdict was the one that had to come"
    : "every verdict was the one that had to come"
}

/** A line for each verdict, until Ctrl-C. */
async function watch({ house, steps, running, signal }: Act): Promise<void> {
  running.watching = true
  steps.title("Watching: the collector asks every 10 s. Ctrl-C ends everything")
  for (let last = ""; !signal.aborted; await delay(500)) {
    const attester = (await askAgent(house)).attester
    const { answer } = await Promise.race([askCollector(house, "status", { attester }), ...deaths(running)])
    if (!answer || answer.evidence === last) continue
    last = answer.evidence
    const tier = out.style(lookOf[answer.tier], answer.tier)
    out.write(
      `  ${out.style("faint", answer.received)}  ${tier}  ${out.style("faint", answer.evidence.slice(0, 16))}…\n`,
    )
  }
}

process.exitCode = await main()
