/**
 * Is each attack of the page of threats found when it is done to the product as it is run? The collector is a process, started by its command, the machines
 * software TPMs that tpm2-tools drive; what is asserted is what a person sees: a refusal, or a finding of `assay status` and `assay explain`. Attacks on an agent
 * that runs, by root on its own machine: `attacks-agent.test.ts`.
 */
import { copyFileSync, rmSync } from "node:fs"
import { connect, type Socket } from "node:net"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import type { Identity } from "../attestation/protocol/message.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import { openSite, type Site } from "./attack-site.ts"
import { cycle } from "./broker-process.ts"
import { answer, enrol, hello, identityOf, Line, submit } from "./collector-attester.ts"
import { Attester } from "./collector-chain.ts"
import { invitationFrom } from "./collector-house.ts"
import { akHandle, armAudit, measurement, type Options } from "./evidence-maker.ts"

let site: Site
/** Enrolled, and as it should be until a test attacks it. */
let one: Attester
/** Another machine, which nobody enrolled. */
let thief: Attester
let line: Line
let options: Options = {}

const invited = (): Promise<string> => invitationFrom({ admin: site.admin() })
const see = () => site.see(one.attester)

beforeAll(async () => {
  ;[site, one, thief] = await Promise.all([
    openSite("limits = { accepts = 100000 }"),
    Attester.start(),
    Attester.start("second"),
  ])
  await one.machine.append(measurement("a"))
  line = await one.join({ admin: site.admin() })
}, 120_000)
afterAll(async () => {
  line?.close()
  await site?.stop()
  await Promise.all([one?.stop(), thief?.stop()])
}, 60_000)

/** The machine boots, measures what it always did, and answers: what the attack before left is past. */
async function boot(): Promise<void> {
  line.close()
  await cycle(one.machine.tpm, "reboot")
  one.machine.forget()
  await one.machine.append(await one.machine.epoch("boot"))
  await one.machine.append(measurement("a"))
  line = await Line.dial(site.port)
  await one.prove(line, options)
  expect(await see()).toMatchObject({ state: "warning", stale: false, connected: true })
}

/** Asked by a person, the machine answers on its line, with `wrong` in its evidence. */
async function asked(wrong: Options = {}): Promise<void> {
  const asking = site.admin().call("challenge", { attester: one.attester, depth: "quick" })
  const challenge = await line.next("challenge")
  await submit(line, challenge.id, await one.answer(line, challenge, { ...options, ...wrong }))
  await asking
  await line.any()
}

/** PCR 23 as if only `subjects` had ever been measured in this epoch. */
async function rewrite(...subjects: readonly string[]): Promise<void> {
  await one.machine.tpm.tool("tpm2_pcrreset", "23")
  one.machine.forget()
  await one.machine.append(await one.machine.epoch("boot"))
  for (const each of subjects) await one.machine.append(measurement(each))
}

describe("an answer", () => {
  test("replay: what answered a challenge once answers no other", async () => {
    const challenge = await hello((line = await Line.dial(site.port)), one.machine)
    const recorded = await one.answer(line, challenge)
    await submit(line, challenge.id, recorded)
    await line.next("acknowledged")
    const { fresh } = await see()
    const other = await Line.dial(site.port)
    await submit(other, (await hello(other, one.machine)).id, recorded)
    await other.next("refused")
    await other.ending()
    expect(await see()).toMatchObject({ state: "warning", fresh, refused: expect.arrayContaining(["nonce.mismatch"]) })
  })

  test("relay between two machines (cuckoo): another machine's TPM answers for this one, or this one's answer comes by another channel", async () => {
    const { fresh } = await see()
    for (const [made, id] of [
      [
        (by: Line, challenge: Awaited<ReturnType<typeof hello>>) => answer(thief.machine, by, challenge, {}),
        "evidence.key-unknown",
      ],
      [
        (_: Line, challenge: Awaited<ReturnType<typeof hello>>) =>
          answer(one.machine, line, challenge, { sequence: 900n }),
        "channel.mismatch",
      ],
    ] as const) {
      const other = await Line.dial(site.port)
      const challenge = await hello(other, one.machine)
      await submit(other, challenge.id, await made(other, challenge))
      await other.next("refused")
      await other.ending()
      expect(await see()).toMatchObject({ state: "warning", fresh, refused: expect.arrayContaining([id]) })
    }
  })
})

describe("enrolment", () => {
  /** Why this identity is let in nowhere. */
  async function refusal(change: Partial<Identity>): Promise<string> {
    const other = await Line.dial(site.port)
    const { token } = readInvitation(await invited())
    const identity = { ...identityOf(thief.machine), ...change }
    await other.send({ type: "enrol", invitation: toBase64(token), identity, label: "thief" })
    return (await other.ending()).reason
  }

  test("a second TPM under an old identity: neither the name nor the EK is another's to take", async () => {
    const { attester, ekPublic } = identityOf(one.machine)
    expect(await refusal({ attester })).toContain("not its EK's")
    const other = await Line.dial(site.port)
    const { token } = readInvitation(await invited())
    await other.send({
      type: "enrol",
      invitation: toBase64(token),
      identity: { ...identityOf(thief.machine), attester, ekPublic },
      label: "t",
    })
    await other.next("credential")
    await other.send({ type: "activated", secret: toBase64(new Uint8Array(32)), audit: null })
    expect((await other.ending()).reason).toContain("not in one TPM")
    expect(await see()).toMatchObject({ number: 1, state: "warning" })
  })

  test.each([
    [
      "in the wrong hierarchy",
      "o",
      "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign",
      "not the endorsement hierarchy",
    ],
    ["that signs anything", "e", "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign", "lacks restricted"],
    ["that may leave its TPM", "e", "sensitivedataorigin|userwithauth|noda|sign", "lacks"],
  ])("an AK %s is refused by name", async (_, hierarchy, attributes, why) => {
    const { tpm } = thief.machine
    const file = (name: string): Uint8Array => thief.machine.file(name)
    const files = ["-c", "x.ctx", "--creation-data", "x.data", "-d", "x.hash", "-t", "x.ticket"]
    await tpm.tool(
      "tpm2_createprimary",
      "-Q",
      "-C",
      hierarchy,
      "-g",
      "sha256",
      "-G",
      "ecc256:ecdsa-sha256:null",
      "-a",
      attributes,
      ...files,
    )
    await tpm.tool("tpm2_flushcontext", "-t")
    await tpm.tool("tpm2_readpublic", "-Q", "-c", "x.ctx", "-o", "x.pub")
    await tpm.tool("tpm2_flushcontext", "-t")
    const keys = ["-C", "x.ctx", "-c", "x.ctx", "-d", "x.hash", "-t", "x.ticket", "-g", "sha256"]
    await tpm.tool("tpm2_certifycreation", ...keys, "-o", "x.sig", "--attestation", "x.attest")
    await tpm.tool("tpm2_flushcontext", "-t")
    const data = file("x.data")
    const creation = {
      data: toBase64(data[0] === 0 && data.length === 2 + (data[1] ?? 0) ? data.subarray(2) : data),
      attest: toBase64(file("x.attest")),
      signature: toBase64(file("x.sig")),
    }
    expect(await refusal({ akPublic: toBase64(file("x.pub").subarray(2)), creation })).toContain(why)
  })

  test("C10 C15 an invitation that is bound to one EK lets in no other", async () => {
    const accept = { ek: one.attester, by: "Olga", reason: "its delivery note" }
    const bound = { by: "Olga", purpose: "attester", name: "gpu-1", lifetimeSeconds: null, accept } as const
    const { invitation } = await site.admin().call("invite", bound)
    const other = await Line.dial(site.port)
    const { token } = readInvitation(invitation)
    await other.send({
      ...{ type: "enrol", invitation: toBase64(token), identity: identityOf(thief.machine), label: "thief" },
    })
    expect((await other.ending()).reason).toBe("the invitation is for another TPM")
  })

  test("an invitation used twice lets in one machine", async () => {
    const invitation = await invited()
    const used = await enrol(one.machine, invitation)
    used.close()
    await expect(enrol(thief.machine, invitation)).rejects.toThrow("goodbye")
    expect((await site.admin().call("attesters", { after: "" })).attesters.map(({ attester }) => attester)).toEqual([
      one.attester,
    ])
    await boot()
  })
})

describe("the log and its PCR", () => {
  test("PCR 23 reset and rewritten without audit: what was shown once is missed, and of what nobody saw it is said that nobody could", async () => {
    await boot()
    await one.machine.append(measurement("bad"))
    await rewrite("a")
    await asked()
    expect(await see()).toMatchObject({ state: "warning", found: expect.arrayContaining(["audit.unavailable"]) })
    expect(await site.explain(one.attester)).toMatch(
      /audit\.unavailable .*of a reset of the log's PCR only what was seen before can tell/,
    )
    await one.machine.append(measurement("bad"))
    await asked()
    await rewrite("a")
    await asked()
    expect(await see()).toMatchObject({ state: "contraindicated", found: expect.arrayContaining(["log.rewritten"]) })
  })

  test("M7 what was quoted and held back tells, when it comes, that the log has shrunk since", async () => {
    await boot()
    await one.machine.append(measurement("bad"))
    const report = await one.report()
    await rewrite("a")
    await asked()
    expect(await see()).toMatchObject({ state: "warning" })
    await submit(line, null, report)
    expect(await line.next("acknowledged")).toMatchObject({ tier: "contraindicated" })
    expect(await see()).toMatchObject({ state: "contraindicated" })
  })

  test("a forged boot id makes no new epoch, and a reset that keeps the boot id is told", async () => {
    await boot()
    expect((await see()).found).toContain("epoch.boot-unchanged")
    await rewrite("b")
    await asked({ alterBody: body => ({ ...body, boot: "another" }) })
    expect(await see()).toMatchObject({ state: "contraindicated", found: expect.arrayContaining(["log.rewritten"]) })
  })

  test("a foreign extend: evidence is refused until the next boot", async () => {
    await boot()
    const { fresh } = await see()
    await one.machine.tpm.tool("tpm2_pcrextend", `23:sha256=${"11".repeat(32)},sha384=${"11".repeat(48)}`)
    await asked()
    expect(await see()).toMatchObject({ fresh, refused: expect.arrayContaining(["log.replay"]) })
  })

  test("a log truncated, reordered, edited, or spliced from another boot", async () => {
    const earlier = one.machine.log()
    await boot()
    await one.machine.append(measurement("b"))
    await asked()
    const { fresh } = await see()
    const lines = Buffer.from(one.machine.log()).toString("utf8").split("\n").slice(0, -1)
    const [first = "", second = "", ...rest] = lines
    const logs = {
      truncated: lines.slice(0, -1),
      reordered: [first, ...rest, second],
      edited: [first.replace(/"reason":"boot"|boot/, "join"), second, ...rest],
      spliced: [...Buffer.from(earlier).toString("utf8").split("\n").slice(0, 1), second, ...rest],
    }
    for (const [how, given] of Object.entries(logs)) {
      await asked({ log: Buffer.from(given.map(each => `${each}\n`).join("")) })
      const { refused, fresh: now } = await see()
      expect(
        refused.some(id => /^log\.(?:replay|malformed|epoch)$/.test(id)),
        `${how}: ${refused.join(", ")}`,
      ).toBe(true)
      expect(now, how).toBe(fresh)
    }
  })

  test("PCR 23 reset and rewritten with audit, and the audit digest emptied by somebody else's read", async () => {
    await armAudit(one.machine)
    options = { audited: true }
    await boot()
    const emptied = (): Promise<string> =>
      one.machine.tpm.tool(
        "tpm2_getcommandauditdigest",
        "-c",
        akHandle,
        "-g",
        "sha256",
        "-m",
        "o.attest",
        "-s",
        "o.sig",
      )
    for (const afterwards of [async () => "", emptied]) {
      await one.machine.append(measurement("bad"))
      await rewrite("a")
      await afterwards()
      await asked()
      const { state, found } = await see()
      expect({ state, found }).toMatchObject({
        state: "contraindicated",
        found: expect.arrayContaining(["pcr.reset-possible"]),
      })
      expect(found).not.toContain("log.rewritten")
      await boot()
      expect((await see()).found).not.toContain("pcr.reset-possible")
    }
    expect(await site.explain(one.attester)).not.toContain("pcr.reset-possible")
  }, 60_000)
})

test("a restored collector database has forgotten what contradicted the machine, and says so of each until it boots", async () => {
  await boot()
  await one.machine.append(measurement("b"))
  const store = join(site.folder, "state/collector.db")
  await site.meanwhile(() => copyFileSync(store, join(site.folder, "backup.db")))
  line = await Line.dial(site.port)
  await one.prove(line, options)
  await site.meanwhile(() => {
    for (const rest of ["-wal", "-shm"]) rmSync(store + rest, { force: true })
    copyFileSync(join(site.folder, "backup.db"), store)
  })
  expect(site.said()).toContain("came out of a backup")
  line = await Line.dial(site.port)
  await one.prove(line, options)
  expect((await see()).found).toContain("store.restored")
  expect(await site.explain(one.attester)).toMatch(/store\.restored.*reboot the machine/)
  await boot()
  await boot()
  expect((await see()).found).not.toContain("store.restored")
}, 60_000)

describe("a small collector", () => {
  let small: Site
  beforeAll(async () => {
    small = await openSite(
      "challenge = { deadline = 3, stale = 600 }\nlimits = { connections = 200, accepts = 1000, greeting = 1 }",
    )
  }, 60_000)
  afterAll(() => small.stop(), 30_000)

  test("a late answer is history, and makes nothing fresher", async () => {
    const slow = thief
    await slow.machine.append(measurement("a"))
    const own = await slow.join({ admin: small.admin() })
    const before = await small.see(slow.attester)
    const asking = small.admin().call("challenge", { attester: slow.attester, depth: "quick" })
    const challenge = await own.next("challenge")
    const late = await slow.answer(own, challenge)
    expect(await asking).toMatchObject({ kind: "unanswered" })
    await submit(own, challenge.id, late)
    await own.next("acknowledged")
    expect(await small.see(slow.attester)).toMatchObject({ fresh: before.fresh, state: before.state })
    own.close()
  }, 60_000)

  test("10,000 connections that never speak are bounded and gone after the deadline, and who was there stays", async () => {
    const own = await Line.dial(small.port)
    await thief.prove(own)
    const silent: Socket[] = []
    const port = small.inner()
    for (let batch = 0; batch < 100; batch++) {
      const opened = Array.from({ length: 100 }, () => connect({ port, host: "127.0.0.1", localAddress: "127.0.0.3" }))
      for (const each of opened) each.on("error", () => undefined).resume()
      silent.push(...opened)
      await Promise.all(
        opened.map(each => new Promise(resolve => each.once("connect", resolve).once("close", resolve))),
      )
    }
    expect(silent).toHaveLength(10_000)
    while (silent.some(each => !each.destroyed)) await delay(20)
    const asking = small.admin().call("challenge", { attester: thief.attester, depth: "quick" })
    const challenge = await own.next("challenge")
    await submit(own, challenge.id, await thief.answer(own, challenge))
    expect(await asking).toMatchObject({ kind: "judged" })
    expect(small.said()).not.toContain("fault")
    own.close()
  }, 60_000)
})
