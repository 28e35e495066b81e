/** Does the whole agent, on a real software TPM through a real broker, measure, remember, join, report, answer and end? */
import { execFileSync } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest"
import { Attester } from "../agent/attester.ts"
import { spawnBroker, spawnDefaults, type SpawnedBroker } from "../agent/broker/spawn.ts"
import { type Configuration, readConfiguration } from "../agent/config.ts"
import { Hasher } from "../agent/hash/hasher.ts"
import { Host } from "../agent/host.ts"
import { joinCollector, measureOnce, runAgent } from "../agent/main.ts"
import { onceFiles } from "../agent/once.ts"
import { readLog, recordedIn } from "../agent/record.ts"
import { agentVerbs, type Status } from "../agent/verbs.ts"
import { preAuthentication, readEnvelope, toPem } from "../attestation/protocol/dsse.ts"
import { evidenceDigest } from "../attestation/protocol/evidence.ts"
import { writeInvitation } from "../attestation/protocol/invitation.ts"
import { qualifyingData } from "../attestation/protocol/qualifying-data.ts"
import { makeCredential } from "../attestation/tcg/credential.ts"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import { verify } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { type Caller, openCaller } from "../local/call.ts"
import { nobody } from "../local/supervisor.ts"
import { on } from "./hosts.ts"
import { type PeerCollector, type PeerConnection, startPeer } from "./peer-collector.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const folder = mkdtempSync(join(tmpdir(), "assay-agent-"))
let tpm: Swtpm
beforeAll(async () => {
  tpm = await startSwtpm()
})
afterAll(async () => {
  await tpm.stop()
  rmSync(folder, { recursive: true, force: true })
})

const never = new AbortController().signal
/** What changes when what is under test changes: the model called `m`. */
const machine = join(folder, "machine")
const write = (content: string): void => {
  mkdirSync(machine, { recursive: true })
  writeFileSync(join(machine, "w"), content)
}

describe("measuring", () => {
  let broker: SpawnedBroker
  let one: Attester
  let both: Attester
  beforeAll(() => {
    const places = { state: join(folder, "measuring"), socket: join(folder, "measuring.sock"), tcti: tpm.tcti }
    broker = spawnBroker({ ...spawnDefaults, ...places, softwareTpm: true, pause: 10 })
    write("one")
    one = attesterOf(["m"])
    both = attesterOf(["m", "n"])
  })
  afterAll(() => Promise.all([one.close(), both.close(), broker.close()]))

  const attesterOf = (names: readonly string[], hasher = new Hasher(), host = new Host(machine)): Attester => {
    const tpmSettings = {
      broker: "own",
      tcti: "",
      ek_certificate: "",
      software: true,
      pcr: 23 as const,
      pcrs: [23],
      deadline: 10,
    }
    const configuration = {
      weights: names.map(name => ({ name, path: "/w", links: "own" as const })),
      tpm: tpmSettings,
      state: machine,
    }
    return new Attester({ broker, host, configuration, now: Date.now }, hasher)
  }
  const appendedBy = async (attester: Attester): Promise<number> => (await attester.measure("quick", never)).appended
  const newest = async (subject: string): Promise<string> => {
    const recorded = recordedIn((await readLog(broker, "nothing")).bytes)
    return (recorded.get(`weights\n${subject}`) ?? []).join("\n")
  }

  it("appends everything once, and then what changed, also after a start", async () => {
    expect(await appendedBy(one)).toBeGreaterThan(10)
    expect(await appendedBy(one)).toBe(0)
    write("two")
    expect(await appendedBy(both)).toBe(2)
    expect(await newest("m")).toContain(createHash("sha256").update("two").digest("hex"))
    expect(await appendedBy(both)).toBe(0)
  })

  it("tells what is found no more, once, and what is there again", async () => {
    expect(await appendedBy(one)).toBe(1)
    expect(await newest("n")).toContain('"state":"absent","facts":[["absent","found earlier in this epoch"]]')
    expect(await appendedBy(one)).toBe(0)
    expect(await appendedBy(both)).toBe(1)
    expect(await newest("n")).toContain('"state":"present"')
    expect(await appendedBy(one)).toBe(1)
  })

  it("that is told to end does not wait for a program that keeps it", async () => {
    const tree = join(folder, "slow")
    cpSync(on("workstation-nvidia"), tree, { recursive: true, verbatimSymlinks: true })
    const [program, begun] = [join(tree, "usr/bin/nvidia-smi"), join(folder, "begun")]
    mkdirSync(dirname(program), { recursive: true })
    writeFileSync(program, `#!/bin/sh\necho $$ > ${begun}.new; mv ${begun}.new ${begun}; exec sleep 60\n`, {
      mode: 0o755,
    })
    const slow = attesterOf([], new Hasher(), new Host(tree, "run"))
    const end = new AbortController()
    const measuring = slow.measure("quick", end.signal).catch(error => error.message)
    while (!existsSync(begun)) await delay(10)
    end.abort(new Error("told to end"))
    expect(await measuring).toBe("told to end")
    const keeps = Number(readFileSync(begun, "utf8"))
    expect(process.kill(keeps, 0)).toBe(true) // it runs still
    process.kill(keeps, "SIGKILL")
    await slow.close()
  })

  it("a full reading keeps no other question waiting, and its two records stand around it", async () => {
    const slow = attesterOf(["m"], new Hasher({ bytesPerSecond: 40 << 20 }))
    try {
      writeFileSync(join(machine, "w"), Buffer.alloc(100 << 20, 1))
      await slow.measure("quick", never)
      const nonce = Buffer.alloc(32, 5).toString("base64")
      const ended: string[] = []
      const reading = slow.hashAll(nonce, never).then(() => ended.push("the reading"))
      while (slow.hashing === "nothing") await delay(5)
      const asked = {
        kind: "answer",
        nonce: Buffer.alloc(32, 6).toString("base64"),
        channel: "",
        credential: null,
      } as const
      const quick = await slow.answer({ asked, audience: "c", depth: "quick" }, never)
      ended.push("the answer")
      await reading
      expect(ended).toEqual(["the answer", "the reading"])
      const records = (log: Uint8Array): (string | undefined)[] =>
        Buffer.from(log)
          .toString("utf8")
          .match(/assay\.hash-(begun|done)\.v1/g) ?? []
      expect(records(quick.log)).toEqual(["assay.hash-begun.v1"])
      const after = await slow.answer({ asked, audience: "c", depth: "quick" }, never)
      expect(records(after.log)).toEqual(["assay.hash-begun.v1", "assay.hash-done.v1"])
    } finally {
      await slow.close()
      write("two")
    }
  }, 60_000)

  it("begins anew with a new epoch, and the evidence is of it", async () => {
    const asked = { kind: "report", after: null } as const
    const before = await one.answer({ asked, audience: "c", depth: "quick" }, never)
    await tpm.restart()
    await broker.call("identity", {}).catch(() => undefined)
    const after = await answeredAgain(one)
    const { identity } = await broker.call("identity", {})
    const keys = {
      attester: identity.attester,
      ak: fromBase64(identity.akPublic),
      evidenceKey: fromBase64(identity.evidenceKey),
    }
    const outcome = verify(
      { envelope: after.envelope, logs: new Map([["assay", after.log]]) },
      { keys, asked: { kind: "nothing" }, pcrs: [23], logPcr: 23, audience: "anyone", now: Date.now() },
    )
    if (!outcome.authentic) throw new Error(JSON.stringify(outcome.findings))
    expect(outcome.evidence.events[0]).toMatchObject({ type: "assay.epoch.v1", reason: "boot" })
    expect(recordedIn(after.log).size).toBe(recordedIn(before.log).size - 1) // "n" was only told as gone before
  })

  /** The broker ends with its TPM and is started anew meanwhile. */
  async function answeredAgain(attester: Attester) {
    const asked = { kind: "report", after: null } as const
    for (let i = 0; ; i++)
      try {
        return await attester.answer({ asked, audience: "c", depth: "quick" }, never)
      } catch (error) {
        if (i === 5) throw error
      }
  }
})

describe("an agent", () => {
  const state = join(folder, "state")
  const configuration = (more = ""): Configuration =>
    readConfiguration(
      [
        `state = "${state}"`,
        `runtime = "${join(folder, "run")}"`,
        `tpm.tcti = "${tpm.tcti}"`,
        "tpm.software = true",
        "tpm.pcrs = [0, 7, 23]",
        more,
        `[[weights]]\nname = "m"\npath = "${join(machine, "w")}"`,
      ].join("\n"),
      {},
    )

  let peer: PeerCollector
  let agent: { readonly end: () => Promise<void>; readonly ended: Promise<void> } | undefined
  beforeAll(async () => {
    await tpm.restart() // the broker above had PCR 23 to itself
    peer = await startPeer(folder)
  })
  afterEach(() => agent?.end())
  afterAll(() => peer.stop())

  function start(more = ""): void {
    const over = new AbortController()
    const ended = runAgent(configuration(more), {
      signal: over.signal,
      now: Date.now,
      random: () => 0.01,
      supervisor: nobody,
      invitation: "none",
    })
    agent = {
      ended,
      end: async () => {
        over.abort()
        await ended.catch(() => undefined)
      },
    }
  }

  async function ask<T>(use: (caller: Caller<typeof agentVerbs>) => Promise<T>): Promise<T> {
    for (let i = 0; ; i++) {
      const caller = await openCaller(join(folder, "run/agent.sock"), agentVerbs, 30_000).catch(error => {
        if (i > 500) throw error
      })
      if (caller) return use(caller).finally(() => caller.close())
      await new Promise(resolve => setTimeout(resolve, 20))
    }
  }
  const status = (): Promise<Status> => ask(caller => caller.call("status", {}))

  async function until(holds: (status: Status) => boolean): Promise<Status> {
    for (let i = 0; i < 500; i++) {
      const now = await status()
      if (holds(now)) return now
      await new Promise(resolve => setTimeout(resolve, 20))
    }
    throw new Error(`never: ${String(holds)}`)
  }

  /** The collector's part of joining. */
  async function admit(connection: PeerConnection): Promise<void> {
    const { identity } = await connection.next("enrol")
    const secret = new Uint8Array(randomBytes(32))
    const chance = { kind: "rsa", seed: randomBytes(64), mask: randomBytes(64) } as const
    const [ek, ak] = [readPublic(fromBase64(identity.ekPublic)), readPublic(fromBase64(identity.akPublic))]
    const { idObject, encryptedSecret } = makeCredential(ek, nameOf(ak), secret, chance)
    const credential = { idObject: toBase64(idObject), encryptedSecret: toBase64(encryptedSecret) }
    connection.say({ type: "credential", credential })
    expect((await connection.next("activated")).secret).toBe(toBase64(secret))
    connection.say({
      type: "enrolled",
      attester: identity.attester,
      resultKey: toBase64(new Uint8Array(32)),
      audience: "collector-7",
    })
  }

  async function acknowledge(connection: PeerConnection): Promise<string | null> {
    const { message, envelope } = await connection.evidence()
    const evidence = evidenceDigest(fromBase64(readEnvelope(envelope).payload))
    connection.say({ type: "acknowledged", evidence, tier: "warning", nextSeconds: 60 })
    return message.challenge
  }

  /** Acknowledges what comes, up to the evidence for this challenge, or (null) up to a report. */
  async function acknowledgeUntil(connection: PeerConnection, wanted: string | null): Promise<void> {
    while ((await acknowledge(connection)) !== wanted);
  }

  const invitation = (): string =>
    writeInvitation({ host: "127.0.0.1", port: peer.port, pin: peer.pin, token: new Uint8Array(32) })

  it("says how it stands, measures when asked, is alone, and leaves nothing running", async () => {
    start()
    const first = await status()
    expect(first).toMatchObject({ version: "0.1.0", collector: null, connection: { state: "not enrolled" } })
    const { log, appended } = await ask(caller => caller.call("measure", { depth: "full" }))
    expect(log.records).toBeGreaterThanOrEqual(appended + 1)
    const second = runAgent(configuration(), {
      signal: never,
      now: Date.now,
      random: () => 0,
      supervisor: nobody,
      invitation: "none",
    })
    await expect(second).rejects.toThrow("is served already")
    await agent?.end()
    await agent?.ended
    for (const socket of ["agent.sock", "broker.sock"])
      await expect(openCaller(join(folder, "run", socket), {}, 100)).rejects.toThrow("nothing answers")
  })

  it("joins while it runs, answers, and makes reports when the collector is away", async () => {
    start("reports.every = 1")
    await status()
    const joining = joinCollector(configuration(), invitation(), { signal: never, now: Date.now })
    await admit(await peer.connection())
    expect(await joining).toMatchObject({ host: "127.0.0.1", port: peer.port })
    const connection = await peer.connection()
    await connection.next("hello")
    const nonce = randomBytes(32).toString("base64")
    const common = {
      type: "challenge",
      id: "0".repeat(32),
      depth: "full",
      deadlineSeconds: 60,
      credential: null,
    } as const
    connection.say({ ...common, nonce, audience: "collector-7" })
    while ((await connection.coming()) === "evidence") await acknowledge(connection)
    await connection.next("hashed")
    const second = { ...common, id: "1".repeat(32), depth: "quick", nonce: randomBytes(32).toString("base64") } as const
    connection.say({ ...second, audience: "collector-7" })
    await acknowledgeUntil(connection, second.id)
    await until(({ acknowledged, spool }) => acknowledged?.tier === "warning" && spool.waiting === 0)
    const { port } = peer
    await peer.stop()
    const away = await until(({ spool }) => spool.waiting > 0)
    expect(away.evidence).toMatchObject({ kind: "report", audience: "collector-7" })
    expect(away.connection.state).toMatch(/waiting|connecting/)
    peer = await startPeer(folder, "peer", "TLSv1.3", port)
    const again = await peer.connection()
    await again.next("hello")
    await acknowledgeUntil(again, null)
  })

  it("joined before it runs, it connects by itself when it starts", async () => {
    rmSync(join(state, "enrolment.json"), { force: true })
    const joining = joinCollector(configuration(), invitation(), { signal: never, now: Date.now })
    await admit(await peer.connection())
    const { attester } = await joining
    start()
    expect(await (await peer.connection()).next("hello")).toMatchObject({ attester })
  })

  it("answers a nonce in files that openssl and tpm2-tools agree with", async () => {
    const out = join(folder, "out")
    const nonce = new Uint8Array(randomBytes(32))
    const options = { nonce, audience: "files", out, signal: never, now: Date.now } as const
    const evidence = await measureOnce(configuration(), options)
    expect(new Set(readdirSync(out))).toEqual(new Set(Object.values(onceFiles)))
    const { payloadType, payload, signatures } = readEnvelope(readFileSync(join(out, onceFiles.evidence)))
    writeFileSync(join(out, "pae"), preAuthentication(payloadType, fromBase64(payload)))
    writeFileSync(join(out, "sig"), fromBase64(signatures[0].sig))
    const key = ["-pubin", "-inkey", onceFiles.evidenceKey, "-rawin", "-in", "pae", "-sigfile", "sig"]
    expect(execFileSync("openssl", ["pkeyutl", "-verify", ...key], { cwd: out }).toString()).toContain(
      "Verified Successfully",
    )
    const identity = JSON.parse(readFileSync(join(out, onceFiles.identity), "utf8"))
    expect(readFileSync(join(out, onceFiles.evidenceKey), "utf8")).toBe(toPem(fromBase64(identity.evidenceKey)))
    const { body, quote } = JSON.parse(Buffer.from(payload, "base64").toString("utf8"))
    expect(body).toMatchObject({ nonce: toBase64(nonce), channel: "", audience: "files" })
    expect(
      createHash("sha256")
        .update(readFileSync(join(out, onceFiles.log)))
        .digest("hex"),
    ).toBe(body.logs[0].digest)
    writeFileSync(join(out, "quote"), Buffer.from(quote.attest, "base64"))
    writeFileSync(join(out, "signature"), Buffer.from(quote.signature, "base64"))
    const area = readFileSync(join(out, onceFiles.ak))
    const size = Buffer.from([area.length >> 8, area.length & 255])
    writeFileSync(join(out, "ak.tpm2b"), Buffer.concat([size, area]))
    const wanted = Buffer.from(qualifyingData(body, new Uint8Array(0))).toString("hex")
    const args = ["-u", "ak.tpm2b", "-m", "quote", "-s", "signature", "-g", "sha256", "-q", wanted]
    const checked = execFileSync("tpm2_checkquote", args, { cwd: out })
    expect(checked.toString()).toContain("sig:")
    expect(evidence.kind).toBe("answer")
  })
})
