/**
 * Do the commands that speak to others work with the real others? One software TPM, one collector and one agent as processes;
 * each command is run as a person would run it.
 */
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:tls"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest"
import { exits } from "../cli/exit.ts"
import { tlsIdentity } from "../collector/tls.ts"
import { type Service, startService } from "../scripts/start/child.ts"
import { type House, openHouse, writeConfigurations } from "../scripts/start/house.ts"
import { makeModel } from "../scripts/start/model.ts"
import { endOf, launchTpm, manufactureTpm } from "../scripts/swtpm.ts"
import { record } from "./recorder.ts"

let folder = ""
let house: House
let tpm: Awaited<ReturnType<typeof launchTpm>>
const services: Service[] = []
const place = (name: string): string => join(folder, name)
const office = (): string[] => ["--config", house.collector]
const own = (): string[] => ["--config", house.agent]

/** Runs a command that must end well, and gives its JSON. */
async function json(argv: readonly string[], options: Parameters<typeof record>[1] = {}) {
  const { exit, out, err } = await record([...argv, "--json"], options)
  expect({ exit, err }).toEqual({ exit: 0, err: "" })
  return JSON.parse(out)
}

let attester = ""
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "cli-wire-"))
  house = openHouse()
  await manufactureTpm(house.tpm, { endorsed: true, banks: "sha256", authority: house.authority })
  tpm = await launchTpm(house.tpm)
  await makeModel(join(house.stage, "model"), 2)
  writeConfigurations(house, { name: "model", path: join(house.stage, "model") })
  appendFileSync(house.collector, "limits = { asks = 600 }\n")
  services.push(startService("collector", ["collector", ...office()], place("collector.log")))
  services.push(startService("agent", ["agent", ...own()], place("agent.log")))
  const patiently = { timeout: 60_000, interval: 100 }
  await vi.waitFor(async () => {
    const { agent, collector } = JSON.parse((await record(["status", ...both(), "--json"])).out)
    if (agent === "absent" || collector === "absent") throw new Error("not there yet")
  }, patiently)
  const { invitation } = await json(["invite", "--by", "Ada Lovelace", "--machine", "w1", ...office()])
  ;({ attester } = await json(["join", ...own()], { input: `${invitation}\n` }))
  await vi.waitFor(async () => {
    const { exit } = await record(["status", attester, "--collector-config", house.collector])
    expect(exit).toBe(exits.good)
  }, patiently)
}, 180_000)

const both = (): string[] => ["--agent-config", house.agent, "--collector-config", house.collector]

afterAll(async () => {
  for (const each of services.toReversed()) await each.stop()
  tpm.kill("SIGTERM")
  await endOf(tpm)
  house.remove()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

describe("the operator's commands", () => {
  test("status shows agent, collector and fleet", async () => {
    const { exit, out } = await record(["status", ...both()])
    expect(exit).toBe(exits.good)
    expect(out).toContain(attester)
    expect(out).toMatch(/connection {2}connected/)
    expect(out).toMatch(/warning .* fresh, connected/)
  })

  test("doctor finds everything in order", async () => {
    const { checks } = await json(["doctor", ...own()])
    const named = ["node", "configuration", "weights model", "broker", "agent", "room", "collector", "clock"]
    expect(checks.map((each: { what: string; verdict: string }) => [each.what, each.verdict])).toEqual(
      named.map(what => [what, "ok"]),
    )
  })

  test("challenge, record, challenge again: as recorded", async () => {
    expect((await json(["challenge", ...office()])).tier).toBe("warning")
    const { reference } = await json(["reference", "record", "--by", "Ada Lovelace", ...office()])
    const again = await json(["challenge", attester.slice(0, 12), ...office()])
    expect(again.reference).toBe(reference)
    const weights = again.components.find((each: { name: string }) => each.name === "weights")
    expect(weights.says).toBe("as recorded, approved by nobody")
  })

  test("what was exported verifies without the collector, against the reference that it shows", async () => {
    await json(["export", "--out", place("bundle"), ...office()])
    const shown = await record(["reference", "show", ...office()])
    expect(shown.exit).toBe(exits.good)
    writeFileSync(place("reference.json"), shown.out)
    const pinned = ["--ak", place("bundle/ak.pub"), "--attester", attester, "--key", place("bundle/evidence-key.pem")]
    const compared = ["--history", "--reference", place("reference.json")]
    const verdict = await json(["verify", place("bundle"), ...pinned, ...compared])
    expect(verdict).toMatchObject({ authentic: true, tier: "warning", freshness: "not checked", attesterPinned: true })
  })

  test("an invitation that was revoked lets nobody in", async () => {
    const { id, invitation } = await json(["invite", "--by", "Ada", ...office()])
    expect((await record(["revoke", id, "--by", "Ada", ...office()])).exit).toBe(exits.good)
    const { exit, err } = await record(["join", ...own()], { input: invitation })
    expect(exit).toBe(exits.failed)
    expect(err).toContain("does not let this machine in")
  })

  test("C14 a new attestation key counts once it is enrolled, and the one before stays where it is not", async () => {
    const enrolled = async () => JSON.parse((await record(["status", attester, ...remote, "--json"])).out).enrolled
    const remote = ["--collector-config", house.collector]
    const before = await enrolled()
    const { id, invitation: revoked } = await json(["invite", "--by", "Ada", ...office()])
    await record(["revoke", id, "--by", "Ada", ...office()])
    expect(await record(["rotate", ...own()], { input: revoked })).toMatchObject({ exit: exits.failed })
    await proven()
    expect((await enrolled()).ak).toBe(before.ak)

    const { invitation } = await json(["invite", "--by", "Ada", ...office()])
    // evidence that is on its way just then makes it say: later
    const rotated = () => json(["rotate", ...own()], { input: invitation })
    expect((await vi.waitFor(rotated, { timeout: 60_000, interval: 300 })).attester).toBe(attester)
    await proven()
    const after = await enrolled()
    expect(after).toMatchObject({ number: before.number + 1 })
    expect(after.ak).not.toBe(before.ak)
  })

  /** The agent is connected, and the collector's question answered under the key that is enrolled. */
  const proven = () =>
    vi.waitFor(async () => expect((await json(["challenge", ...office()])).tier).toBe("warning"), {
      timeout: 60_000,
      interval: 300,
    })

  test("clear needs a name and a reason", async () => {
    expect((await record(["clear", attester, "--by", "Ada", ...office()])).exit).toBe(exits.misuse)
    const cleared = await json(["clear", attester, "--by", "Ada", "--reason", "a test", ...office()])
    expect(cleared).toMatchObject({ attester, was: "warning" })
  })
})

describe("file to file", () => {
  test("measure answers a nonce, verify checks it, openssl and sha256sum agree", async () => {
    const nonce = "5a".repeat(32)
    await json(["measure", "--out", place("answer"), "--nonce", nonce, ...own()])
    const pinned = [place("answer"), "--ak", place("answer/ak.pub"), "--attester", attester]
    expect((await json(["verify", ...pinned, "--nonce", nonce])).freshness).toBe("answers the nonce")
    expect((await record(["verify", ...pinned, "--nonce", "5b".repeat(32)])).exit).toBe(exits.unauthentic)
    const { out } = await record(["show", place("answer")])
    const sums = execFileSync("sh", ["-c", "sha256sum * | sha256sum"], { cwd: join(house.stage, "model") })
    expect(out).toContain(`sha256:${String(sums).slice(0, 64)}`)
  })

  test("a report shows no time, and says so", async () => {
    await json(["measure", "--out", place("report"), ...own()])
    const pinned = [place("report"), "--ak", place("report/ak.pub")]
    expect((await record(["verify", ...pinned])).exit).toBe(exits.misuse)
    expect((await record(["verify", ...pinned, "--nonce", "5a".repeat(32)])).out).toContain("evidence.kind")
    expect((await record(["verify", ...pinned, "--history"])).out).toContain("not checked")
  })
})

describe("an outside verifier", () => {
  let invitation = ""
  beforeAll(async () => {
    ;({ invitation } = await json(["invite", "--by", "Ada", "--verifier", "auditor", ...office()]))
    writeFileSync(place("invitation"), invitation)
  })
  const ask = (...more: string[]): string[] => ["challenge", "--token-file", place("invitation"), ...more]

  test("gets an answer to its own nonce that only this TPM could make", async () => {
    const kept = ["--out", place("kept"), "--known-from", "the delivery note", "--reference", place("reference.json")]
    const { exit, out, err } = await record([...ask("--attester", attester), ...kept, "--json"])
    expect(exit).toBe(exits.good)
    const verdict = JSON.parse(out)
    expect(verdict).toMatchObject({
      authentic: true,
      tier: "warning",
      collectorSays: { endorsement: expect.stringMatching(/^unendorsed/) },
    })
    const ids = verdict.findings.map((each: { id: string }) => each.id)
    expect(ids).toContain("channel.not-checkable")
    expect(ids).toContain("history.not-checked")
    expect(ids).not.toContain("machine.collectors-word")
    const again = /assay (verify .*)/.exec(err)?.[1]?.split(" ") ?? []
    expect((await record(again)).exit).toBe(exits.good)
    const withoutSecret = again.slice(0, -2)
    expect(await record(withoutSecret)).toMatchObject({ exit: exits.misuse, err: expect.stringContaining("--secret") })
    const otherSecret = [...withoutSecret, "--secret", "00".repeat(32)]
    expect(await record(otherSecret)).toMatchObject({ exit: exits.unauthentic })
  })

  test("M16: a name that only the collector told is the collector's word", async () => {
    const { exit, out } = await record(ask("--attester", attester))
    expect(exit).toBe(exits.good)
    expect(out).toContain("machine.collectors-word")
  })

  test("M17: an answer by another AK than the pinned one is not authentic", async () => {
    const other = ["--ak", "test/golden/files/answer/ak.pub"]
    const { exit, out } = await record([...ask("--attester", attester), ...other])
    expect(exit).toBe(exits.unauthentic)
    expect(out).toContain("ak.name")
  })

  test("of a machine that nobody enrolled there is no answer", async () => {
    expect(await record(ask("--attester", `000b${"00".repeat(32)}`))).toMatchObject({
      exit: exits.later,
      err: expect.stringContaining("no attester of this name"),
    })
  })

  test("a token that admits nobody is refused", async () => {
    const { invitation: machines } = await json(["invite", "--by", "Ada", ...office()])
    writeFileSync(place("wrong"), machines)
    const { exit, err } = await record(["challenge", "--token-file", place("wrong"), "--attester", attester])
    expect(exit).toBe(exits.failed)
    expect(err).toContain("the token is unknown")
  })

  test("nothing is said to a collector with another key", async () => {
    const heard: Buffer[] = []
    const { port, server } = await listener(heard)
    const { exit, err } = await record([...ask("--attester", attester), "--collector", `127.0.0.1:${port}`])
    server.close()
    expect(exit).toBe(exits.unauthentic)
    expect(err).toContain("another key than the pinned one")
    expect(Buffer.concat(heard).length).toBe(0)
  })

  test("a token alone needs --collector and --pin; with the listener's own pin it is spoken to", async () => {
    writeFileSync(place("token"), `${invitation.split(":").at(-1)}\n`)
    const alone = ["challenge", "--token-file", place("token"), "--attester", attester]
    expect((await record(alone)).exit).toBe(exits.misuse)
    const [, host, port, pin] = invitation.split(":")
    const { exit } = await record([...alone, "--collector", `${host}:${port}`, "--pin", String(pin)])
    expect(exit).toBe(exits.good)
  })

  test("nobody there is a thing that is missing", async () => {
    const { exit } = await record([...ask("--attester", attester), "--collector", "127.0.0.1:1"])
    expect(exit).toBe(exits.missing)
  })
})

describe("when something is not as it must be", () => {
  test("no collector on this machine: 69, and how to start one", async () => {
    const toml = `runtime = "${place("nowhere")}"\n`
    writeFileSync(place("empty.toml"), toml)
    expect(await record(["invite", "--by", "Ada", "--config", place("empty.toml")])).toMatchObject({
      exit: exits.missing,
      err: expect.stringContaining("assay collector"),
    })
  })

  test("an unknown key: 78, and the nearest known one", async () => {
    writeFileSync(place("typo.toml"), `statee = "/tmp/x"\n`)
    expect(await record(["agent", "--config", place("typo.toml")])).toMatchObject({
      exit: exits.configuration,
      err: expect.stringMatching(/typo\.toml: unknown key statee\nassay: hint: did you mean state\?/),
    })
  })

  test("a doctor says what is missing, and where", async () => {
    writeFileSync(
      place("sick.toml"),
      `state = "${place("s")}"\nruntime = "${place("r")}"\n[[weights]]\npath = "/no/such"\n`,
    )
    const { exit, out } = await record(["doctor", "--config", place("sick.toml"), "--json"])
    expect(exit).toBe(exits.missing)
    const verdicts = new Map(
      JSON.parse(out).checks.map((each: { what: string; verdict: string }) => [each.what, each.verdict]),
    )
    expect(verdicts.get("weights /no/such")).toBe("missing")
    expect(verdicts.get("agent")).toBe("note")
  })

  test("an invitation that is none is told without being repeated", async () => {
    const { exit, err } = await record(["join", ...own()], { input: "hunter2" })
    expect(exit).toBe(exits.failed)
    expect(err).not.toContain("hunter2")
  })
})

/** A TLS server with a key of its own that keeps what it hears. */
async function listener(heard: Buffer[]): Promise<{ port: number; server: Server }> {
  const { options, pin } = tlsIdentity(mkdtempSync(join(folder, "tls-")))
  expect(createHash("sha256").update(pin).digest()).toHaveLength(32)
  const server = createServer(options, socket => {
    socket.on("data", chunk => heard.push(chunk)).on("error", () => undefined)
  })
  await new Promise<void>(resolve => server.listen(0, "127.0.0.1", () => resolve()))
  const address = server.address()
  return { port: typeof address === "object" && address ? address.port : 0, server }
}

test("what agents and collector said is nothing that a person must worry about", () => {
  expect(readFileSync(place("agent.log"), "utf8") + readFileSync(place("collector.log"), "utf8")).not.toMatch(/fault/)
})
