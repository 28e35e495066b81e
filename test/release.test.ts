/**
 * When does a collector give a secret away, and to whom? The attester is a stranger's, made of tpm2-tools; what it is given is opened by hand, as
 * docs/the-protocol.md says. The conditions one by one: store.contract.ts. Our own agent: release-agent.test.ts.
 */
import { createDecipheriv } from "node:crypto"
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from "vitest"
import type { Challenge, ToAttester } from "../attestation/protocol/message.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import { openSqlite } from "../collector/sqlite.ts"
import { cycle } from "./broker-process.ts"
import { activate, Line, submit } from "./collector-attester.ts"
import { Attester, digestOf } from "./collector-chain.ts"
import { type House, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { ekHandle, measurement } from "./evidence-maker.ts"
import { record } from "./recorder.ts"

type Released = Extract<ToAttester, { type: "released" }>

const secret = Buffer.from("correct horse battery staple, forty-two bytes")
let folder: string
let house: House
let honest: Attester
let other: Attester
let line: Line
let otherLine: Line

beforeAll(async () => {
  folder = temporaryFolder()
  ;[house, honest, other] = await Promise.all([startHouse(folder), Attester.start(), Attester.start("second")])
  await honest.machine.append(measurement("a"))
  ;[line, otherLine] = [await honest.join(house), await other.join(house)]
})
afterAll(async () => {
  await house.stop()
  await Promise.all([honest.stop(), other.stop()])
  removeFolder(folder)
})

const put = (more: { name?: string; attester?: string; tier?: "affirming" | "warning"; secret?: string } = {}) =>
  house.admin.call("secret-put", {
    ...{ attester: honest.attester, name: "disk-key", tier: "warning", by: "Olga", reason: "a test" },
    ...{ secret: toBase64(secret), ...more },
  })
beforeEach(() => put())

/** Says what is wanted; gives the challenge that follows. */
async function want(on: Line, name = "disk-key"): Promise<Challenge> {
  await on.send({ type: "want", secret: name })
  return on.next("challenge")
}

/** Answers the challenge; gives the digest of the evidence. */
async function answer(who: Attester, on: Line, challenge: Challenge): Promise<string> {
  const evidence = await who.answer(on, challenge)
  await submit(on, challenge.id, evidence)
  expect(await on.next("acknowledged")).toMatchObject({ evidence: digestOf(evidence) })
  return digestOf(evidence)
}

async function obtain(who = honest, on = line, name = "disk-key"): Promise<Released> {
  const evidence = await answer(who, on, await want(on, name))
  const released = await on.next("released")
  expect(released).toMatchObject({ secret: name, evidence })
  return released
}

async function refused(who = honest, on = line, name = "disk-key"): Promise<string> {
  await answer(who, on, await want(on, name))
  return (await on.next("withheld")).reason
}

/** The key in the credential, by tpm2_activatecredential. */
const keyFor = ({ credential }: Released, who = honest, ek?: readonly string[]): Promise<Uint8Array> =>
  activate(who.machine, { type: "credential", credential }, ek)

function openByHand({ sealed, evidence }: Released, key: Uint8Array, name: string, attester: string): Buffer {
  const bytes = Buffer.from(sealed, "base64")
  const decipher = createDecipheriv("aes-256-gcm", key, bytes.subarray(0, 12))
  decipher.setAAD(
    Buffer.from(`{"release":"assay.release.v1","attester":"${attester}","secret":"${name}","evidence":"${evidence}"}`),
  )
  decipher.setAuthTag(bytes.subarray(bytes.length - 16))
  return Buffer.concat([decipher.update(bytes.subarray(12, bytes.length - 16)), decipher.final()])
}

function query(sql: string): Record<string, unknown>[] {
  const db = new DatabaseSync(join(folder, "state/collector.db"), { readOnly: true })
  try {
    return db.prepare(sql).all()
  } finally {
    db.close()
  }
}
const releases = (): unknown[] =>
  query("SELECT evidence FROM secret_release ORDER BY rowid").map(row => row["evidence"])

/** What the leaves of one kind hold. */
async function leaves(kind: string): Promise<Record<string, unknown>[]> {
  const store = openSqlite(join(folder, "state/collector.db"))
  try {
    const found: Record<string, unknown>[] = []
    for (const { position, leaf } of await store.leaves(0, 1 << 16))
      if (leaf.kind === kind)
        found.push(JSON.parse(Buffer.from((await store.content(position)) ?? []).toString("utf8")))
    return found
  } finally {
    await store.close()
  }
}

describe("C34 a secret is wrapped for the TPM", () => {
  test("C34 tpm2_activatecredential on that TPM recovers the key, and by hand the secret opens", async () => {
    const released = await obtain()
    expect(openByHand(released, await keyFor(released), "disk-key", honest.attester)).toEqual(secret)
    const again = await obtain()
    expect(again.sealed, "another key each time").not.toBe(released.sealed)
    expect(() => openByHand(released, Buffer.alloc(32), "disk-key", honest.attester)).toThrow("authenticate")
  })

  test("C34 another TPM does not open it, nor the same TPM for another AK", async () => {
    const released = await obtain()
    await expect(keyFor(released, other)).rejects.toThrow(/tpm2_activatecredential/)
    const { tpm } = honest.machine
    const kind = ["-G", "ecc", "-g", "sha256", "-s", "ecdsa"]
    await tpm.tool("tpm2_createak", "-Q", "-C", ekHandle, "-c", "second.ctx", ...kind)
    await tpm.tool("tpm2_flushcontext", "-t")
    const file = ["-C", ekHandle, "-i", "credential", "-o", "no-secret"]
    await keyFor(released)
    await expect(tpm.tool("tpm2_activatecredential", "-Q", "-c", "second.ctx", ...file)).rejects.toThrow(
      /tpm2_activate/,
    )
  })

  test("C34 it does not open under another name, for another machine, or for other evidence", async () => {
    const released = await obtain()
    const key = await keyFor(released)
    expect(() => openByHand(released, key, "disk-kez", honest.attester)).toThrow("authenticate")
    expect(() => openByHand(released, key, "disk-key", other.attester)).toThrow("authenticate")
    const elsewhere = { ...released, evidence: "0".repeat(64) }
    expect(() => openByHand(elsewhere, key, "disk-key", honest.attester)).toThrow("authenticate")
  })

  test("its bytes are in no frame, file, leaf, log line or answer of the collector's", async () => {
    const frames: Buffer[] = []
    line.socket.on("message", (data: Buffer) => frames.push(data))
    await obtain()
    await refused(other, otherLine)
    const state = join(folder, "state")
    const files = readdirSync(state, { recursive: true, withFileTypes: true }).filter(each => each.isFile())
    const everything = [
      ...frames,
      ...files.map(each => readFileSync(join(each.parentPath, each.name))),
      ...(await leaves("secret-put")).map(each => JSON.stringify(each)),
      JSON.stringify(await house.admin.call("secret-list", { skip: 0 })),
      house.said.join("\n"),
    ]
    expect(files.map(({ name }) => name)).toEqual(expect.arrayContaining(["collector.db", "secrets.key"]))
    const spellings = [secret, secret.toString("base64"), secret.toString("hex")]
    for (const each of everything) for (const spelt of spellings) expect(Buffer.from(each).includes(spelt)).toBe(false)
  })
})

describe("C35 freshness is checked at the release", () => {
  test("C35 a good answer of a moment before does not count: the wish has a nonce of its own, and only its answer releases", async () => {
    const asking = house.admin.call("challenge", { attester: honest.attester, depth: "quick" })
    const regular = await line.next("challenge")
    const before = releases()
    const wished = await want(line)
    expect(wished.nonce).not.toBe(regular.nonce)
    await answer(honest, line, regular)
    expect(await asking).toMatchObject({ kind: "judged", tier: "warning" })
    expect(releases(), "a good answer, and not to the wish").toEqual(before)
    const evidence = await answer(honest, line, wished)
    expect(await line.next("released")).toMatchObject({ evidence })
    expect(releases()).toEqual([...before, evidence])
  })

  test("C35 the same evidence sent again releases nothing", async () => {
    const challenge = await want(line)
    const evidence = await honest.answer(line, challenge)
    await submit(line, challenge.id, evidence)
    await line.next("acknowledged")
    await line.next("released")
    const before = releases()
    await submit(line, challenge.id, evidence)
    await line.next("acknowledged")
    expect(releases()).toEqual(before)
    expect(await refusedName("nothing-else"), "and nothing waits").toContain("no secret of this name")
  })

  test("a verdict that is not good enough releases nothing, and says what would", async () => {
    await put({ tier: "affirming" })
    const before = releases()
    expect(await refused()).toBe("the verdict on this machine is warning, and the secret is for an affirming one only")
    expect(releases()).toEqual(before)
    expect((await leaves("secret-withheld")).at(-1)).toMatchObject({ secret: "disk-key", why: "tier" })
  })

  test("C35 a late answer releases nothing", async () => {
    const late = await openLateHouse()
    const challenge = await want(late.line)
    expect(await late.line.next("withheld")).toMatchObject({ reason: expect.stringContaining("no answer within 8 s") })
    await submit(late.line, challenge.id, await honest.answer(late.line, challenge))
    await late.line.next("acknowledged")
    const { secrets } = await late.house.admin.call("secret-list", { skip: 0 })
    expect(secrets).toMatchObject([{ name: "disk-key", releases: 0, last: null }])
    late.line.close()
  })
})

const refusedName = (name: string): Promise<string> => refused(honest, line, name)

/** Another collector, which waits eight seconds for an answer. */
async function openLateHouse(): Promise<{ house: House; line: Line }> {
  const own = temporaryFolder()
  const late = await startHouse(own, "[challenge]\ndeadline = 8\n")
  onTestFinished(async () => {
    await late.stop()
    removeFolder(own)
  })
  const joined = await honest.join(late)
  const given = { attester: honest.attester, name: "disk-key", tier: "warning", by: "Olga", reason: "late" } as const
  await late.admin.call("secret-put", { ...given, secret: toBase64(secret) })
  return { house: late, line: joined }
}

describe("whose it is", () => {
  test("a secret of another machine's name is none: the same words as for what nobody put", async () => {
    await put({ name: "theirs", attester: other.attester })
    const words = await refusedName("nobody-put-this")
    expect(await refusedName("theirs")).toBe(words)
    const released = await obtain(other, otherLine, "theirs")
    expect(openByHand(released, await keyFor(released, other), "theirs", other.attester)).toEqual(secret)
  })

  test("what was withdrawn is released to nobody, and its bytes are gone; one of the same name takes its place", async () => {
    await put({ name: "short-lived" })
    await obtain(honest, line, "short-lived")
    const who = { attester: null, by: "Olga", reason: "over" }
    await house.admin.call("secret-withdraw", { ...who, name: "short-lived" })
    expect(await refusedName("short-lived")).toContain("no secret of this name")
    expect(query("SELECT * FROM sealed_secret JOIN secret ON id = secret WHERE name = 'short-lived'")).toEqual([])
    expect((await leaves("secret-withdrawn")).at(-1)).toMatchObject({
      secret: "short-lived",
      by: "Olga",
      reason: "over",
    })
    await expect(house.admin.call("secret-withdraw", { ...who, name: "short-lived" })).rejects.toThrow("is kept")

    await put({ name: "short-lived", secret: toBase64(Buffer.from("first")) })
    expect(await put({ name: "short-lived", secret: toBase64(Buffer.from("second")) })).toMatchObject({
      replaced: true,
    })
    const released = await obtain(honest, line, "short-lived")
    expect(String(openByHand(released, await keyFor(released), "short-lived", honest.attester))).toBe("second")
  })

  test("who only says a name learns nothing of what is kept for it, and wants one thing at a time", async () => {
    const stranger = await Line.dial(house.collector.port)
    await stranger.send({ type: "want", secret: "disk-key" })
    expect(await stranger.ending()).toMatchObject({ reason: "hello must come first" })
    const pretender = await Line.dial(house.collector.port)
    const first = await sayHello(pretender)
    expect((await want(pretender, "nobody-put-this")).depth).toBe(first.depth)
    await pretender.send({ type: "want", secret: "disk-key" })
    expect(await pretender.ending()).toMatchObject({ reason: "want came before the last one was answered" })
  })

  test("where the key at rest is gone, nothing is given, and that is said", async () => {
    const key = join(folder, "state/secrets.key")
    const before = readFileSync(key)
    rmSync(key)
    expect(await refused()).toBe("the collector cannot open what it keeps")
    await put()
    expect(readFileSync(key).equals(before)).toBe(false)
    await obtain()
  })
})

test("the key at rest lies where the configuration says, and one that is none is refused with the fix", async () => {
  const own = temporaryFolder()
  const key = join(own, "credential")
  const elsewhere = await startHouse(own, `secrets = { key = "${key}" }\n`)
  onTestFinished(async () => {
    await elsewhere.stop()
    removeFolder(own)
  })
  ;(await other.join(elsewhere)).close()
  const given = { attester: other.attester, name: "disk-key", tier: "warning", by: "Olga", reason: "r" } as const
  const keep = () => elsewhere.admin.call("secret-put", { ...given, secret: toBase64(secret) })
  await expect(keep()).rejects.toMatchObject({ message: `secrets cannot be kept: there is no key in ${key}` })
  writeFileSync(key, Buffer.alloc(31))
  await expect(keep()).rejects.toThrow("holds 31 bytes, not 32")
  expect((await elsewhere.admin.call("secret-list", { skip: 0 })).secrets).toEqual([])
  writeFileSync(key, Buffer.alloc(32, 9))
  await keep()
  expect(readdirSync(join(own, "state"))).not.toContain("secrets.key")
})

async function sayHello(on: Line): Promise<Challenge> {
  await on.send({ type: "hello", attester: honest.attester, ak: honest.attester, version: "0.0.0" })
  return on.next("challenge")
}

describe("C36 the entry precedes the release", () => {
  test("C36 when the release arrives its entry stands in the vault: for whom, what, who put it, for which evidence", async () => {
    const seen: unknown[] = []
    line.socket.on("message", (data: Buffer) => {
      if (data.includes('"type":"released"')) seen.push(...releases().slice(-1))
    })
    const { evidence } = await obtain()
    expect(seen).toEqual([evidence])
    const entry = (await leaves("secret-released")).at(-1)
    expect(entry).toMatchObject({
      secret: "disk-key",
      attester: honest.attester,
      evidence,
      tier: "warning",
      by: "Olga",
    })
    const { secrets } = await house.admin.call("secret-list", { skip: 0 })
    expect(secrets.find(({ name }) => name === "disk-key")).toMatchObject({ releases: 1, last: expect.any(String) })
  })

  test("C36 where the entry cannot be written, nothing is released", async () => {
    const db = new DatabaseSync(join(folder, "state/collector.db"), { timeout: 5000 })
    db.exec(`CREATE TRIGGER full BEFORE INSERT ON leaf WHEN NEW.kind = 'secret-released'
      BEGIN SELECT RAISE(ABORT, 'no room for the entry'); END`)
    const before = releases()
    const evidence = await answer(honest, line, await want(line))
    expect(await line.next("goodbye")).toMatchObject({ reason: "the collector met a fault of its own" })
    expect(house.said.join("\n")).toContain("no room for the entry")
    db.exec("DROP TRIGGER full")
    db.close()
    expect(releases()).toEqual(before)
    line = await Line.dial(house.collector.port)
    await honest.prove(line)
    const next = await obtain()
    expect(next.evidence).not.toBe(evidence)
  })
})

test("an entry that its release lost, or a release that lost its entry, is found by the vault's check", async () => {
  await obtain()
  const config = join(folder, "check.toml")
  writeFileSync(config, `state = "${join(folder, "state")}"\nruntime = "${join(folder, "run")}"\n`)
  const checked = () => record(["vault", "check", "--config", config])
  expect(await checked()).toMatchObject({ exit: 0 })
  expect(await record(["vault", "backup", join(folder, "backup"), "--config", config])).toMatchObject({ exit: 0 })
  expect(readdirSync(join(folder, "backup")), "what opens secrets is in no backup").not.toContain("secrets.key")
  const db = new DatabaseSync(join(folder, "state/collector.db"), { timeout: 5000 })
  const guard = db.prepare("SELECT sql FROM sqlite_schema WHERE name = 'secret_release_no_delete'").get()
  db.exec(`CREATE TEMP TABLE aside AS SELECT * FROM secret_release; DROP TRIGGER secret_release_no_delete;
    DELETE FROM secret_release WHERE rowid = (SELECT max(rowid) FROM secret_release)`)
  const { exit, err, out } = await checked()
  expect(exit).not.toBe(0)
  expect(out + err).toMatch(/\d+ leaves of kind secret-released, and \d+ rows/)
  db.exec("INSERT OR IGNORE INTO secret_release SELECT * FROM aside")
  db.exec(String(guard?.["sql"]))
  db.close()
  expect(await checked()).toMatchObject({ exit: 0 })
})

test("C35 a machine that turned contraindicated since its last good answer gets nothing", async () => {
  await house.admin.call("reference-record", { attester: honest.attester, by: "Olga", ignore: [] })
  await obtain()
  const before = releases()
  await honest.machine.append(measurement("a", [["sha256", "bb"]]))
  expect((await house.admin.call("status", { attester: honest.attester })).standing).toMatchObject({
    ...{ state: "warning", stale: false },
  })
  expect(await refused()).toContain("the verdict on this machine is contraindicated")
  expect(releases()).toEqual(before)
  expect((await leaves("secret-withheld")).at(-1)).toMatchObject({ why: "tier", attester: honest.attester })

  await cycle(honest.machine.tpm, "reboot")
  honest.machine.forget()
  await honest.machine.append(await honest.machine.epoch("boot"))
  await honest.machine.append(measurement("a"))
  line.close()
  line = await Line.dial(house.collector.port)
  await honest.prove(line)
  const { evidence } = await obtain()
  expect(releases(), "after a boot into what was recorded").toEqual([...before, evidence])
})
