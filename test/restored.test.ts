/**
 * What is a collector worth whose store came out of a backup? It knows that it did, takes back what agents kept, and says so of every
 * machine until that has booted anew. With real stores, TPMs and agents.
 */
import { copyFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { expect, onTestFinished, test } from "vitest"
import { readConfiguration } from "../agent/config.ts"
import { joinCollector, runAgent } from "../agent/main.ts"
import { nobody } from "../local/supervisor.ts"
import { cycle } from "./broker-process.ts"
import { Line, submit } from "./collector-attester.ts"
import { Attester } from "./collector-chain.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { measurement } from "./evidence-maker.ts"
import { startSwtpm } from "./swtpm.ts"

const store = (folder: string): string => join(folder, "state/collector.db")
const backup = (folder: string): string => join(folder, "backup.db")

/** Puts the backup back, and nothing else of the folder. */
function restore(folder: string): void {
  for (const rest of ["-wal", "-shm"]) rmSync(store(folder) + rest, { force: true })
  copyFileSync(backup(folder), store(folder))
}

/** A collector that can be stopped and started over its folder, and is stopped after the test. */
async function openHouse() {
  const folder = temporaryFolder()
  let house = await startHouse(folder)
  const { port } = await house.admin.call("identity", {})
  onTestFinished(async () => {
    await house.stop()
    removeFolder(folder)
  })
  return {
    folder,
    get house(): House {
      return house
    },
    async meanwhile(work: () => void): Promise<void> {
      await house.stop()
      work()
      house = await startHouse(folder, "", port)
    },
  }
}

async function shown({ house }: { house: House }, attester: string) {
  const { answer, standing, gaps } = await house.admin.call("status", { attester })
  return { ids: answer?.findings.map(({ id }) => id) ?? [], state: standing.state, gaps }
}

test("M11 a store out of a backup has forgotten what contradicted the machine: a finding until the next boot", async () => {
  const site = await openHouse()
  const one = await Attester.start()
  onTestFinished(() => one.stop())
  await one.machine.append(measurement("a"))
  ;(await one.join(site.house)).close()
  await site.house.admin.call("reference-record", { attester: one.attester, by: "Olga", ignore: [] })
  await site.meanwhile(() => copyFileSync(store(site.folder), backup(site.folder)))

  await one.machine.append(measurement("a", [["sha256", "bb"]]))
  const answer = async (): Promise<Line> => {
    const line = await Line.dial(site.house.collector.port)
    await one.prove(line)
    return line
  }
  ;(await answer()).close()
  expect(await shown(site, one.attester)).toMatchObject({ state: "contraindicated" })

  await site.meanwhile(() => restore(site.folder))
  expect(site.house.said.join("\n")).toContain("the store holds less than before: it came out of a backup")
  await one.machine.tpm.tool("tpm2_pcrreset", "23")
  one.machine.forget()
  await one.machine.append(await one.machine.epoch())
  await one.machine.append(measurement("a"))
  const line = await answer()
  const rewritten = await shown(site, one.attester)
  expect(rewritten.ids, "nothing else tells").not.toContain("log.rewritten")
  expect(rewritten.ids).toContain("store.restored")
  expect(await line.next("resend"), "what came after the backup is asked for").toMatchObject({ type: "resend" })
  line.close()
  ;(await answer()).close()
  expect((await shown(site, one.attester)).ids).toContain("store.restored")

  await cycle(one.machine.tpm, "reboot")
  one.machine.forget()
  await one.machine.append(await one.machine.epoch("boot"))
  await one.machine.append(measurement("a"))
  ;(await answer()).close()
  expect((await shown(site, one.attester)).ids).not.toContain("store.restored")
})

test("M11 a person says that the whole folder was put back; who joins afterwards is not touched by it", async () => {
  const site = await openHouse()
  const [one, other] = [await Attester.start(), await Attester.start("second")]
  onTestFinished(async () => {
    await one.stop()
    await other.stop()
  })
  ;(await one.join(site.house)).close()
  const told = { by: "Olga", reason: "disk failed" }
  expect(await site.house.admin.call("restored", told)).toEqual({ attesters: 1 })
  const line = await Line.dial(site.house.collector.port)
  await one.prove(line)
  line.close()
  ;(await other.join(site.house)).close()
  expect((await shown(site, one.attester)).ids).toContain("store.restored")
  expect((await shown(site, other.attester)).ids).not.toContain("store.restored")
})

test("M12 an agent sends again what the backup lacks, and no gap is left", async () => {
  const site = await openHouse()
  const tpm = await startSwtpm()
  const over = new AbortController()
  const places = { STATE_DIRECTORY: join(site.folder, "agent"), RUNTIME_DIRECTORY: join(site.folder, "arun") }
  const configuration = readConfiguration(`[tpm]\ntcti = "${tpm.tcti}"\nsoftware = true\n`, places)
  const clock = { now: () => Date.now(), random: () => 0, signal: over.signal }
  const { attester } = await joinCollector(configuration, await invitationFrom(site.house), clock)
  const running = runAgent(configuration, { ...clock, supervisor: nobody, invitation: "none" })
  onTestFinished(async () => {
    over.abort()
    await running
    await tpm.stop()
  })
  const connected = async (): Promise<void> => {
    while (!(await site.house.admin.call("status", { attester })).standing.connected) await delay(20)
  }
  const challenged = async (): Promise<string> => {
    const judged = await site.house.admin.call("challenge", { attester, depth: "quick" })
    return judged.kind === "judged" ? judged.evidence : JSON.stringify(judged)
  }
  await connected()
  const before = await challenged()
  await site.meanwhile(() => copyFileSync(store(site.folder), backup(site.folder)))
  await connected()
  const lost = [await challenged(), await challenged()]
  await site.meanwhile(() => restore(site.folder))
  const has = async (evidence: string): Promise<boolean> =>
    site.house.admin.call("export", { attester, evidence }).then(
      () => true,
      () => false,
    )
  expect([await has(before), await has(lost[0] ?? "")]).toEqual([true, false])
  await connected()
  while ((await shown(site, attester)).gaps.length > 0) await delay(20)
  expect(await Promise.all(lost.map(has))).toEqual([true, true])
  expect((await site.house.admin.call("status", { attester })).incidents).toEqual([])
  expect((await shown(site, attester)).ids, "until the machine boots anew").toContain("store.restored")
}, 240_000)

test("an answer to a nonce that nobody knows is taken as history only when it was asked for again", async () => {
  const site = await openHouse()
  const one = await Attester.start()
  onTestFinished(() => one.stop())
  const line = await one.join(site.house)
  const unasked = await one.answer(line, { nonce: Buffer.alloc(32, 9).toString("base64") } as never)
  await submit(line, null, unasked)
  expect((await line.next("refused")).findings).toMatchObject([{ id: "nonce.unknown" }])
})
