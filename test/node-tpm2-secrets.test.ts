/** Who gets to see a sealed secret? Not the bus, not a key put in place of the parent, and not who dumps memory later. */
import { spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { closeSync, openSync, readFileSync, readSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { type ObjectBlob, openTpm, STORAGE_PARENT, type Tpm, type TpmObject } from "../node-tpm2/index.ts"
import { type Swtpm, startSwtpm } from "./swtpm.ts"
import { commandCode, startTctiProxy, type TctiProxy } from "./tcti-proxy.ts"

const OPTIONS = { deadline: 20_000, allowSoftware: true }
const TPM_CC_UNSEAL = 0x15e
const TPM_CC_CREATE_PRIMARY = 0x131

const PACKAGE = pathToFileURL(join(import.meta.dirname, "../node-tpm2/index.ts")).href

let swtpm: Swtpm
let proxy: TctiProxy
let tpm: Tpm
let parent: TpmObject

beforeAll(async () => {
  swtpm = await startSwtpm({ endorsed: false })
  proxy = await startTctiProxy(swtpm)
})
afterAll(async () => {
  await proxy?.close()
  await swtpm?.stop()
})
beforeEach(async () => {
  await swtpm.restart() // a connection that was lost has left its objects in the TPM
  tpm = await openTpm(proxy.tcti, OPTIONS)
  parent = (await tpm.createPrimary("owner", STORAGE_PARENT)).object
  proxy.exchanges.length = 0
})
afterEach(async () => {
  proxy.alter = response => response
  await tpm.close()
})

const crossed = (bytes: Uint8Array): boolean =>
  proxy.exchanges.some(({ command, response }) =>
    [command, response].some(packet => Buffer.from(packet).includes(Buffer.from(bytes))),
  )

describe("on the bus", () => {
  test("a sealed secret is seen in neither direction; a random number is, so the proxy can see", async () => {
    const secret = randomBytes(32)
    const blob = await tpm.seal(parent, parent.name, secret)
    expect(await tpm.unseal(parent, parent.name, blob)).toEqual(new Uint8Array(secret))
    expect(proxy.exchanges.some(({ command }) => commandCode(Buffer.from(command)) === TPM_CC_UNSEAL)).toBe(true)
    expect(crossed(secret)).toBe(false)
    expect(crossed(await tpm.getRandom(32))).toBe(true)
  })

  test("an authorisation value is seen when it is given to a new object in the clear, and never when it is used", async () => {
    const auth = randomBytes(32)
    const blob = await tpm.create(parent, STORAGE_PARENT, { auth })
    proxy.exchanges.length = 0
    const child = await tpm.load(parent, blob, auth)
    await tpm.flush(child)
    expect(crossed(auth)).toBe(false)
  })

  test("an altered answer is refused and ends the connection", async () => {
    const blob = await tpm.seal(parent, parent.name, randomBytes(32))
    proxy.alter = (response, command) => {
      if (commandCode(command) === TPM_CC_UNSEAL) response[20] = (response[20] ?? 0) ^ 1
      return response
    }
    await expect(tpm.unseal(parent, parent.name, blob)).rejects.toMatchObject({ code: "TSS2_ESYS_RC_RSP_AUTH_FAILED" })
    await expect(tpm.getRandom(1)).rejects.toMatchObject({ code: "TPM_CONTEXT_DEAD" })
  })
})

describe("the parent", () => {
  test("is refused when its Name is not the one expected, before anything is sent", async () => {
    const other = (await tpm.createPrimary("endorsement", STORAGE_PARENT)).object
    const blob = await tpm.seal(parent, parent.name, randomBytes(32))
    proxy.exchanges.length = 0
    await expect(tpm.seal(other, parent.name, randomBytes(32))).rejects.toMatchObject({ code: "TPM_NAME_MISMATCH" })
    await expect(tpm.unseal(other, parent.name, blob)).rejects.toMatchObject({ code: "TPM_NAME_MISMATCH" })
    expect(proxy.exchanges).toEqual([])
  })

  test("offered by someone on the bus in place of the TPM's own is refused", async () => {
    const expected = parent.name
    await tpm.flush(parent)
    let offered = 0
    proxy.alter = (response, command) => {
      if (commandCode(command) !== TPM_CC_CREATE_PRIMARY) return response
      offered++
      const point = response.indexOf(Buffer.from("00100003001000200000", "hex").subarray(0, 8))
      response[point + 12] = (response[point + 12] ?? 0) ^ 1
      return response
    }
    const outcome = tpm
      .createPrimary("owner", STORAGE_PARENT)
      .then(({ object }) => tpm.seal(object, expected, randomBytes(32)))
    await expect(outcome).rejects.toMatchObject({ name: "TpmError" })
    expect(offered).toBe(1)
  })
})

describe("in memory", () => {
  test.each([
    ["unsealed", "await tpm.unseal(object, object.name, blob)"],
    ["sealed", "unmask(); await tpm.seal(object, object.name, secret)"],
  ])("nothing of a secret that was %s is left once its holder has zeroed it", async (_, action) => {
    const secret = randomBytes(32)
    const held = await holder(action, secret, await tpm.seal(parent, parent.name, secret))
    expect(occurrences(held.pid, secret)).toBeGreaterThan(0)
    await held.step("zeroed")
    expect(occurrences(held.pid, secret)).toBe(0)
    await held.step("closed")
    expect(occurrences(held.pid, secret)).toBe(0)
    held.end()
  })
})

/**
 * A process that does `action`, then zeroes, then closes, each at a word from here. What it is told of the secret is told
 * inverted, so that the text of the program is no copy.
 */
async function holder(action: string, secret: Uint8Array, blob: ObjectBlob) {
  const text = `
    import { openTpm, STORAGE_PARENT } from ${JSON.stringify(PACKAGE)}
    const heard = process.stdin[Symbol.asyncIterator]()
    const tpm = await openTpm(${JSON.stringify(proxy.tcti)}, { deadline: 20000, allowSoftware: true })
    const { object } = await tpm.createPrimary("owner", STORAGE_PARENT)
    const blob = { publicArea: ${inSource(blob.publicArea)}, privateArea: ${inSource(blob.privateArea)} }
    const inverted = ${inSource(secret.map(byte => byte ^ 0xff))}
    let secret = new Uint8Array(new ArrayBuffer(inverted.length))
    const unmask = () => inverted.forEach((byte, index) => { secret[index] = byte ^ 0xff })
    ${action.startsWith("await") ? `secret = ${action}` : action}
    process.stdout.write("ready")
    await heard.next()
    secret.fill(0)
    process.stdout.write("zeroed")
    await heard.next()
    await tpm.close()
    process.stdout.write("closed")
    await heard.next()`
  const parameters = ["--input-type=module-typescript", "--eval", text]
  const child = spawn(process.execPath, parameters, { stdio: ["pipe", "pipe", "inherit"] })
  const hear = async (word: string): Promise<void> => {
    const [heard] = await once(child.stdout, "data")
    expect(String(heard)).toBe(word)
  }
  const step = async (word: string): Promise<void> => {
    child.stdin.write("go")
    await hear(word)
  }
  await hear("ready")
  return { pid: child.pid ?? 0, step, end: () => child.kill("SIGKILL") }
}

const inSource = (bytes: Uint8Array): string => `new Uint8Array([${bytes.join(", ")}])`

/** How often `needle` stands in the writable memory of a child process. */
function occurrences(pid: number, needle: Uint8Array): number {
  const memory = openSync(`/proc/${pid}/mem`, "r")
  try {
    return writableRegions(pid).reduce((sum, region) => sum + count(readRegion(memory, region), needle), 0)
  } finally {
    closeSync(memory)
  }
}

interface Region {
  readonly start: number
  readonly length: number
}

function writableRegions(pid: number): Region[] {
  const lines = readFileSync(`/proc/${pid}/smaps`, "latin1").matchAll(
    /^(\w+)-(\w+) rw\S+ .*\n(?:(?!Rss:).*\n)*Rss: +(\d+) kB/gm,
  )
  return [...lines]
    .filter(([, , , resident]) => Number(resident) > 0)
    .map(([, start = "", end = ""]) => ({
      start: Number(`0x${start}`),
      length: Number(`0x${end}`) - Number(`0x${start}`),
    }))
}

/** Regions that are no memory (devices) do not read; they hold no secret either. */
function readRegion(memory: number, { start, length }: Region): Buffer {
  const bytes = Buffer.alloc(length)
  try {
    return bytes.subarray(0, readSync(memory, bytes, 0, length, start))
  } catch {
    return Buffer.alloc(0)
  }
}

function count(bytes: Buffer, needle: Uint8Array): number {
  let found = 0
  for (let at = bytes.indexOf(needle); at >= 0; at = bytes.indexOf(needle, at + 1)) found++
  return found
}
