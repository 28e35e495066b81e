/**
 * What happens before there is anything to judge? A TPM is switched on, a model laid out, collector and agent begin, one
 * invitation goes from the one to the other, and the first answer comes. What is made of it: `verdicts.ts`.
 */
import { basename, join } from "node:path"
import type { Status } from "../../agent/verbs.ts"
import { size } from "../../cli/progress.ts"
import { launchTpm, manufactureTpm } from "../swtpm.ts"
import { type Act, askAgent, askCollector, untilAnswers, untilSeen } from "./act.ts"
import { startService } from "./child.ts"
import { demoModel } from "./house.ts"
import { publishPolicy } from "./people.ts"
import { makeModel, type Stage, stageModel } from "./model.ts"

/** Under whose name invitations are made and references recorded. */
export const person = "the person at npm start"

/** Makes a software TPM and switches it on. */
export const powerOn = ({ house, steps, running, signal }: Act): Promise<void> =>
  steps.step("software TPM", async going => {
    going("is manufactured")
    await manufactureTpm(house.tpm, { endorsed: true, banks: "sha256", authority: house.authority })
    signal.throwIfAborted()
    running.tpm = await launchTpm(house.tpm)
    return ["made and switched on; elsewhere it is a real one", undefined]
  })

/** Lays out the given model, or one that is made from a seed. */
export function prepareModel({ house, steps }: Act, given: string | undefined, mebibytes: number): Promise<Stage> {
  return steps.step("model", async going => {
    const path = given ?? demoModel(mebibytes)
    going(given === undefined ? `${size(mebibytes << 20)} are made from a seed` : "is laid out")
    const made = given === undefined ? await makeModel(path, mebibytes) : "there"
    const laid = await stageModel(path, house.stage)
    const whose = given !== undefined ? "yours" : made === "made" ? "made from a seed" : "from a seed"
    return [`${basename(path)}, ${whose}; ${laid.how}`, laid]
  })
}

/** Collector and agent, and one invitation from the one to the other. */
export async function openUp(act: Act): Promise<void> {
  const { house, steps, running, run } = act
  await steps.step("collector", async () => {
    running.collector = startService(
      "collector",
      ["collector", "--config", house.collector],
      join(house.room, "collector.log"),
    )
    const { host, port } = await untilAnswers(act, () => askCollector(house, "identity", {}))
    await publishPolicy(act)
    return [`listens on ${host}:${port}; was told the policy's root`, undefined]
  })
  await startAgent(act)
  await steps.step("join", async () => {
    const { out: invitation } = await run(["invite", "--by", person, "--config", house.collector])
    await run(["join", "--config", house.agent], invitation)
    const { attester } = await askAgent(house)
    return [`as ${attester.slice(0, 16)}…, by a one-time invitation`, undefined]
  })
}

/** Starts the agent; it answers its socket when this resolves. */
export const startAgent = (act: Act): Promise<void> =>
  act.steps.step("agent", async () => {
    const { house, running } = act
    running.agent = startService("agent", ["agent", "--config", house.agent], join(house.room, "agent.log"))
    await untilAnswers(act, () => askAgent(house))
    return ["runs; only its broker may use the TPM", undefined]
  })

/** The collector asks as soon as the agent is there; nothing is known of it before it has answered. */
export const firstAnswer = (act: Act): Promise<void> =>
  act.steps.step("first answer", async going => {
    const { acknowledged } = await untilSeen(act, async () => {
      const status = await askAgent(act.house)
      if (status.hashing) going(progressOf(status.hashing))
      return status.acknowledged ? status : undefined
    })
    return [`verified: ${acknowledged?.tier ?? "?"}`, undefined]
  })

const progressOf = ({ file, done, total }: NonNullable<Status["hashing"]>): string =>
  `${Math.floor((done / Math.max(total, 1)) * 100)} % of ${size(total)}, ${file.slice(0, 40)}`
