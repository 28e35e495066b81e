/** What is left when a collector's process ends, however it ends? What it acknowledged, once; and no socket that nobody serves. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync, readFileSync, statSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, afterEach, beforeAll, expect, test } from "vitest"
import { verbs } from "../collector/verbs.ts"
import { openCaller } from "../local/call.ts"
import { Line, submit } from "./collector-attester.ts"
import { Attester, digestOf } from "./collector-chain.ts"
import { configurationIn, type House, removeFolder, temporaryFolder } from "./collector-house.ts"
import { measurement } from "./evidence-maker.ts"

let attester: Attester
let folder: string
const running = new Set<ChildProcess>()

beforeAll(async () => {
  attester = await Attester.start()
  await attester.machine.append(measurement("a"))
})
afterEach(() => {
  for (const each of running) each.kill("SIGKILL")
  running.clear()
  removeFolder(folder)
})
afterAll(() => attester.stop())

type Process = Pick<House, "admin"> & {
  readonly child: ChildProcess
  readonly port: number
  readonly ended: Promise<number | NodeJS.Signals | null>
  readonly said: () => string
}

/** A collector in a process of its own, which SIGTERM tells to stop. */
async function start(): Promise<Process> {
  const main = join(import.meta.dirname, "../collector/main.ts")
  const script = `import { runCollector } from ${JSON.stringify(main)}
    const over = new AbortController()
    process.once("SIGTERM", () => over.abort())
    await runCollector(${JSON.stringify(configurationIn(folder))}, { signal: over.signal, supervisor: { patience: "endless", tell: () => undefined } })`
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "ignore", "pipe"] })
  running.add(child)
  let said = ""
  child.stderr?.on("data", chunk => (said += String(chunk)))
  const ended = new Promise<number | NodeJS.Signals | null>(resolve =>
    child.once("exit", (code, signal) => resolve(code ?? signal)),
  )
  const { runtime } = configurationIn(folder)
  while (!said.includes("pin ")) {
    if (child.exitCode !== null) throw new Error(said)
    await delay(5)
  }
  const admin = await openCaller(join(runtime, "admin.sock"), verbs, 20_000)
  const { port } = await admin.call("identity", {})
  return { child, admin, port, ended, said: () => said }
}

const count = (table: string): number => {
  const db = new DatabaseSync(join(folder, "state/collector.db"), { readOnly: true })
  try {
    return Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.["n"])
  } finally {
    db.close()
  }
}

test("C16 killed between commit and acknowledgement: the evidence is there once, and is acknowledged when it comes again", async () => {
  folder = temporaryFolder()
  const first = await start()
  const line = await attester.join(first)
  const asking = first.admin.call("challenge", { attester: attester.attester, depth: "quick" }).catch(() => "lost")
  const challenge = await line.next("challenge")
  const evidence = await attester.answer(line, challenge)
  line.socket.pause()
  await submit(line, challenge.id, evidence)
  while (count("evidence") < 2) await delay(1)
  first.child.kill("SIGKILL")
  expect(await first.ended).toBe("SIGKILL")
  await asking
  line.socket.terminate()

  const second = await start()
  const before = await second.admin.call("status", { attester: attester.attester })
  expect(before.answer?.evidence).toBe(digestOf(evidence))
  expect(before.standing).toMatchObject({ state: "warning", stale: true, connected: false })
  const again = await Line.dial(second.port)
  await attester.prove(again)
  await submit(again, challenge.id, evidence)
  expect(await again.next("acknowledged")).toMatchObject({ evidence: digestOf(evidence), tier: "warning" })
  expect(count("evidence")).toBe(3)
  expect(count("nonce")).toBe(0)
})

/** Every message that came before the connection ended, by type. */
async function cameOver(line: Line): Promise<string[]> {
  const types: string[] = []
  for (;;) {
    const came = await line.any().catch(() => "ended" as const)
    if (came === "ended") return types
    types.push(came.type)
  }
}

test("C36 killed around a release: whoever has the secret, its entry stands; an entry without a release releases nothing later", async () => {
  folder = temporaryFolder()
  let house = await start()
  const joined = await attester.join(house)
  joined.socket.terminate()
  const who = { attester: attester.attester, name: "disk-key" }
  const put = { ...who, tier: "warning", by: "Olga", reason: "r", secret: "AAAA" } as const
  await house.admin.call("secret-put", put)
  let given = 0
  for (const table of ["evidence", "secret_release", "evidence", "secret_release"]) {
    const line = await Line.dial(house.port)
    await attester.prove(line)
    await line.send({ type: "want", secret: "disk-key" })
    const challenge = await line.next("challenge")
    const evidence = await attester.answer(line, challenge)
    const before = count(table)
    await submit(line, challenge.id, evidence)
    while (count(table) === before) await new Promise(resolve => setImmediate(resolve))
    house.child.kill("SIGKILL")
    expect(await house.ended).toBe("SIGKILL")
    given += (await cameOver(line)).filter(type => type === "released").length
    const entries = count("secret_release")
    expect(entries).toBeGreaterThanOrEqual(given)
    expect(count("leaf WHERE kind = 'secret-released'")).toBe(entries)

    house = await start()
    const again = await Line.dial(house.port)
    await attester.prove(again)
    await submit(again, challenge.id, evidence)
    expect(await again.next("acknowledged")).toMatchObject({ evidence: digestOf(evidence) })
    expect(count("secret_release"), "old evidence releases nothing").toBe(entries)
    again.socket.terminate()
  }
  const { secrets } = await house.admin.call("secret-list", { skip: 0 })
  expect(secrets).toMatchObject([{ name: "disk-key", releases: count("secret_release") }])
  expect(count("secret_release")).toBeGreaterThanOrEqual(2)
})

test("SIGTERM: agents are told, sockets are gone, the store is closed, and the exit is clean", async () => {
  folder = temporaryFolder()
  const house = await start()
  const line = await attester.join(house)
  house.child.kill("SIGTERM")
  expect(await line.ending()).toEqual({ code: 1001, reason: "the collector stops" })
  expect(await house.ended).toBe(0)
  expect(existsSync(join(folder, "run/admin.sock"))).toBe(false)
  expect(existsSync(join(folder, "state/collector.db-wal")), "what was in the log of the store is in it").toBe(false)
})

test("keys are readable by their user only, and stay the same", async () => {
  folder = temporaryFolder()
  const first = await start()
  const before = await first.admin.call("identity", {})
  for (const file of ["tls-key.pem", "tls-certificate.pem", "result-key.pem"])
    expect(statSync(join(folder, "state", file)).mode & 0o777, file).toBe(0o600)
  expect(statSync(join(folder, "state")).mode & 0o777).toBe(0o700)
  expect(statSync(join(folder, "run/admin.sock")).mode & 0o777).toBe(0o660)
  const asked = { by: "Olga", purpose: "attester", name: "n", lifetimeSeconds: null, accept: null } as const
  const { invitation } = await first.admin.call("invite", asked)
  const token = Buffer.from(invitation.split(":").at(-1) ?? "", "base64url")
  expect(token).toHaveLength(32)
  first.child.kill("SIGTERM")
  await first.ended
  const whole = readFileSync(join(folder, "state/collector.db"))
  expect(
    whole.includes(token) || whole.includes(token.toString("base64")) || whole.includes(token.toString("hex")),
  ).toBe(false)
  const second = await start()
  const after = await second.admin.call("identity", {})
  expect({ pin: after.pin, resultKey: after.resultKey, build: after.build }).toEqual({
    ...{ pin: before.pin, resultKey: before.resultKey, build: before.build },
  })
})

test("a second collector on the same state says so and ends", async () => {
  folder = temporaryFolder()
  await start()
  await expect(start()).rejects.toThrow("another collector runs on")
})
