/** What happens when the TPM hangs, dies, restarts, lies or is asked nonsense? One clear error each, and no crash. */
import { execFile, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { promisify } from "node:util"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { Esys, TR } from "../node-tpm2/esys.ts"
import { attestationKey, openTpm, STORAGE_PARENT, type Tpm, type TpmObject } from "../node-tpm2/index.ts"
import { type Swtpm, startSwtpm } from "./swtpm.ts"
import { startTctiProxy } from "./tcti-proxy.ts"

const OPTIONS = { deadline: 20_000, allowSoftware: true }
const HASTY = { ...OPTIONS, deadline: 300 }
const PCR_0 = [{ bank: "sha256", pcrs: [0] }] as const
const PACKAGE = pathToFileURL(join(import.meta.dirname, "../node-tpm2/index.ts")).href

let swtpm: Swtpm
beforeAll(async () => {
  swtpm = await startSwtpm({ endorsed: false })
})
afterAll(() => swtpm?.stop())

const opened: { close(): Promise<void> }[] = []
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close()
})

async function open(options = OPTIONS, tcti = swtpm.tcti): Promise<Tpm> {
  const tpm = await openTpm(tcti, options)
  opened.push(tpm)
  return tpm
}

async function openEsys(): Promise<Esys> {
  const esys = await Esys.open(swtpm.tcti, OPTIONS)
  opened.push(esys)
  return esys
}

const keyOf = async (tpm: Tpm, unique = new Uint8Array(32)): Promise<TpmObject> =>
  (await tpm.createPrimary("endorsement", attestationKey(unique))).object

/** Runs a program in a process of its own, with `tcti` and the package at hand. */
function program(text: string, ...flags: string[]): string[] {
  const prelude = `import { attestationKey, openTpm } from ${JSON.stringify(PACKAGE)}
    const tcti = ${JSON.stringify(swtpm.tcti)}\n`
  return [...flags, "--input-type=module-typescript", "--eval", prelude + text]
}

const run = promisify(execFile)

describe("a TPM that was restarted", () => {
  test("has lost the key: the quote says so", async () => {
    const tpm = await open()
    const key = await keyOf(tpm)
    await swtpm.restart()
    await expect(tpm.quote(key, new Uint8Array(), PCR_0)).rejects.toMatchObject({ code: "TPM_RC_REFERENCE_H0" })
  })

  test("never signs with the key that now stands at the same handle", async () => {
    const tpm = await open()
    const key = await keyOf(tpm)
    await swtpm.restart()
    const other = await open()
    const theirs = await keyOf(other, new Uint8Array(32).fill(1))
    for (const use of [
      () => tpm.quote(key, new Uint8Array(), PCR_0),
      () => tpm.commandAuditDigest(key, new Uint8Array()),
    ]) {
      await expect(use()).rejects.toMatchObject({ code: "TPM_RC_BAD_AUTH" })
    }
    await expect(tpm.readPublic(key)).rejects.toMatchObject({ code: "TPM_NAME_MISMATCH" })
    await tpm.flush(key)
    await expect(other.quote(theirs, new Uint8Array(), PCR_0)).resolves.toBeDefined()
  })

  test("would have signed, had the quote been authorised by a password", async () => {
    const tpm = await openEsys()
    const template = Buffer.concat([Buffer.from([0, 88 - 64]), attestationKey(new Uint8Array())])
    const make = (esys: Esys) =>
      esys.call(
        "CreatePrimary",
        TR.endorsement,
        TR.password,
        TR.none,
        TR.none,
        EMPTY_SENSITIVE,
        template,
        EMPTY,
        NO_PCRS,
      )
    const [key] = await make(tpm)
    await swtpm.restart()
    await make(await openEsys())
    const quote = tpm.call("Quote", key, TR.password, TR.none, TR.none, EMPTY, Buffer.from([0, 0x10]), NO_PCRS)
    await expect(quote).resolves.toHaveLength(2)
  })
  const EMPTY = Buffer.alloc(2)
  const NO_PCRS = Buffer.alloc(4)
  const EMPTY_SENSITIVE = Buffer.from([0, 4, 0, 0, 0, 0])
})

describe("a TPM that dies", () => {
  test("in the middle of a command ends the connection, and says to open it anew", async () => {
    const tpm = await open()
    await swtpm.kill("SIGSTOP")
    const answer = tpm.getRandom(8)
    answer.catch(() => undefined)
    await new Promise(resolve => setTimeout(resolve, 50))
    await swtpm.kill("SIGKILL")
    await expect(answer).rejects.toMatchObject({ code: "TSS2_TCTI_RC_IO_ERROR", layer: "tcti", command: "GetRandom" })
    await swtpm.restart()
    const later = tpm.getRandom(8)
    await expect(later).rejects.toMatchObject({ code: "TPM_CONTEXT_DEAD" })
    await expect(later).rejects.toThrow("open it anew")
    expect(tpm.usable).toBe(false)
    expect((await (await open()).getRandom(8)).length).toBe(8)
  })

  test("is not there at all: the error names what to look at", async () => {
    const nowhere = openTpm("swtpm:path=/nonexistent/socket", OPTIONS)
    await expect(nowhere).rejects.toMatchObject({
      code: "TSS2_TCTI_RC_IO_ERROR",
      hint: expect.stringContaining("group tss"),
    })
    await expect(openTpm("device:/dev/tpmrm97", OPTIONS)).rejects.toMatchObject({ layer: "tcti" })
  })
})

describe("a TPM that hangs", () => {
  afterEach(() => swtpm.kill("SIGCONT"))

  test("gives every caller an error at the deadline, and the connection up", async () => {
    const tpm = await open(HASTY)
    await swtpm.kill("SIGSTOP")
    const answers = await Promise.allSettled([tpm.getRandom(1), tpm.readClock(), tpm.banks()])
    expect(answers.map(answer => answer.status === "rejected" && answer.reason.code)).toEqual(Array(3).fill("TPM_HUNG"))
    expect(tpm.hung).toBe(true)
    await tpm.close()
    expect(tpm.hung).toBe(true)
    await swtpm.kill("SIGCONT")
    await expect.poll(() => tpm.hung).toBe(false)
    await expect(tpm.getRandom(1)).rejects.toMatchObject({ code: "TPM_CLOSED" })
  })

  test("cannot keep the process that owns it: SIGKILL to itself ends it", async () => {
    const text = `const tpm = await openTpm(tcti, { deadline: 300, allowSoftware: true })
      process.stdout.write("open")
      process.stdin.once("data", async () => {
        try { await tpm.getRandom(1) } catch (error) { if (error.code === "TPM_HUNG") process.kill(process.pid, "SIGKILL") }
      })`
    const child = spawn(process.execPath, program(text), { stdio: ["pipe", "pipe", "inherit"] })
    await once(child.stdout, "data")
    await swtpm.kill("SIGSTOP")
    child.stdin.write("go")
    expect(await once(child, "exit")).toEqual([null, "SIGKILL"])
  })

  test("is told from an event loop that was busy past the deadline", async () => {
    const tpm = await open(HASTY)
    const answer = tpm.getRandom(8)
    await new Promise(resolve => setTimeout(resolve, 0))
    const busyUntil = performance.now() + 2 * HASTY.deadline
    while (performance.now() < busyUntil);
    expect((await answer).length).toBe(8)
  })
})

describe("many callers at once", () => {
  test("eight are served one after another, each with its own answer", async () => {
    const tpm = await open()
    const key = await keyOf(tpm)
    const caller = async (): Promise<boolean[]> => {
      const found: boolean[] = []
      for (let round = 0; round < 10; round++) {
        const nonce = randomBytes(32)
        const { attest } = await tpm.quote(key, nonce, PCR_0)
        found.push(Buffer.from(attest).includes(nonce))
      }
      return found
    }
    const answers = (await Promise.all(Array.from({ length: 8 }, caller))).flat()
    expect(answers).toEqual(Array(80).fill(true))
  })

  test("buffers stay where they are while the garbage collector runs under a slow command", async () => {
    const proxy = await startTctiProxy(swtpm)
    opened.push(proxy)
    const text = `const tpm = await openTpm(${JSON.stringify(proxy.tcti)}, { deadline: 20_000, allowSoftware: true })
      const { object } = await tpm.createPrimary("endorsement", attestationKey(new Uint8Array(32)))
      const litter = setInterval(() => { for (let i = 0; i < 50; i++) new Uint8Array(1 << 16); gc() }, 5)
      for (let round = 0; round < 5; round++) {
        const nonce = crypto.getRandomValues(new Uint8Array(32))
        const { attest } = await tpm.quote(object, nonce, [{ bank: "sha256", pcrs: [0] }])
        if (!Buffer.from(attest).includes(nonce)) throw new Error("another quote")
      }
      clearInterval(litter)
      await tpm.close()
      process.stdout.write("five quotes")`
    proxy.delay = 60
    const { stdout } = await run(process.execPath, program(text, "--expose-gc"))
    expect(stdout).toBe("five quotes")
  })
})

describe("sessions and objects", () => {
  test("are gone after commands that failed", async () => {
    const tpm = await open()
    const parent = (await tpm.createPrimary("owner", STORAGE_PARENT)).object
    const blob = await tpm.seal(parent, parent.name, randomBytes(32))
    const privateArea = Uint8Array.from(blob.privateArea, (byte, index) => (index === 40 ? byte ^ 1 : byte))
    for (let round = 0; round < 10; round++) {
      const altered = tpm.unseal(parent, parent.name, { ...blob, privateArea })
      await expect(altered).rejects.toMatchObject({ code: "TPM_RC_INTEGRITY", subject: "parameter 1" })
      await expect(tpm.quote(parent, new Uint8Array(), PCR_0)).rejects.toMatchObject({ layer: "tpm" })
    }
    expect(await tpm.handles("loaded-session")).toEqual([])
    expect(await tpm.handles("transient")).toHaveLength(1)
    await tpm.flush(parent)
    expect(await tpm.handles("transient")).toEqual([])
  })

  test("too many objects are named as such", async () => {
    const tpm = await open()
    const many = Promise.all([1, 2, 3, 4].map(byte => keyOf(tpm, new Uint8Array([byte]))))
    await expect(many).rejects.toMatchObject({ code: "TPM_RC_OBJECT_MEMORY", hint: expect.stringContaining("tpmrm0") })
  })

  test("a key of another Tpm is refused", async () => {
    const [one, other] = [await open(), await open()]
    const key = await keyOf(one)
    await expect(other.quote(key, new Uint8Array(), PCR_0)).rejects.toMatchObject({ code: "TPM_OBJECT_NOT_HELD" })
  })
})

describe("nonsense", () => {
  test.each([
    "cmd:touch /tmp/owned",
    "",
    "device",
    "device:/dev/tpm0x",
    "device:/dev/../tmp/tpm0",
    "device:/dev/tpmrm0\n",
    "libtss2-tcti-cmd.so:id",
    "tabrmd:bus_name=com.example",
    "swtpm:host=192.0.2.1,port=2321",
    "swtpm:path=relative",
    "swtpm:path=/a,host=127.0.0.1",
    `swtpm:path=/${"x".repeat(101)}`,
  ])("connection string %j never reaches tpm2-tss", async tcti => {
    await expect(openTpm(tcti, OPTIONS)).rejects.toMatchObject({ code: "TPM_TCTI_REFUSED" })
  })

  test("a software TPM needs to be allowed", async () => {
    const refused = openTpm(swtpm.tcti, { ...OPTIONS, allowSoftware: false })
    await expect(refused).rejects.toMatchObject({ code: "TPM_TCTI_REFUSED" })
    await expect(openTpm(swtpm.tcti, { ...OPTIONS, deadline: 0 })).rejects.toMatchObject({ code: "TPM_BAD_ARGUMENT" })
  })

  test("structures that are none are refused, and the next command is served", async () => {
    const esys = await openEsys()
    const read = (wire: Buffer) => esys.call("PCR_Read", TR.none, TR.none, TR.none, wire)
    const hostile = [
      Buffer.alloc(0),
      Buffer.from("00000001000b05ff0000000000", "hex"),
      Buffer.from("ffffffff000b03010000", "hex"),
      Buffer.from("00000001000b030100", "hex"),
      Buffer.from("00000001000b0301000000", "hex"),
      randomBytes(9000),
    ]
    for (const wire of hostile)
      await expect(read(wire)).rejects.toMatchObject({ name: "TpmError", command: /PCR_Read/ })
    const random = (count: number) => esys.call("GetRandom", TR.none, TR.none, TR.none, count)
    for (const count of [-1, 65_536, 1.5, Number.NaN]) {
      await expect(random(count)).rejects.toMatchObject({ code: "TPM_BAD_ARGUMENT" })
    }
    await expect(random(8)).resolves.toHaveLength(1)
  })

  test("a template or blob that is none is the TPM's or the library's to refuse", async () => {
    const tpm = await open()
    await expect(tpm.createPrimary("owner", randomBytes(100))).rejects.toMatchObject({ name: "TpmError" })
    await expect(tpm.createPrimary("owner", new Uint8Array(70_000))).rejects.toMatchObject({ code: "TPM_BAD_ARGUMENT" })
    const key = await keyOf(tpm)
    await expect(tpm.quote(key, randomBytes(65), PCR_0)).rejects.toMatchObject({ name: "TpmError" })
    await expect(tpm.quote(key, randomBytes(64), PCR_0)).resolves.toBeDefined()
  })

  test("answers altered at random never crash, and never hang", async () => {
    const proxy = await startTctiProxy(swtpm)
    let seed = 1
    const random = (below: number): number => {
      seed = (Math.imul(seed, 1_103_515_245) + 12_345) & 0x7fffffff
      return seed % below
    }
    const alter = (response: Buffer): Buffer => {
      for (let changes = random(4); changes > 0; changes--) response[10 + random(response.length)] = random(256)
      if (random(4) > 0) return response
      const shorter = response.subarray(0, 10 + random(response.length))
      shorter.writeUInt32BE(shorter.length, 2)
      return shorter
    }
    const outcomes = new Set<string>()
    for (let round = 0; round < 60; round++) {
      proxy.alter = response => response
      const tpm = await openTpm(proxy.tcti, OPTIONS)
      proxy.alter = alter
      for (const use of [
        () => tpm.properties(),
        () => tpm.pcrRead([{ bank: "sha256", pcrs: [0, 1, 2, 3] }]),
        () => keyOf(tpm).then(key => tpm.quote(key, new Uint8Array(), PCR_0)),
        () => tpm.readClock(),
      ]) {
        await use().then(
          () => outcomes.add("well"),
          error => outcomes.add(error.name),
        )
      }
      proxy.alter = response => response
      await tpm.close()
      if (round % 10 === 9) await swtpm.restart()
    }
    await proxy.close()
    expect([...outcomes].toSorted()).toEqual(["TpmError", "well"])
  })
})

/** A copy of the libraries that this process has loaded, wherever they came from. */
function privateCopy(): string {
  const loadedFrom = /\/\S+(?=\/libtss2-esys)/.exec(readFileSync("/proc/self/maps", "utf8"))?.[0] ?? ""
  const folder = mkdtempSync(join(tmpdir(), "tss2-"))
  for (const name of readdirSync(loadedFrom)) {
    if (/^libtss2-(esys|mu|sys|tctildr|tcti-swtpm)\.so\.\d$/.test(name)) {
      copyFileSync(join(loadedFrom, name), join(folder, name))
    }
  }
  opened.push({ close: async () => rmSync(folder, { recursive: true }) })
  return folder
}

describe("the C libraries", () => {
  test("write nothing to stderr, however much fails", async () => {
    const text = `const options = { deadline: 5000, allowSoftware: true }
      await openTpm("swtpm:path=/nonexistent/s", options).catch(() => 0)
      const tpm = await openTpm(tcti, options)
      await tpm.pcrReset(0).catch(() => 0)
      await tpm.createPrimary("owner", new Uint8Array(40)).catch(() => 0)
      await tpm.close()
      process.stdout.write("done")`
    const environment = { ...process.env }
    delete environment["TSS2_LOG"]
    const output = await run(process.execPath, program(text), { env: environment })
    expect(output).toEqual({ stdout: "done", stderr: "" })
  })

  const MAPPED = `const tpm = await openTpm(tcti, { deadline: 5000, allowSoftware: true, ...more })
    const maps = (await import("node:fs")).readFileSync("/proc/self/maps", "utf8")
    process.stdout.write([...new Set(maps.match(/\\/\\S*libtss2-[^/\\s]+/g))].join("\\n"))
    await tpm.close()`

  test.each(["libraryPath", "LD_LIBRARY_PATH"])(
    "are taken from a private folder, TCTI included, through %s",
    async way => {
      const folder = privateCopy()
      const more =
        way === "libraryPath" ? `const more = { libraryPath: ${JSON.stringify(folder)} }\n` : "const more = {}\n"
      const env = way === "LD_LIBRARY_PATH" ? { ...process.env, LD_LIBRARY_PATH: folder } : process.env
      const { stdout } = await run(process.execPath, program(more + MAPPED), { env })
      const mapped = stdout.split("\n").toSorted()
      expect(mapped).toEqual(
        ["esys.so.0", "mu.so.0", "sys.so.1", "tcti-swtpm.so.0", "tctildr.so.0"].map(name =>
          join(folder, `libtss2-${name}`),
        ),
      )
    },
  )

  test("are missing: the error names the Debian package", async () => {
    const libraryPath = mkdtempSync(join(tmpdir(), "tss2-"))
    writeFileSync(join(libraryPath, "libtss2-esys.so.0"), "no library")
    const missing = openTpm(swtpm.tcti, { ...OPTIONS, libraryPath })
    await expect(missing).rejects.toMatchObject({
      code: "TPM_LIBRARY_MISSING",
      hint: expect.stringMatching(/libtss2-esys-3.0.2-0 .*libtss2-esys-3.0.2-0t64/),
    })
    rmSync(libraryPath, { recursive: true })
  })
})
