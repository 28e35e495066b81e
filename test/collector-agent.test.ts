/** Do our agent and our collector fit together? Both whole, on a software TPM, with a broker of their own; nothing between them. */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { expect, test } from "vitest"
import { readConfiguration } from "../agent/config.ts"
import { joinCollector, runAgent } from "../agent/main.ts"
import { nobody } from "../local/supervisor.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { startSwtpm } from "./swtpm.ts"

const clock = { now: () => Date.now(), random: () => Math.random() }

async function theOne(house: House) {
  const { attesters } = await house.admin.call("attesters", { after: "" })
  return attesters[0]
}

/** What differs from the reference or breaks continuity, and what is missing. */
async function breaks(house: House, attester: string): Promise<readonly object[]> {
  const { answer, gaps } = await house.admin.call("status", { attester })
  // what other tests run meanwhile on this machine comes and goes, and is not of this test
  const ours = (answer?.findings ?? []).filter(({ component }) => !/^(?:loaded|runtime)\b/.test(component))
  return [...ours.filter(({ id }) => /^(reference|chain|log|clock)\./.test(id)), ...gaps]
}

test("an agent joins, is challenged, found as recorded, found altered, and comes back after a restart of the collector", async () => {
  const folder = temporaryFolder()
  const tpm = await startSwtpm()
  let house = await startHouse(folder)
  const over = new AbortController()
  const model = join(folder, "model")
  mkdirSync(model)
  writeFileSync(join(model, "weights.safetensors"), "one")
  const places = { STATE_DIRECTORY: join(folder, "agent"), RUNTIME_DIRECTORY: join(folder, "arun") }
  const text = `[tpm]\ntcti = "${tpm.tcti}"\nsoftware = true\n[[weights]]\nname = "m"\npath = "${model}"\n`
  const configuration = readConfiguration(text, places)
  try {
    const { attester } = await joinCollector(configuration, await invitationFrom(house), {
      ...clock,
      signal: over.signal,
    })
    const running = runAgent(configuration, { ...clock, signal: over.signal, supervisor: nobody, invitation: "none" })
    while (!(await theOne(house))?.connected) await delay(20)
    expect(await theOne(house)).toMatchObject({ attester, state: "warning", stale: false })

    await house.admin.call("reference-record", { attester, by: "Olga", ignore: [] })
    const same = await house.admin.call("challenge", { attester, depth: "full" })
    expect(same).toMatchObject({ kind: "judged", tier: "warning" })
    expect(same.kind === "judged" ? same.findings.map(({ id }) => id) : []).not.toContain("hash.unbound")
    const { log: length, evidence } = await house.admin.call("export", { attester, evidence: "newest-answer" })
    const { bytes } = await house.admin.call("log", { evidence, offset: 0 })
    const text = Buffer.from(bytes, "base64").subarray(0, length).toString("utf8")
    expect(text.match(/assay\.hash-(begun|done)\.v1/g)).toEqual(["assay.hash-begun.v1", "assay.hash-done.v1"])
    expect(await breaks(house, attester)).toEqual([])

    const { port } = await house.admin.call("identity", {})
    await house.stop()
    house = await startHouse(folder, "", port)
    expect(await theOne(house)).toMatchObject({ stale: true, connected: false })
    while (!(await theOne(house))?.connected) await delay(20)
    expect(await breaks(house, attester)).toEqual([])
    expect(await theOne(house)).toMatchObject({ state: "warning", stale: false })

    writeFileSync(join(model, "weights.safetensors"), "two")
    const altered = await house.admin.call("challenge", { attester, depth: "full" })
    expect(altered).toMatchObject({ kind: "judged", tier: "contraindicated" })
    const found = await breaks(house, attester)
    expect(found.map(each => JSON.stringify(each))).toEqual(
      expect.arrayContaining([expect.stringMatching(/"reference.differs".*weights m/)]),
    )
    over.abort()
    await running
  } finally {
    over.abort()
    await house.stop()
    await tpm.stop()
    removeFolder(folder)
  }
})
