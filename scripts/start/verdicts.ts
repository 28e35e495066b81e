/**
 * Does the verdict say what it must? As recorded at first; contraindicated by one flipped bit, with the file's name; as approved again
 * after a reboot. Each gives whether it did. How it turns affirming: `approvals.ts`.
 */
import { readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { z } from "zod"
import { onceFiles } from "../../agent/once.ts"
import type { Measurement } from "../../attestation/protocol/event.ts"
import { size } from "../../cli/progress.ts"
import { row, writeComponents, writeFindings } from "../../cli/verdict.ts"
import { endOf, launchTpm } from "../swtpm.ts"
import type { Act } from "./act.ts"
import { measurementsIn, writeMeasured } from "./measured.ts"
import { flipByte } from "./model.ts"
import { firstAnswer, person, startAgent } from "./opening.ts"
import { challenge, writeReasons, writeShort } from "./question.ts"

const hashed = z.object({
  digest: z.string(),
  bytes: z.number(),
  seconds: z.number(),
  engines: z.object({ sha256: z.string(), verity: z.string() }),
})

/** What was measured, and whether the verdict over it was a warning. */
export type First = { readonly good: boolean; readonly measured: readonly Measurement[] }

/** Records what was seen, asks anew, and shows what was measured and judged. */
export async function firstVerdict(act: Act): Promise<First> {
  const { house, steps, run, out } = act
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
  const result = await challenge(act)
  steps.title("What was measured")
  writeMeasured(out, measured)
  row(out, "model", attested ?? "not measured")
  steps.title("The verdict")
  writeComponents(out, result.tier, result.components)
  writeReasons(out, result.findings)
  return { good: result.tier === "warning", measured }
}

/** The attested digest must be the one that anybody gets by hand. */
const hashByHand = ({ house, steps, run }: Act, attested: string | undefined): Promise<void> =>
  steps.step("hash by hand", async going => {
    going("assay hash reads the model too")
    const path = /^path = (".*")$/m.exec(readFileSync(house.agent, "utf8"))?.[1] ?? '""'
    const done = await run(["hash", String(JSON.parse(path)), "--links", "anywhere", "--full", "--json"])
    const { digest, bytes, seconds, engines } = hashed.parse(JSON.parse(done.out))
    if (`sha256:${digest}` !== attested)
      throw new Error(`by hand the model is sha256:${digest}, attested is ${attested}`)
    const rate = `${size(bytes / seconds)}/s`
    return [`equal; ${rate}, by ${engines.sha256} and ${engines.verity}`, undefined]
  })

/** One byte is flipped, the machine asked again, the byte put back. */
export async function secondVerdict(act: Act, victim: string): Promise<boolean> {
  const { steps, out } = act
  const name = basename(victim)
  steps.title("One byte of the weights is flipped")
  await steps.step("flip", async () => [`byte ${await flipByte(victim)} of ${name}`, undefined])
  const result = await challenge(act)
  await steps.step("restore", async () => [`byte ${await flipByte(victim)} is as it was`, undefined])
  out.write("\n")
  writeShort(out, result)
  const isNamed = (part: string): boolean => part.includes(`file/${name}`)
  const told = result.findings.filter(each => each.id === "pin.differs" && isNamed(each.component))
  writeFindings(out, [...told, ...result.findings.filter(each => each.id === "authority.none")])
  return result.tier === "contraindicated" && told.length > 0
}

/** What once differed stays in the log, and a verdict with it, until the machine boots again. */
export async function thirdVerdict(act: Act): Promise<boolean> {
  const { house, steps, running, out } = act
  steps.title("The machine is rebooted: until then the log keeps what it saw")
  await steps.step("reboot", async () => {
    await running.agent?.stop()
    running.tpm?.kill("SIGTERM")
    if (running.tpm) await endOf(running.tpm)
    running.tpm = await launchTpm(house.tpm)
    return ["the TPM was reset; its log begins anew", undefined]
  })
  await startAgent(act)
  await firstAnswer(act)
  const result = await challenge(act)
  out.write("\n")
  writeShort(out, result)
  if (result.tier !== "affirming") writeFindings(out, result.findings)
  return result.tier === "affirming"
}
