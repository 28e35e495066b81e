/**
 * What can be done to an agent that runs, on its way to the collector or by root on its own machine, and is it found? Agent with broker and collector are
 * processes, started by their commands; the TPM is a software one. What is asserted is what a person sees with `assay status` and `assay explain`.
 */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type AgentProcess, layAgent, openSite, type Site } from "./attack-site.ts"
import { invitationFrom } from "./collector-house.ts"
import { record } from "./recorder.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

let site: Site
let tpm: Swtpm
let agent: AgentProcess
let attester = ""
beforeAll(async () => {
  site = await openSite()
  tpm = await startSwtpm()
  agent = layAgent(join(site.folder, "machine"), tpm, site)
  const joined = await record(["join", "--config", agent.config, "--json"], {
    input: await invitationFrom({ admin: site.admin() }),
  })
  expect(joined).toMatchObject({ exit: 0 })
  ;({ attester } = JSON.parse(joined.out))
  agent.start()
  await connected()
}, 60_000)
afterAll(async () => {
  await agent.stop()
  await site.stop()
  await tpm.stop()
}, 30_000)

const connected = async (): Promise<void> => {
  while (!(await site.see(attester)).connected) await delay(50)
}
const challenged = () => site.admin().call("challenge", { attester, depth: "quick" })

test("a proxy that ends TLS is named, with what to do, and hears nothing", async () => {
  site.relay.mode = "opens TLS"
  await site.meanwhile(() => undefined)
  while (!(await agent.status()).problem.includes("channel-differs")) await delay(50)
  expect(agent.said()).toMatch(/channel-differs[^]*assay: hint: /)
  expect(Buffer.concat(site.relay.heard)).toHaveLength(0)
  expect(await site.see(attester)).toMatchObject({ connected: false, stale: true })
  site.relay.mode = "passes"
  await connected()
  expect(await site.see(attester)).toMatchObject({ stale: false })
}, 60_000)

test("a rolled-back spool: what was made while nobody asked, and is gone, is a gap that a person sees until they close it", async () => {
  const spool = join(site.folder, "machine/agent/spool")
  await agent.stop()
  cpSync(spool, join(site.folder, "copy"), { recursive: true })
  site.relay.mode = "opens TLS"
  agent.start()
  while ((await agent.status()).waiting < 2) await delay(50)
  await agent.stop()
  rmSync(spool, { recursive: true })
  cpSync(join(site.folder, "copy"), spool, { recursive: true })
  site.relay.mode = "passes"
  agent.start()
  await connected()
  const { found, gaps } = await site.see(attester)
  expect({ found, gaps }).toEqual({ found: expect.arrayContaining(["chain.gap"]), gaps: 1 })
  expect(await site.explain(attester)).toMatch(/chain\.gap .*the gap is shown until a named person closes it/)
  const closed = ["clear", attester, "--by", "Olga", "--reason", "spool restored", "--config", site.config]
  expect(await record(closed)).toMatchObject({ exit: 0 })
  expect((await site.see(attester)).gaps).toBe(0)
}, 60_000)

test("its own log shortened and PCR 23 made to fit, by root: both continuity and the audit that it armed at joining tell", async () => {
  const weights = join(site.folder, "machine/model/weights")
  writeFileSync(weights, "other weights")
  await challenged()
  writeFileSync(weights, "weights")
  await agent.stop()
  const { resetCount, restartCount } = JSON.parse(readFileSync(join(agent.broker, "epoch.json"), "utf8"))
  const log = join(agent.broker, `log-${resetCount}-${restartCount}.cel`)
  const kept = readFileSync(log, "utf8").split("\n").slice(0, 2)
  writeFileSync(log, kept.map(each => `${each}\n`).join(""))
  await tpm.tool("tpm2_pcrreset", "23")
  for (const each of kept) {
    const { digests } = JSON.parse(each) as { digests: { hashAlg: string; digest: string }[] }
    await tpm.tool("tpm2_pcrextend", `23:${digests.map(({ hashAlg, digest }) => `${hashAlg}=${digest}`).join(",")}`)
  }
  agent.start()
  await connected()
  await challenged()
  const { state, found } = await site.see(attester)
  expect(state).toBe("contraindicated")
  expect(found).toEqual(expect.arrayContaining(["log.rewritten", "pcr.reset-possible"]))
  expect(await site.explain(attester)).toMatch(/log\.rewritten.*reboot the machine/)
}, 60_000)
