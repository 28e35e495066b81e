/** Is evidence kept until it is acknowledged, through kill -9, damage and want of room, and never dropped in silence? */
import { type ChildProcess, spawn } from "node:child_process"
import { createHash, randomBytes } from "node:crypto"
import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeEach, describe, expect, it } from "vitest"
import { Spool } from "../agent/spool.ts"
import type { Spooled } from "../agent/spool-file.ts"

const root = mkdtempSync(join(tmpdir(), "assay-spool-"))
afterAll(() => rmSync(root, { recursive: true, force: true }))

let path: string
let said: string[]
let number = 0
beforeEach(() => {
  path = join(root, String(number++))
  said = []
})

const wide = { evidence: 1000, bytes: 1 << 26, horizon: 86_400_000 }
const open = (limits = wide): Promise<Spool> => Spool.open(path, limits, message => void said.push(message))

/** A log of `records` lines of one epoch. */
const logOf = (epoch: string, records: number): Uint8Array =>
  new Uint8Array(Buffer.from(Array.from({ length: records }, (_, i) => `${epoch} record ${i}\n`).join("")))

function piece(sequence: number, log = logOf("one", sequence)): Spooled {
  const envelope = new Uint8Array(randomBytes(500))
  const digest = createHash("sha256").update(envelope).digest("hex")
  const made = new Date(1_700_000_000_000 + sequence).toISOString()
  return {
    digest,
    challenge: null,
    audience: "collector",
    made,
    sequence: String(sequence),
    envelope,
    log,
    bootLogs: new Map(),
  }
}

async function fill(spool: Spool, count: number): Promise<Spooled[]> {
  const pieces = Array.from({ length: count }, (_, i) => piece(i + 1))
  for (const each of pieces) await spool.add(each)
  return pieces
}

const waiting = (spool: Spool): string[] => spool.waiting.map(({ digest }) => digest)
const files = (folder: string): string[] => readdirSync(join(path, folder))

describe("a spool", () => {
  it("gives back what it was given, after it was opened anew, oldest first", async () => {
    const pieces = await fill(await open(), 12)
    const spool = await open()
    const read = await Promise.all(spool.waiting.map(entry => spool.read(entry)))
    expect(read).toEqual(pieces)
    expect(said).toEqual([])
  })

  it("keeps the logs of an epoch once, each as long as its longest", async () => {
    const spool = await open()
    await fill(spool, 12)
    await spool.add(piece(3, logOf("one", 3)))
    await spool.add(piece(1, logOf("two", 4)))
    expect(files("logs")).toHaveLength(2)
    const bytes = files("logs").reduce((sum, name) => sum + statSync(join(path, "logs", name)).size, 0)
    expect(bytes).toBe(logOf("one", 12).length + logOf("two", 4).length)
  })

  it("takes a log that begins alike and goes on otherwise", async () => {
    const spool = await open()
    const one = piece(1, Buffer.from("epoch\na\n"))
    const other = piece(2, Buffer.from("epoch\nb\n"))
    for (const each of [one, other]) await spool.add(each)
    const read = await Promise.all(spool.waiting.map(entry => spool.read(entry)))
    expect(read.map(each => (each === "gone" ? each : Buffer.from(each.log).toString()))).toEqual([
      "epoch\na\n",
      "epoch\nb\n",
    ])
  })

  it("moves what is acknowledged, and forgets nothing else", async () => {
    const spool = await open()
    const pieces = await fill(spool, 3)
    await spool.acknowledge(pieces[1]?.digest ?? "")
    await spool.acknowledge("0".repeat(64))
    for (const each of [spool, await open()]) {
      expect(waiting(each)).toEqual([pieces[0]?.digest, pieces[2]?.digest])
      expect(each.acknowledged.map(({ digest }) => digest)).toEqual([pieces[1]?.digest])
    }
  })

  it("sets aside what is refused, and says so", async () => {
    const spool = await open()
    const [first] = await fill(spool, 2)
    await spool.refuse(first?.digest ?? "", "nonce.unknown")
    expect(files("refused")).toHaveLength(1)
    expect(waiting(await open())).toHaveLength(1)
    expect(said).toEqual([expect.stringContaining("was refused: nonce.unknown")])
  })
})

describe("want of room", () => {
  it("drops every second piece of the older half, and says so", async () => {
    const spool = await open({ evidence: 10, bytes: 1 << 26, horizon: 86_400_000 })
    const digests = (await fill(spool, 11)).map(({ digest }) => digest)
    expect(waiting(spool)).toEqual([0, 2, 4, 6, 7, 8, 9, 10].map(i => digests[i]))
    expect(said).toEqual(["the spool is full: 3 older pieces of evidence were dropped, 8 wait"])
    expect(files("waiting")).toHaveLength(8)
  })

  it("is of bytes too, logs counted once; the newest stays whatever it takes", async () => {
    const spool = await open({ evidence: 1000, bytes: 5000, horizon: 86_400_000 })
    await fill(spool, 30)
    expect(spool.waiting.length).toBeLessThan(8)
    const large = piece(31, Buffer.alloc(20_000, "x\n"))
    await spool.add(large)
    expect(waiting(spool)).toEqual([large.digest])
    expect(files("logs")).toHaveLength(1)
  })

  it("M12 keeps what is acknowledged for its horizon, and no longer", async () => {
    const spool = await open({ ...wide, horizon: 2 })
    for (let i = 1; i < 8; i++) {
      const each = piece(i)
      await spool.add(each)
      await spool.acknowledge(each.digest)
    }
    expect(files("acknowledged")).toHaveLength(3)
    expect(spool.acknowledged).toHaveLength(3)
  })
})

describe("damage", () => {
  it("of any byte of a piece is found, set aside and told; the others stay", async () => {
    const pieces = await fill(await open(), 3)
    const name = files("waiting")[1] ?? ""
    const whole = readFileSync(join(path, "waiting", name))
    for (const at of [0, 5, 100, whole.length - 40, whole.length - 1]) {
      const altered = Buffer.from(whole)
      altered[at] = (altered[at] ?? 0) ^ 1
      writeFileSync(join(path, "waiting", name), altered)
      const spool = await open()
      expect(waiting(spool)).toEqual([pieces[0]?.digest, pieces[2]?.digest])
      expect(said.pop()).toContain("cannot be read")
      expect(files("damaged")).toEqual([name])
    }
  })

  it("by cutting is found at every length", async () => {
    await fill(await open(), 1)
    const name = files("waiting")[0] ?? ""
    const whole = readFileSync(join(path, "waiting", name))
    for (let length = 0; length < whole.length; length += 41) {
      writeFileSync(join(path, "waiting", name), whole.subarray(0, length))
      expect((await open()).waiting).toHaveLength(0)
    }
  })

  it("of a log is found when it is read, and a torn end is cut back", async () => {
    const spool = await open()
    await fill(spool, 3)
    const log = join(path, "logs", files("logs")[0] ?? "")
    appendFileSync(log, "one rec")
    const again = await open()
    expect(readFileSync(log)).toEqual(Buffer.from(logOf("one", 3)))
    await again.add(piece(4))
    writeFileSync(log, "one record 0\nxxx record 1\n")
    const [first, second] = again.waiting
    if (!first || !second) throw new Error("nothing waits")
    expect(await again.read(first)).toMatchObject({ sequence: "1" })
    expect(await again.read(second)).toBe("gone")
    expect(said.pop()).toContain("is not as it was written")
  })

  it("that leaves a file under another name is found", async () => {
    await fill(await open(), 1)
    const name = files("waiting")[0] ?? ""
    writeFileSync(
      join(path, "waiting", name.replace(/[0-9a-f]{8}\./, "00000000.")),
      readFileSync(join(path, "waiting", name)),
    )
    const spool = await open()
    expect(spool.waiting).toHaveLength(1)
    expect(files("damaged")).toHaveLength(1)
  })
})

describe("kill -9", () => {
  it("at any moment loses nothing that was kept, and leaves nothing half", { timeout: 60_000 }, async () => {
    for (let round = 0; round < 8; round++) {
      const kept = await addUntilKilled(5 + round * 7)
      const spool = await open()
      const names = new Set([...waiting(spool), ...spool.acknowledged.map(({ digest }) => digest)])
      expect(kept.filter(digest => !names.has(digest))).toEqual([])
      for (const entry of spool.waiting) expect(await spool.read(entry)).not.toBe("gone")
      expect(said).toEqual([])
      expect([...files("waiting"), ...files("logs")].filter(name => name.endsWith(".new"))).toEqual([])
    }
  })
})

/** A process that adds and acknowledges as fast as it can, and says what it was promised; killed after so many. */
async function addUntilKilled(count: number): Promise<string[]> {
  const program = `
    import { Spool } from ${JSON.stringify(join(import.meta.dirname, "../agent/spool.ts"))}
    import { createHash, randomBytes } from "node:crypto"
    import { writeSync } from "node:fs"
    const spool = await Spool.open(${JSON.stringify(path)}, { evidence: 100000, bytes: 2 ** 30, horizon: 86400000 }, () => undefined)
    for (let i = 1; ; i++) {
      const envelope = randomBytes(3000)
      const digest = createHash("sha256").update(envelope).digest("hex")
      const log = Buffer.from(Array.from({ length: i }, (_, n) => "record " + n + "\\n").join(""))
      await spool.add({ digest, challenge: null, audience: "c", made: new Date().toISOString(), sequence: String(i), envelope, log, bootLogs: new Map() })
      writeSync(1, digest + "\\n")
      if (i % 3 === 0) await spool.acknowledge(digest)
    }`
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const kept = await linesUntil(child, count)
  return kept
}

function linesUntil(child: ChildProcess, count: number): Promise<string[]> {
  let text = ""
  return new Promise(resolve => {
    child.stdout?.on("data", piece => {
      text += String(piece)
      if (text.split("\n").length > count) child.kill("SIGKILL")
    })
    child.once("close", () => resolve(text.split("\n").slice(0, -1)))
  })
}
