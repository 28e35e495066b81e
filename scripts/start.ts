/**
 * What does Assay do, on this machine, now? The main job with the product's own processes on a software TPM: join, measure,
 * challenge, verdict; then one byte of the weights is flipped, and the verdict must say so; then a reboot, and all is as before.
 * Exits with 0 only if every verdict was the one that had to come.
 *
 *   npm start                        then watches, until Ctrl-C
 *   npm start -- --once              ends after the last verdict
 *   npm start -- --model PATH        with your own weights, which are not written to
 */
import type { ChildProcess } from "node:child_process"
import { readFileSync } from "node:fs"
import { basename, join, resolve } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { parseArgs } from "node:util"
import { z } from "zod"
import { agentSocket, agentVerbs, type Status } from "../agent/verbs.ts"
import { onceFiles } from "../agent/once.ts"
import type { Result } from "../attestation/appraise/result.ts"
import { resultOf } from "../cli/challenge.ts"
import { duration, size } from "../cli/progress.ts"
import { complain, processTerminal } from "../cli/terminal.ts"
import { lookOf, row, writeComponents, writeFindings } from "../cli/verdict.ts"
import { socketName, verbs } from "../collector/verbs.ts"
import { openCaller } from "../local/call.ts"
import { endOf, launchTpm, manufactureTpm } from "./swtpm.ts"
import { type Run, runnerUnder, type Service, startService } from "./start/child.ts"
import { demoModel, type House, openHouse, writeConfigurations } from "./start/house.ts"
import { measurementsIn, writeMeasured } from "./start/measured.ts"
import { flipByte, makeModel, type Stage, stageModel } from "./start/model.ts"
import { type Steps, stepsOn } from "./start/steps.ts"

const person = "the person at npm start"
const terminal = processTerminal()
const { out } = terminal

/** What runs, in the order in which it began. */
type Running = { tpm?: ChildProcess; collector?: Service; agent?: Service; watching?: true }

type Act = {
  readonly house: House
  readonly steps: Steps
  readonly running: Running
  readonly run: Run
  readonly signal: AbortSignal
}

function readOptions(): { readonly once: boolean; readonly model: string | undefined; readonly mebibytes: number } {
  const { values } = parseArgs({
    options: {
      once: { type: "boolean", default: false },
      model: { type: "string" },
      /** size of the model that is made when none is named */
      mebibytes: { type: "string", default: "512" },
    },
  })
  const { once, model } = values
  return { once, model: model === undefined ? undefined : resolve(model), mebibytes: Number(values.mebibytes) }
}

async function main(): Promise<number> {
  const options = readOptions()
  const interrupt = new AbortController()
  const { signal } = interrupt
  const act: Act = { house: openHouse(), steps: stepsOn(out, signal), running: {}, run: runnerUnder(signal), signal }
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

async function perform(act: Act, { once, model, mebibytes }: ReturnType<typeof readOptions>): Promise<number> {
  const begun = performance.now()
  const { steps } = act
  steps.title("Assay proves what a workstation runs. Here: this machine, with a software TPM.")
  await powerOn(act)
  const stage = await prepareModel(act, model, mebibytes)
  await open(act)
  await firstAnswer(act)
  const good = await firstVerdict(act)
  const found = stage.victim === undefined ? "left out" : await secondVerdict(act, stage.victim)
  const again = found === "left out" ? "left out" : await thirdVerdict(act)
  const asExpected = good && found !== false && again !== false
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

const powerOn = ({ house, steps, running, signal }: Act): Promise<void> =>
  steps.step("software TPM", async going => {
    going("is manufactured")
    await manufactureTpm(house.tpm, { endorsed: true, banks: "sha256", authority: house.authority })
    signal.throwIfAborted()
    running.tpm = await launchTpm(house.tpm)
    return ["made and switched on; elsewhere it is a real one", undefined]
  })

async function prepareModel({ house, steps }: Act, given: string | undefined, mebibytes: number): Promise<Stage> {
  const stage = await steps.step("model", async going => {
    const path = given ?? demoModel(mebibytes)
    going(given === undefined ? `${size(mebibytes << 20)} are made from a seed` : "is laid out")
    const made = given === undefined ? await makeModel(path, mebibytes) : "there"
    const laid = await stageModel(path, house.stage)
    const whose = given !== undefined ? "yours" : made === "made" ? "made from a seed" : "from a seed"
    return [`${basename(path)}, ${whose}; ${laid.how}`, laid]
  })
  writeConfigurations(house, { name: basename(stage.path), path: stage.path })
  return stage
}

/** Collector and agent, and one invitation from the one to the other. */
async function open(act: Act): Promise<void> {
  const { house, steps, running, run } = act
  await steps.step("collector", async () => {
    running.collector = startService(
      "collector",
      ["collector", "--config", house.collector],
      join(house.room, "collector.log"),
    )
    const { host, port } = await untilAnswers(running.collector, () => askCollector(house, "identity", {}))
    return [`listens on ${host}:${port}`, undefined]
  })
  await startAgent(act, "agent")
  await steps.step("join", async () => {
    const { out: invitation } = await run(["invite", "--by", person, "--config", house.collector])
    await run(["join", "--config", house.agent], invitation)
    const { attester } = await askAgent(house)
    return [`as ${attester.slice(0, 16)}…, by a one-time invitation`, undefined]
  })
}

const startAgent = ({ house, steps, running }: Act, name: string): Promise<void> =>
  steps.step(name, async () => {
    running.agent = startService("agent", ["agent", "--config", house.agent], join(house.room, "agent.log"))
    await untilAnswers(running.agent, () => askAgent(house))
    return ["runs; only its broker may use the TPM", undefined]
  })

/** The collector asks as soon as the agent is there; nothing is known of it before it has answered. */
const firstAnswer = ({ house, steps, running }: Act): Promise<void> =>
  steps.step("first answer", async going => {
    const { acknowledged } = await untilTrue(running, async () => {
      const status = await askAgent(house)
      if (status.hashing) going(progressOf(status.hashing))
      return status.acknowledged ? status : undefined
    })
    return [`verified: ${acknowledged?.tier ?? "?"}`, undefined]
  })

const progressOf = ({ file, done, total }: NonNullable<Status["hashing"]>): string =>
  `${Math.floor((done / Math.max(total, 1)) * 100)} % of ${size(total)}, ${file.slice(0, 40)}`

const hashed = z.object({
  digest: z.string(),
  bytes: z.number(),
  seconds: z.number(),
  engines: z.object({ sha256: z.string(), verity: z.string() }),
})

/** Records what was seen, asks anew, and shows what was measured and judged. */
async function firstVerdict(act: Act): Promise<boolean> {
  const { house, steps, run } = act
  const config = ["--config", house.collector]
  const bundle = join(house.room, "first")
  await run(["export", "--out", bundle, ...config])
  const measured = measurementsIn(new Uint8Array(readFileSync(join(bundle, onceFiles.log))))
  const attested = measured.find(({ source }) => source === "weights")?.facts.find(([name]) => name === "digest")?.[1]
  await hashByHand(act, attested)
  await steps.step("reference", async () => {
    await run(["reference", "record", "--by", person, ...config])
    return ["what was seen is recorded, approved by nobody", undefined]
  })
  const result = await challenge(act, "challenge")
  steps.title("What was measured")
  writeMeasured(out, measured)
  row(out, "model", attested ?? "not measured")
  steps.title("The verdict")
  writeComponents(out, result.tier, result.components)
  writeFindings(out, result.findings)
  return result.tier === "warning"
}

/** The attested digest must be the one that anybody gets by hand. */
const hashByHand = ({ house, steps, run }: Act, attested: string | undefined): Promise<void> =>
  steps.step("hash by hand", async going => {
    going("assay hash reads the model too")
    const path = /^path = (".*")$/m.exec(readFileSync(house.agent, "utf8"))?.[1] ?? '""'
    const done = await run(["hash", String(JSON.parse(path)), "--json"])
    const { digest, bytes, seconds, engines } = hashed.parse(JSON.parse(done.out))
    if (`sha256:${digest}` !== attested)
      throw new Error(`by hand the model is sha256:${digest}, attested is ${attested}`)
    const rate = `${size(bytes / seconds)}/s`
    return [`equal; ${rate}, by ${engines.sha256} and ${engines.verity}`, undefined]
  })

/** One byte is flipped, the machine asked again, the byte put back. */
async function secondVerdict(act: Act, victim: string): Promise<boolean> {
  const { steps } = act
  const name = basename(victim)
  steps.title("One byte of the weights is flipped")
  await steps.step("flip", async () => [`byte ${await flipByte(victim)} of ${name}`, undefined])
  const result = await challenge(act, "challenge")
  await steps.step("restore", async () => [`byte ${await flipByte(victim)} is as it was`, undefined])
  out.write("\n")
  writeComponents(out, result.tier, result.components)
  writeFindings(
    out,
    result.findings.filter(each => each.id === "reference.differs"),
  )
  const named = result.findings.some(each => each.id === "reference.differs" && each.component.includes(name))
  return result.tier === "contraindicated" && named
}

/** What once differed stays in the log, and a verdict with it, until the machine boots again. */
async function thirdVerdict(act: Act): Promise<boolean> {
  const { house, steps, running } = act
  steps.title("The machine is rebooted: until then the log keeps what it saw")
  await steps.step("reboot", async () => {
    await running.agent?.stop()
    running.tpm?.kill("SIGTERM")
    if (running.tpm) await endOf(running.tpm)
    running.tpm = await launchTpm(house.tpm)
    return ["the TPM was reset; its log begins anew", undefined]
  })
  await startAgent(act, "agent")
  await firstAnswer(act)
  const result = await challenge(act, "challenge")
  out.write("\n")
  writeComponents(out, result.tier, result.components)
  return result.tier === "warning"
}

const ended = z.object({ kind: z.literal("judged"), result: z.string() })

const challenge = ({ house, steps, run }: Act, name: string): Promise<Result> =>
  steps.step(name, async going => {
    going("a fresh nonce; the agent measures and the TPM quotes")
    const { out: said } = await run(["challenge", "--json", "--config", house.collector], "", [0, 3])
    const result = resultOf(ended.parse(JSON.parse(said)).result)
    const tier = out.style("strong", out.style(lookOf[result.tier], result.tier))
    return [`answered and judged: ${tier}`, result]
  })

/** A line for each verdict, until Ctrl-C. */
async function watch({ house, steps, running }: Act): Promise<never> {
  running.watching = true
  steps.title("Watching: the collector asks every 10 s. Ctrl-C ends everything")
  for (let last = ""; ; await delay(500)) {
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

const deaths = ({ agent, collector }: Running): Promise<never>[] =>
  [agent, collector].flatMap(each => (each ? [each.died] : []))

const untilTrue = async <T>(running: Running, look: () => Promise<T | undefined>): Promise<T> => {
  for (;;) {
    const seen = await Promise.race([look(), ...deaths(running)])
    if (seen !== undefined) return seen
    await delay(100)
  }
}

const untilAnswers = <T>(service: Service, ask: () => Promise<T>): Promise<T> =>
  untilTrue({ agent: service }, () => ask().catch(() => undefined))

const askDeadline = 60_000

async function askAgent({ runtime }: House): Promise<Status> {
  const caller = await openCaller(join(runtime.agent, agentSocket), agentVerbs, askDeadline)
  return caller.call("status", {}).finally(() => caller.close())
}

async function askCollector<const K extends "identity" | "status">(
  { runtime }: House,
  verb: K,
  request: z.infer<(typeof verbs)[K]["request"]>,
): Promise<z.infer<(typeof verbs)[K]["answer"]>> {
  const caller = await openCaller(join(runtime.collector, socketName), verbs, askDeadline)
  return caller.call<K>(verb, request).finally(() => caller.close())
}

process.exitCode = await main()
