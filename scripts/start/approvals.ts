/**
 * Does a verdict turn affirming once people answer for it? Mei certifies the machine's keys, Ada proposes what it showed; one approval
 * is refused, two are enough. Gives the verdict by what is approved then. Who they are: `people.ts`.
 */
import { join } from "node:path"
import type { Measurement } from "../../attestation/protocol/event.ts"
import { writeFindings } from "../../cli/verdict.ts"
import type { Act } from "./act.ts"
import { challenge, writeShort } from "./question.ts"
import { keyFile, signing } from "./people.ts"

/** Certifies, proposes, approves and publishes; asks anew, and shows whose word stands behind the answer. */
export async function approvedVerdict(act: Act, measured: readonly Measurement[]): Promise<boolean> {
  const { out, steps } = act
  steps.title("Three people answer for it: two must approve what the third proposes")
  await certify(act)
  const pin = await propose(act, measured)
  await approve(act, pin, "grace", 3, "one of two, and the collector refuses it")
  await approve(act, pin, "mei", 0, "two of two, and it is in force")
  const result = await challenge(act)
  out.write("\n")
  writeShort(out, result)
  if (result.tier !== "affirming") writeFindings(out, result.findings)
  return result.tier === "affirming"
}

const certify = (act: Act): Promise<void> =>
  act.steps.step("certify", async () => {
    const { house } = act
    const root = ["--key", keyFile(house, "root"), "--change", "a new machine", "--config", house.collector]
    await signing(act, "root", ["key", "certify", ...root])
    return ["Mei, with the firm's root key: this machine's keys", undefined]
  })

/** What comes and goes by itself, and what is not there to be judged on this machine, is named in the pin, and reads: not judged. */
function propose(act: Act, measured: readonly Measurement[]): Promise<string> {
  return act.steps.step("propose", async () => {
    const { house } = act
    const pin = join(house.room, "people", "1.pin")
    const tomorrow = new Date(Date.now() + 86_400_000).toISOString()
    const unreadable = measured.filter(({ state }) => state === "unreadable").map(nameOf)
    const terms = [
      "--change",
      "what was seen",
      "--expires",
      tomorrow,
      "--ignore",
      "boot",
      "files",
      "loaded",
      ...unreadable,
    ]
    await signing(act, "ada", [
      ...["pin", "propose", "--key", keyFile(house, "ada"), "--out", pin, "--config", house.collector],
      ...terms,
    ])
    return ["Ada: what the machine showed, for a day", pin]
  })
}

const nameOf = ({ source, subject }: Measurement): string => (subject === "" ? source : `${source}/${subject}`)

/** One more signature, and what the collector says to it: 0, accepted; 3, refused. */
function approve(act: Act, pin: string, key: "grace" | "mei", exit: 0 | 3, says: string): Promise<void> {
  return act.steps.step("approve", async () => {
    const { house, run } = act
    await signing(act, key, ["pin", "approve", pin, "--key", keyFile(house, key)])
    await run(["pin", "publish", pin, "--config", house.collector], "", [exit])
    return [`${key === "grace" ? "Grace" : "Mei"}: ${says}`, undefined]
  })
}
