/** When does a log epoch begin, and with which record? Whenever the TPM's counters moved, under a running broker too. */
import { readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { attestationKey, openTpm } from "../node-tpm2/index.ts"
import { fromHex } from "../attestation/wire/text.ts"
import {
  append,
  cycle,
  eventsIn,
  expectSound,
  findingsOf,
  judge,
  killBrokers,
  payloadOf,
  pcrRead,
  replayByHand,
  report,
  runningLog,
  startBroker,
  stopBroker,
} from "./broker-process.ts"
import { commandCodes, gate, type HeldTpm, holdTpm } from "./held-tpm.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

let tpm: Swtpm
let held: HeldTpm

beforeEach(async () => {
  tpm = await startSwtpm()
  held = await holdTpm(tpm)
})

afterEach(async () => {
  await killBrokers()
  await held.close()
  await tpm.stop()
})

describe("a new epoch", () => {
  it("begins with a reboot of the TPM, also under a running broker, and names the log before", async () => {
    const broker = startBroker(tpm)
    expect(await append(broker, "before")).toMatchObject({ opened: false })
    const before = (await broker.call("identity", {})).log
    await cycle(tpm, "reboot")
    const { log, opened } = await append(broker, "after")
    expect(opened).toBe(true)
    expect(log).toMatchObject({ resetCount: before.resetCount + 1, restartCount: 0, records: 2 })
    const previous = { length: before.length, digest: before.digest }
    expect((await eventsIn(broker))[0]).toMatchObject({ reason: "boot", previous })
    expect((await append(broker, "again")).opened).toBe(false)
    await expectSound(tpm, broker)
  })

  it("begins with a resume from suspend, and the evidence says that it did", async () => {
    const broker = startBroker(tpm)
    const before = (await append(broker, "before")).log
    await cycle(tpm, "suspend")
    const { envelope, opened, log } = await report(broker)
    expect(opened).toBe(true)
    expect(log).toMatchObject({ resetCount: before.resetCount, restartCount: before.restartCount + 1, records: 1 })
    expect((await eventsIn(broker))[0]).toMatchObject({ reason: "resume", previous: { digest: before.digest } })
    expect(findingsOf(await judge(broker, envelope))).toEqual([])
    await expectSound(tpm, broker)
  })

  it("is seen in the quote when the counters move after the broker looked at them", async () => {
    const broker = startBroker(tpm, { tcti: held.tcti })
    await report(broker)
    const stopped = gate()
    let holds = true
    held.before = code => (holds && code === commandCodes.quote ? stopped.wait() : Promise.resolve())
    const asked = report(broker)
    await stopped.reached
    holds = false
    await cycle(tpm, "suspend")
    stopped.open()
    const { envelope, opened } = await asked
    expect(opened).toBe(true)
    expect(payloadOf(envelope).body.chain.sequence).toBe("3")
    expect(findingsOf(await judge(broker, envelope))).toEqual([])
  })

  it("is seen in the quote also where a resource manager kept the AK over the suspend", async () => {
    const broker = startBroker(tpm, { tcti: held.tcti })
    await report(broker)
    const stopped = gate()
    let holds = true
    held.before = code => (holds && code === commandCodes.startSession ? stopped.wait() : Promise.resolve())
    const asked = report(broker)
    await stopped.reached
    holds = false
    await cycle(tpm, "suspend")
    const { unique } = JSON.parse(readFileSync(join(broker.state, "identity.json"), "utf8")) as { unique: string }
    const manager = await openTpm(tpm.tcti, { deadline: 10_000, allowSoftware: true })
    await manager.createPrimary("endorsement", attestationKey(fromHex(unique)))
    stopped.open()
    const { envelope, opened } = await asked
    expect(opened).toBe(true)
    expect(findingsOf(await judge(broker, envelope))).toEqual([])
    await killBrokers()
    await manager.close()
  })

  it("begins with the record that a suspend left alone in the PCR (M13)", async () => {
    const broker = startBroker(tpm, { tcti: held.tcti })
    await append(broker, "before")
    const stopped = gate()
    let holds = true
    held.before = code => (holds && code === commandCodes.extend ? stopped.wait() : Promise.resolve())
    const asked = append(broker, "written before the suspend, extended after it")
    await stopped.reached
    holds = false
    await cycle(tpm, "suspend")
    stopped.open()
    await asked
    expect((await append(broker, "later")).opened).toBe(true)
    expect(await replayByHand(tpm, await runningLog(broker), "sha256")).toBe(await pcrRead(tpm, "sha256", 23))
    const events = await eventsIn(broker)
    expect(events.map(({ type }) => type).toSorted()[0]).toBe("assay.epoch.v1")
    expect(events.length).toBe(3)
    expect(events[1]).toMatchObject({ type: "assay.epoch.v1", reason: "resume" })
    const { envelope } = await report(broker)
    expect(findingsOf(await judge(broker, envelope))).toEqual([])
  })

  it("begins after a start that finds its log lost, and the verifier sees that it does not replay", async () => {
    const broker = startBroker(tpm)
    await append(broker, "gone")
    const path = await runningLog(broker)
    await stopBroker(broker)
    rmSync(path)
    const next = startBroker(tpm)
    expect(await eventsIn(next)).toMatchObject([{ reason: "lost", previous: null }])
    const { envelope } = await report(next)
    expect(findingsOf(await judge(next, envelope))).toEqual(["log.replay"])
  })
})
