/** What is left when the broker is killed, its log is touched, or its TPM is lost? A log that says what the PCR holds, or an error. */
import { appendFileSync, readdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { fromBase64, fromHex } from "../attestation/wire/text.ts"
import { openTpm, STORAGE_PARENT } from "../node-tpm2/index.ts"
import {
  append,
  type BrokerProcess,
  eventsIn,
  expectSound,
  findingsOf,
  holdsBytes,
  judge,
  killBrokers,
  logFile,
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

/** mulberry32: the same moments in every run. */
function seeded(seed: number): (below: number) => number {
  let state = seed
  return below => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

describe("a broker that is killed", () => {
  it("leaves a log that the next start makes whole, wherever between log and extend it was (C22, M13)", async () => {
    const random = seeded(23)
    for (let round = 0; round < 4; round++) {
      const broker = startBroker(tpm, { tcti: held.tcti })
      const { log } = await broker.call("identity", {})
      for (let i = random(3); i > 0; i--) await append(broker, `round ${round}, record ${i}`)
      const stopped = gate()
      const side = round % 2 === 0 ? "before" : "after"
      held[side] = code => (code === commandCodes.extend ? stopped.wait() : Promise.resolve())
      const lost = append(broker, `round ${round}, the last`).catch(() => "lost")
      await stopped.reached
      const path = logFile(broker, log.resetCount, log.restartCount)
      const gives = await replayByHand(tpm, path, "sha256")
      expect(gives === (await pcrRead(tpm, "sha256", 23))).toBe(side === "after")
      broker.kill("SIGKILL")
      await broker.ended
      expect(await lost).toBe("lost")
      held[side] = async () => undefined
      stopped.open()
      if (random(2) === 0) appendFileSync(path, '{"recnum":99,"pcr":23,"dig')
      const next = startBroker(tpm, { tcti: held.tcti })
      await expectSound(tpm, next)
      expect(next.said().includes("is extended now")).toBe(side === "before")
      expect((await eventsIn(next)).filter(({ type }) => type === "assay.epoch.v1").length).toBe(1)
      await stopBroker(next)
    }
  })

  it("recovers its very first record too", async () => {
    const stopped = gate()
    held.before = code => (code === commandCodes.extend ? stopped.wait() : Promise.resolve())
    const broker = startBroker(tpm, { tcti: held.tcti })
    await stopped.reached
    broker.kill("SIGKILL")
    await broker.ended
    held.before = async () => undefined
    const next = startBroker(tpm, { tcti: held.tcti })
    await expectSound(tpm, next)
    expect(await eventsIn(next)).toMatchObject([{ type: "assay.epoch.v1", reason: "join" }])
  })

  it("never uses a number twice, and its next chain names the last evidence that was finished (M14, M15)", async () => {
    const broker = startBroker(tpm, { tcti: held.tcti })
    const first = await report(broker)
    const stopped = gate()
    held.after = code => (code === commandCodes.quote ? stopped.wait() : Promise.resolve())
    const lost = report(broker).catch(() => "lost")
    await stopped.reached
    const chains = readFileSync(join(broker.state, "chains.json"), "utf8")
    expect(JSON.parse(chains)).toMatchObject([{ sequence: "2", last: { sequence: "1", digest: first.evidence } }])
    broker.kill("SIGKILL")
    expect(await lost).toBe("lost")
    await broker.ended // until then its socket takes connections, and resets them
    held.after = async () => undefined
    stopped.open()
    const next = startBroker(tpm, { tcti: held.tcti })
    const { chain } = payloadOf((await report(next)).envelope).body
    const { id } = payloadOf(first.envelope).body.chain
    expect(chain).toMatchObject({
      sequence: "1",
      previous: null,
      predecessor: { id, sequence: "1", digest: first.evidence },
    })
    expect(chain.id).not.toBe(id)
  })
})

describe("a log that was touched", () => {
  it("is kept as it is, and refused by the verifier", async () => {
    const broker = startBroker(tpm)
    for (const value of ["one", "two", "three"]) await append(broker, value)
    const path = await runningLog(broker)
    await stopBroker(broker)
    const lines = readFileSync(path, "utf8").split("\n")
    truncateSync(path, Buffer.byteLength(`${lines.slice(0, 2).join("\n")}\n`))
    const next = startBroker(tpm)
    const { envelope } = await report(next)
    expect(findingsOf(await judge(next, envelope))).toEqual(["log.replay"])
    expect(next.said()).toContain("evidence will be refused")
    await stopBroker(next)
    appendFileSync(path, "no record\n")
    const third = startBroker(tpm)
    const size = statSync(path).size
    expect(findingsOf(await judge(third, (await report(third)).envelope))).toEqual(["log.malformed"])
    expect(statSync(path).size).toBe(size)
    expect(third.said()).toContain("cannot be read")
  })

  it("gives back what the TPM refuses to extend, and says which PCRs there are", async () => {
    const broker = startBroker(tpm, { pcr: 17 })
    expect((await broker.ended).code).toBe(78)
    expect(broker.said()).toMatch(/PCR_Extend: TPM_RC_LOCALITY.*\nassay: hint: .*16 or 23/)
    const [log = ""] = readdirSync(broker.state).filter(name => name.startsWith("log-"))
    expect(statSync(join(broker.state, log)).size).toBe(0)
    await expectSound(tpm, startBroker(tpm))
  })

  it("has an end: what does not fit is refused, and what is there still replays", async () => {
    const broker = startBroker(tpm)
    const facts = Array.from({ length: 240 }, (_, i) => [String(i), "x".repeat(4000)] as const)
    const large = { type: "assay.measurement.v1", source: "kernel", subject: "", state: "present", facts }
    const grow = async (): Promise<never> => {
      for (;;) await broker.call("append", { event: JSON.stringify(large) })
    }
    await expect(grow()).rejects.toMatchObject({
      message: expect.stringContaining("log is full"),
      hint: expect.stringContaining("boot"),
    })
    await append(broker, "a small one")
    await expectSound(tpm, broker)
  })
})

describe("a TPM that is lost", () => {
  it("and hangs: every caller is told so, and the broker ends by itself", async () => {
    const broker = startBroker(tpm, { deadline: 400 })
    await broker.call("identity", {})
    await tpm.kill("SIGSTOP")
    const calls = [append(broker, "one"), append(broker, "two"), report(broker)]
    for (const call of calls)
      await expect(call).rejects.toMatchObject({
        message: expect.stringContaining("the TPM is lost"),
        hint: expect.stringContaining("started anew"),
      })
    expect(await broker.ended).toEqual({ code: null, signal: "SIGKILL" })
    expect(broker.said()).toMatch(/assay: broker: the TPM is lost: .*no answer within 400 ms\nassay: hint: /)
    await tpm.kill("SIGCONT")
    await expectSound(tpm, startBroker(tpm))
  })

  it("and hangs at the start: the broker says so and ends", async () => {
    await tpm.kill("SIGSTOP")
    const broker = startBroker(tpm, { deadline: 300 })
    expect({ ...(await broker.ended), said: broker.said() }).toMatchObject({ code: null, signal: "SIGKILL" })
    expect(broker.said()).toContain("no answer within 300 ms")
    await tpm.kill("SIGCONT")
  })

  it("and dies: the broker ends with the code for a failure that passes", async () => {
    const broker = startBroker(tpm)
    await broker.call("identity", {})
    await tpm.kill("SIGKILL")
    await expect(append(broker, "one")).rejects.toThrow("the TPM is lost")
    expect(await broker.ended).toEqual({ code: 75, signal: null })
  })

  it("and is another one: nothing is done, and the fix is named", async () => {
    await stopBroker(await joined(startBroker(tpm)))
    const other = await startSwtpm({ identity: "second" })
    try {
      renameSync(join(tpm.directory, "state"), join(other.directory, "state"))
      const broker = startBroker(other)
      expect((await broker.ended).code).toBe(78)
      expect(broker.said()).toMatch(/not the TPM|the key is .*, not/)
      expect(broker.said()).toContain("assay: hint: ")
    } finally {
      await other.stop()
    }
  })
})

const joined = async (broker: BrokerProcess): Promise<BrokerProcess> => {
  await broker.call("identity", {})
  return broker
}

describe("what nobody else may have", () => {
  it("the seed never crosses the bus in the clear, neither when it is made nor when it is read back", async () => {
    const broker = await joined(startBroker(tpm, { tcti: held.tcti }))
    const { identity } = await broker.call("identity", {})
    await stopBroker(broker)
    const next = await joined(startBroker(tpm, { tcti: held.tcti }))
    expect((await next.call("identity", {})).identity.evidenceKey).toBe(identity.evidenceKey)
    await stopBroker(next)
    const codes = held.seen.filter(each => each.length > 10).map(each => Buffer.from(each).readUInt32BE(6))
    expect(codes).toContain(commandCodes.create)
    expect(codes).toContain(commandCodes.unseal)
    const seed = await seedByHand(join(tpm.directory, "state"))
    expect(await publicKeyOf(seed)).toBe(identity.evidenceKey)
    for (const each of held.seen) expect(holdsBytes(each, seed)).toBe(false)
  })

  it("a second broker on the same state is refused while the first runs", async () => {
    const broker = await joined(startBroker(tpm))
    renameSync(broker.socket, `${broker.socket}.moved`)
    const second = startBroker(tpm)
    expect((await second.ended).code).toBe(75)
    expect(second.said()).toContain("lock is served already")
  })
})

/** The seed, unsealed past the held bus. */
async function seedByHand(state: string): Promise<Uint8Array> {
  const stored = JSON.parse(readFileSync(join(state, "evidence-key.json"), "utf8")) as Record<string, string>
  const [publicArea, privateArea] = [
    fromBase64(stored["sealedPublic"] ?? ""),
    fromBase64(stored["sealedPrivate"] ?? ""),
  ]
  const own = await openTpm(tpm.tcti, { deadline: 10_000, allowSoftware: true })
  try {
    const { object: parent } = await own.createPrimary("endorsement", STORAGE_PARENT)
    return await own.unseal(parent, fromHex(stored["parent"] ?? ""), { publicArea, privateArea })
  } finally {
    await own.close()
  }
}

/** What openssl says is the public key of a seed (RFC 8410, PKCS#8). */
async function publicKeyOf(seed: Uint8Array): Promise<string> {
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed])
  writeFileSync(join(tpm.directory, "seed.der"), pkcs8)
  await tpm.tool(
    "openssl",
    "pkey",
    "-inform",
    "DER",
    "-in",
    "seed.der",
    "-pubout",
    "-outform",
    "DER",
    "-out",
    "public.der",
  )
  return readFileSync(join(tpm.directory, "public.der")).subarray(-32).toString("base64")
}
