/**
 * Does a workstation get its secret? Our whole agent, broker and collector on a software TPM, asked by the command as a person would; and a
 * collector of before, that does not know the wish. What a stranger is given: release.test.ts.
 */
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as delay } from "node:timers/promises"
import { expect, onTestFinished, test } from "vitest"
import { Attester } from "../agent/attester.ts"
import { brokerAt } from "../agent/broker/spawn.ts"
import { readConfiguration } from "../agent/config.ts"
import { stayConnected } from "../agent/connect.ts"
import { Host } from "../agent/host.ts"
import { joinCollector, runAgent } from "../agent/main.ts"
import { KnownPrefix } from "../agent/outbox.ts"
import { Spool } from "../agent/spool.ts"
import { Standing } from "../agent/standing.ts"
import { fetchSecret, Wishes } from "../agent/wishes.ts"
import { nobody } from "../local/supervisor.ts"
import { invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { startPeer } from "./peer-collector.ts"
import { record } from "./recorder.ts"
import { startSwtpm } from "./swtpm.ts"

const clock = { now: () => Date.now(), random: () => Math.random() }
const secret = "correct horse battery staple"

/** A collector and an agent that has joined it and answered, and their configuration files. */
async function openSite() {
  const folder = temporaryFolder()
  const [tpm, house] = await Promise.all([startSwtpm(), startHouse(folder)])
  const over = new AbortController()
  let running: Promise<void> = Promise.resolve()
  onTestFinished(async () => {
    over.abort()
    await running
    await house.stop()
    await tpm.stop()
    removeFolder(folder)
  })
  const model = join(folder, "model")
  mkdirSync(model)
  writeFileSync(join(model, "weights.safetensors"), "one")
  const text = `state = "${folder}/agent"\nruntime = "${folder}/arun"\n[tpm]\ntcti = "${tpm.tcti}"\nsoftware = true
[[weights]]\nname = "m"\npath = "${model}"\n`
  const [agentToml, collectorToml] = [join(folder, "agent.toml"), join(folder, "collector.toml")]
  writeFileSync(agentToml, text)
  writeFileSync(collectorToml, `state = "${folder}/state"\nruntime = "${folder}/run"\n`)
  const configuration = readConfiguration(text, {})
  const { attester } = await joinCollector(configuration, await invitationFrom(house), {
    ...clock,
    signal: over.signal,
  })
  running = runAgent(configuration, { ...clock, signal: over.signal, supervisor: nobody, invitation: "none" })
  const connected = async (): Promise<boolean> =>
    (await house.admin.call("attesters", { after: "" })).attesters[0]?.connected === true
  while (!(await connected())) await delay(20)
  const assay = (line: string, input = "") => record([...line.split(" ")], { input, now: new Date().toISOString() })
  return {
    ...{ folder, house, attester, model },
    office: (line: string, input?: string) => assay(`${line} --config ${collectorToml}`, input),
    machine: (line: string) => assay(`${line} --config ${agentToml}`),
  }
}

/** Waits until a checkpoint covers every leaf. */
async function published(folder: string): Promise<void> {
  const db = new DatabaseSync(join(folder, "state/collector.db"), { readOnly: true })
  const size = (): number => Number(db.prepare("SELECT size FROM tree").get()?.["size"])
  while (Number(readFileSync(join(folder, "state/vault/checkpoint"), "utf8").split("\n")[1]) < size()) await delay(50)
  db.close()
}

test("C34 C35 C36 a person puts a secret, the machine gets it by an answer that is made for it, and nothing once its weights differ", async () => {
  const { folder, house, attester, model, office, machine } = await openSite()
  const out = join(folder, "disk.key")
  const said = "--by Olga --reason tests"
  expect(await machine(`secret get disk-key --out ${out}`)).toMatchObject({
    exit: 3,
    err: expect.stringMatching(/error: withheld: no secret of this name is kept[^]*hint: .*assay secret put/),
  })
  expect(await office(`secret put disk-key --for gpu-1 ${said}`, "")).toMatchObject({ exit: 2 })
  expect(await office(`secret put disk-key --for ${attester} ${said}`, "x".repeat(4097))).toMatchObject({ exit: 2 })
  const put = await office(`secret put disk-key --for ${attester} --tier warning ${said}`, secret)
  expect(put).toMatchObject({ exit: 0, err: "" })

  symlinkSync("/etc/hostname", out)
  const answers = async () => (await house.admin.call("status", { attester })).answer?.evidence
  const before = await answers()
  const got = await machine(`secret get disk-key --out ${out} --json`)
  expect(got).toMatchObject({ exit: 0, err: "" })
  const evidence = await answers()
  expect(evidence, "the wish was challenged").not.toBe(before)
  expect(JSON.parse(got.out)).toEqual({ secret: "disk-key", evidence, file: out, bytes: secret.length })
  expect(readFileSync(out, "utf8")).toBe(secret)
  expect(statSync(out).mode & 0o777).toBe(0o600)
  expect(readFileSync("/etc/hostname", "utf8"), "a link is not followed").not.toBe(secret)
  expect(await machine("secret get disk-key --out -")).toMatchObject({ exit: 0, out: secret })
  expect(await machine("secret get disk-key --out - --json")).toMatchObject({ exit: 2 })
  const nowhere = await machine(`secret get disk-key --out ${folder}/nowhere/disk.key`)
  expect(nowhere).toMatchObject({ exit: 1, err: expect.stringContaining("cannot write") })
  const both = ["disk-key", "disk-key"].map(name => machine(`secret get ${name} --out -`))
  expect((await Promise.all(both)).map(each => each.out)).toEqual([secret, secret])

  const places = ["agent", "arun", "state", "run"].map(name => join(folder, name))
  const files = places.flatMap(each => readdirSync(each, { recursive: true, withFileTypes: true }))
  const kept = files.filter(each => each.isFile()).map(each => readFileSync(join(each.parentPath, each.name)))
  expect(kept.length).toBeGreaterThan(10)
  expect(
    kept.some(each => each.includes(secret)),
    "it lies nowhere else",
  ).toBe(false)

  await house.admin.call("reference-record", { attester, by: "Olga", ignore: [] })
  writeFileSync(join(model, "weights.safetensors"), "two")
  rmSync(out)
  const withheld = await machine(`secret get disk-key --out ${out}`)
  expect(withheld).toMatchObject({ exit: 3, out: "" })
  expect(withheld.err).toMatch(/withheld: the verdict on this machine is contraindicated[^]*hint: assay explain/)
  expect(readdirSync(folder).filter(name => name.startsWith("disk.key"))).toEqual([])

  expect((await office("secret list")).out).toMatch(/disk-key {2}affirming or a warning, released 4 times, last 20/)
  await published(folder)
  const audit = join(folder, "audit")
  expect(await office(`audit --model m --from 2026-01-01T00:00:00Z --out ${audit}`)).toMatchObject({ exit: 0 })
  const report = readFileSync(join(audit, "report.html"), "utf8")
  expect(report).toMatch(/<td>secret-released<\/td><td>secret disk-key, tier warning, by Olga<\/td>/)
  expect(report).toMatch(/<td>secret-withheld<\/td><td>secret disk-key, tier warning, why tier, by Olga<\/td>/)
  expect(await record(["audit", "verify", audit])).toMatchObject({ exit: 0 })

  expect(await office(`secret withdraw disk-key ${said}`)).toMatchObject({ exit: 0 })
  expect((await office("secret list --json")).out).toBe('{"secrets":[]}\n')
  expect(await machine(`secret get disk-key --out ${out}`)).toMatchObject({ exit: 3 })
})

test("a collector of before ends the connection for a word that it does not know; the agent says so, and goes on", async () => {
  const folder = mkdtempSync(join(tmpdir(), "wish-"))
  const peer = await startPeer(folder)
  const over = new AbortController()
  const say = (): void => undefined
  const name = `000b${"ab".repeat(32)}`
  const broker = brokerAt({ socket: join(folder, "none"), callDeadline: 100, patience: 0 })
  const configuration = readConfiguration(`state = "${folder}"`, {})
  const wishes = new Wishes()
  const attester = new Attester({ broker, host: new Host("/"), configuration, now: clock.now })
  await expect(fetchSecret(broker, wishes, "disk-key")).rejects.toThrow("not connected")
  const running = stayConnected(
    {
      ...{ attester, wishes, say, random: () => 0, known: new KnownPrefix(), standing: new Standing(clock.now) },
      spool: await Spool.open(join(folder, "spool"), { evidence: 9, bytes: 1 << 20, horizon: 1000 }, say),
      who: { attester: name, ak: name },
      endpoint: { host: "127.0.0.1", port: peer.port, pin: peer.pin, proxy: "none" },
      succeeded: () => Promise.resolve(),
    },
    over.signal,
  )
  onTestFinished(async () => {
    over.abort()
    await running
    await attester.close()
    await peer.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  const first = await peer.connection()
  await first.next("hello")
  const wanted = expect(fetchSecret(broker, wishes, "disk-key")).rejects.toMatchObject({
    message: expect.stringContaining("Invalid discriminator"),
    hint: expect.stringContaining("bring agent and collector to one version"),
  })
  expect(await first.next("want")).toEqual({ type: "want", secret: "disk-key" })
  first.say({ type: "goodbye", reason: "type: Invalid discriminator value", retryAfterSeconds: 0 })
  first.socket.close()
  await wanted
  const second = await peer.connection()
  await second.next("hello")

  const forged = expect(fetchSecret(broker, wishes, "disk-key")).rejects.toThrow("evidence that was not made for it")
  await second.next("want")
  const credential = { idObject: "AAAA", encryptedSecret: "AAAA" }
  const evidence = "cd".repeat(32)
  second.say({ type: "released", secret: "disk-key", evidence, credential, sealed: "AAAA" })
  await forged
  second.say({ type: "withheld", secret: "disk-key", reason: "nobody asked", hint: "" })
  await second.closed()
  await (await peer.connection()).next("hello")
})
