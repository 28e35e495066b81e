/** Which keys has an attester, on TPMs as they come: without certificates, with others, cleared, closed by their owner? */
import { generateKeyPairSync, randomBytes } from "node:crypto"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { writeEvent } from "../attestation/protocol/event.ts"
import { celRecord, writeCelLine } from "../attestation/tcg/cel.ts"
import { makeCredential } from "../attestation/tcg/credential.ts"
import { readPublic } from "../attestation/tcg/public.ts"
import { fromBase64, fromHex, toBase64 } from "../attestation/wire/text.ts"
import {
  findingsOf,
  judge,
  killBrokers,
  logFile,
  measurement,
  readLog,
  report,
  startBroker,
  stopBroker,
} from "./broker-process.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const tpms: Swtpm[] = []

async function newTpm(endorsed: boolean): Promise<Swtpm> {
  const tpm = await startSwtpm({ endorsed })
  tpms.push(tpm)
  return tpm
}

afterEach(async () => {
  await killBrokers()
  await Promise.all(tpms.splice(0).map(tpm => tpm.stop()))
})

/** Writes bytes where a certificate belongs. */
async function putCertificate(tpm: Swtpm, index: string, text: string): Promise<void> {
  writeFileSync(join(tpm.directory, "certificate"), text)
  const size = String(Buffer.byteLength(text))
  await tpm.tool("tpm2_nvdefine", index, "-C", "o", "-s", size, "-a", "ownerread|ownerwrite|authread")
  await tpm.tool("tpm2_nvwrite", index, "-C", "o", "-i", "certificate")
}

/** Reboots, so that loaded keys are gone, and starts a broker. */
async function rebooted(tpm: Swtpm) {
  await tpm.restart()
  const broker = startBroker(tpm)
  return { broker, ...(await broker.call("identity", {})) }
}

describe("the EK", () => {
  it("is RSA where no certificate says otherwise", async () => {
    const tpm = await newTpm(false)
    const { identity } = await startBroker(tpm).call("identity", {})
    expect(identity.ekCertificate).toBeNull()
    expect(readPublic(fromBase64(identity.ekPublic)).kind).toBe("rsa")
  })

  it("is the one that has a certificate, stays it, opens credentials, and its certificate is as it stood", async () => {
    const tpm = await newTpm(false)
    await putCertificate(tpm, "0x01c00016", "as it stood\xff\xff\0\0")
    const first = startBroker(tpm)
    const { identity, ak } = await first.call("identity", {})
    const ek = readPublic(fromBase64(identity.ekPublic))
    expect(ek).toMatchObject({ kind: "ecc", curve: "p384" })
    expect(fromBase64(identity.ekCertificate ?? "")).toEqual(
      new Uint8Array(readFileSync(join(tpm.directory, "certificate"))),
    )
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-384" })
    const ephemeral = new Uint8Array(privateKey.export({ format: "der", type: "pkcs8" }))
    const secret = new Uint8Array(randomBytes(32))
    const { idObject, encryptedSecret } = makeCredential(ek, fromHex(ak), secret, { kind: "ecc", ephemeral })
    const credential = { idObject: toBase64(idObject), encryptedSecret: toBase64(encryptedSecret) }
    expect((await first.call("activate", { credential })).secret).toBe(toBase64(secret))
    await stopBroker(first)
    await putCertificate(tpm, "0x01c00002", "another, later")
    const { identity: later } = await rebooted(tpm)
    expect([later.attester, later.ekCertificate]).toEqual([identity.attester, identity.ekCertificate])
  })
})

describe("keys in the endorsement hierarchy", () => {
  it("survive TPM2_Clear; the sealed seed does not, and a person is told to join again", async () => {
    const tpm = await newTpm(true)
    const broker = startBroker(tpm)
    const before = await broker.call("identity", {})
    await broker.call("append", { event: measurement("before") })
    await stopBroker(broker)
    await tpm.tool("tpm2_clear", "-c", "p")
    await tpm.restart()
    const refused = startBroker(tpm)
    expect((await refused.ended).code).toBe(78)
    expect(refused.said()).toMatch(/that this TPM can open.*\nassay: hint: .*join again/)
    rmSync(join(tpm.directory, "state", "evidence-key.json"))
    const again = startBroker(tpm)
    const after = await again.call("identity", {})
    expect([after.ak, after.identity.attester]).toEqual([before.ak, before.identity.attester])
    expect(after.identity.evidenceKey).not.toBe(before.identity.evidenceKey)
    expect(after.log.resetCount).toBeLessThan(before.log.resetCount)
    expect(findingsOf(await judge(again, (await report(again)).envelope))).toEqual([])
  })

  it("are out of reach when the hierarchy has a password, and the fix is named", async () => {
    const tpm = await newTpm(false)
    await tpm.tool("tpm2_changeauth", "-c", "endorsement", "hunter2")
    const broker = startBroker(tpm)
    expect((await broker.ended).code).toBe(78)
    expect(broker.said()).toMatch(/assay: hint: .*tpm2_changeauth -c endorsement -p/)
  })
})

describe("C14 the AK", () => {
  it("is drawn anew on demand, taken back, and the same after a restart; the EK and the log stay", async () => {
    const tpm = await newTpm(true)
    const broker = startBroker(tpm)
    const first = await broker.call("identity", {})
    await broker.call("append", { event: measurement("a") })
    await expect(broker.call("rotate", { to: "previous" })).rejects.toThrow("no AK of before")
    const { ak } = await broker.call("rotate", { to: "new" })
    expect(ak).not.toBe(first.ak)
    const second = await broker.call("identity", {})
    expect(second).toMatchObject({ ak, log: { records: 2 }, identity: { attester: first.identity.attester } })
    const { envelope } = await report(broker)
    expect(findingsOf(await judge(broker, envelope))).toEqual([])
    const before = {
      call: async (verb: string, given: object) =>
        verb === "identity" ? first : broker.call(verb as "log", given as never),
    }
    expect(findingsOf(await judge(before as typeof broker, envelope))).toContain("ak.name")
    expect((await broker.call("rotate", { to: "previous" })).ak).toBe(first.ak)
    await broker.call("rotate", { to: "new" })
    const third = await broker.call("identity", {})
    await stopBroker(broker)
    expect((await rebooted(tpm)).ak).toBe(third.ak)
  })
})

describe("a log of another time", () => {
  it("that has the counters of now, since a clear set them back, is set aside and named by the new one", async () => {
    const tpm = await newTpm(false)
    const clock = await tpm.tool("tpm2_readclock")
    const [resetCount = 0, restartCount = 0] = [...clock.matchAll(/_count: (\d+)/g)].map(([, count]) => Number(count))
    const epoch = {
      type: "assay.epoch.v1",
      reason: "boot",
      resetCount,
      restartCount,
      boot: "another",
      previous: null,
    } as const
    const records = [writeEvent(epoch), measurement("of another time")]
    const lines = records.map((content, i) => writeCelLine(celRecord(i, 23, ["sha256", "sha384"], content)))
    const old = Buffer.concat(lines)
    const state = join(tpm.directory, "state")
    mkdirSync(state)
    writeFileSync(join(state, `log-${resetCount}-${restartCount}.cel`), old)
    const broker = startBroker(tpm)
    const { log } = await broker.call("identity", {})
    expect(log.records).toBe(1)
    const [first] = readLog(logFile(broker, resetCount, restartCount))
    expect(JSON.parse(first?.content ?? "")).toMatchObject({ reason: "boot", previous: { length: old.length } })
    expect(readFileSync(join(state, `log-${resetCount}-${restartCount}.cel.replaced`))).toEqual(old)
    expect(findingsOf(await judge(broker, (await report(broker)).envelope))).toEqual([])
  })
})

describe("a damaged state", () => {
  it("that gives another AK is refused by that key's Name", async () => {
    const tpm = await newTpm(false)
    const { broker, ak } = await rebooted(tpm)
    await stopBroker(broker)
    const path = join(tpm.directory, "state", "identity.json")
    writeFileSync(path, readFileSync(path, "utf8").replace(/"unique":"[0-9a-f]+"/, `"unique":"${"5a".repeat(32)}"`))
    const other = startBroker(tpm)
    expect((await other.ended).code).toBe(78)
    expect(other.said()).toMatch(new RegExp(`its AK is [0-9a-f]+, recorded is ${ak}`))
  })

  it("is named, and nothing is made anew in its place", async () => {
    const tpm = await newTpm(false)
    await stopBroker((await rebooted(tpm)).broker)
    for (const name of ["identity.json", "evidence-key.json", "chains.json"]) {
      const path = join(tpm.directory, "state", name)
      const whole = name === "chains.json" ? Buffer.from("[]") : readFileSync(path)
      writeFileSync(path, whole.subarray(0, -1))
      const broker = startBroker(tpm)
      expect((await broker.ended).code).toBe(78)
      expect(broker.said()).toContain(path)
      writeFileSync(path, whole)
    }
  })
})
