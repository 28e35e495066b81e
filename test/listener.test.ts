/**
 * Does an agent's own door let in whom it should, and nobody else? A whole agent on a software TPM that has joined nobody, asked by the command as an
 * outside verifier would; openssl makes the verifiers' keys.
 */
import { execFile, execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { WebSocket } from "ws"
import { readConfiguration } from "../agent/config.ts"
import { verbs as brokerVerbs } from "../agent/broker/verbs.ts"
import { listenerRoute } from "../agent/listener.ts"
import { runAgent } from "../agent/main.ts"
import { agentSocket, agentVerbs } from "../agent/verbs.ts"
import { paths, subprotocol, writeMessage } from "../attestation/protocol/message.ts"
import { readEvent } from "../attestation/protocol/event.ts"
import { readCel } from "../attestation/tcg/cel.ts"
import { readBetween } from "../attestation/verify/full-reading.ts"
import { openCaller } from "../local/call.ts"
import { nobody } from "../local/supervisor.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"
import { knock, messages } from "./stranger.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"
import { tlsKey } from "./tls-key.ts"

const folder = temporaryFolder()
const over = new AbortController()
const port = 21_000 + (process.pid % 9000)
let tpm: Swtpm
let running: Promise<void>
let attester: string
let pin: string

/** A verifier's key and certificate in one file, and what a configuration calls it. */
function verifierKey(name: string): { readonly file: string; readonly key: string } {
  const file = join(folder, `${name}.pem`)
  const { key, cert } = tlsKey(file, name)
  writeFileSync(file, Buffer.concat([key, cert]))
  const spki = execFileSync("openssl", ["pkey", "-in", file, "-pubout", "-outform", "DER"])
  return { file, key: createHash("sha256").update(spki).digest("hex") }
}

/** The command, as a process of its own: this one is the agent. */
function assay(...args: string[]): Promise<{ code: number; out: string }> {
  const program = join(import.meta.dirname, "../cli/assay.mjs")
  return new Promise(resolve => {
    execFile(process.execPath, [program, ...args], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), out: stdout + stderr }),
    )
  })
}

const auditor = verifierKey("auditor")
const stranger = verifierKey("stranger")

beforeAll(async () => {
  tpm = await startSwtpm()
  mkdirSync(join(folder, "model"))
  writeFileSync(join(folder, "model/weights"), "weights")
  const places = { STATE_DIRECTORY: join(folder, "agent"), RUNTIME_DIRECTORY: join(folder, "arun") }
  const text = `[tpm]\ntcti = "${tpm.tcti}"\nsoftware = true\n[[weights]]\nname = "m"\npath = "${join(folder, "model")}"
[listener]\nhost = "127.0.0.1"\nport = ${port}\nquestions = 4\nverifiers = [{ name = "auditor", key = "${auditor.key}" }]\n`
  const configuration = readConfiguration(text, places)
  const clock = { now: () => Date.now(), random: () => Math.random(), signal: over.signal }
  running = runAgent(configuration, { ...clock, supervisor: nobody, invitation: "none" })
  const socket = join(configuration.runtime, agentSocket)
  for (;;) {
    const caller = await openCaller(socket, agentVerbs, 30_000).catch(() => undefined)
    if (caller) {
      ;({ attester } = await caller.call("status", {}))
      caller.close()
      break
    }
    await delay(50)
  }
  while (!(await listening())) await delay(20)
  const spki = execFileSync("openssl", [
    "pkey",
    "-in",
    join(configuration.state, "listener.pem"),
    "-pubout",
    "-outform",
    "DER",
  ])
  pin = createHash("sha256").update(spki).digest("hex")
}, 60_000)
afterAll(async () => {
  over.abort()
  await running
  await tpm.stop()
  removeFolder(folder)
})

const listening = (): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false))
    socket.once("connect", () => socket.destroy())
  })

const asking = (file: string, ...more: string[]) =>
  assay(
    "challenge",
    "--key-file",
    file,
    "--attester",
    attester,
    "--collector",
    `127.0.0.1:${port}`,
    "--pin",
    pin,
    "--json",
    ...more,
  )

describe("an agent's own door", () => {
  it("answers a verifier whose key is listed, and the channel can be compared, since nobody is in between", async () => {
    const { code, out } = await asking(auditor.file, "--known-from", "the delivery note")
    expect(code, out).toBe(0)
    expect(out).not.toContain("channel.not-checkable")
    expect(out).toContain('"freshness":"answers the nonce"')
  }, 60_000)

  it("a full reading that was asked for is bound by the verifier's own nonce, or said not to be", async () => {
    const out = join(folder, "full")
    const said = (await asking(auditor.file, "--known-from", "x", "--depth", "full", "--out", out)).out
    expect(said).not.toContain("hash.unbound")
    const { nonce } = JSON.parse(readFileSync(join(out, "asked.json"), "utf8"))
    const events = readCel(readFileSync(join(out, "assay.cel"))).map(({ content }) => readEvent(content))
    expect(readBetween(Buffer.from(nonce, "hex"), events)).toEqual([])
    expect(readBetween(Buffer.alloc(32, 1), events)).toMatchObject([
      { id: "hash.unbound", seen: "no record that it began" },
    ])
    const undone = events.filter(({ type }) => type !== "assay.hash-done.v1")
    expect(readBetween(Buffer.from(nonce, "hex"), undone)).toMatchObject([{ id: "hash.unbound" }])
  }, 60_000)

  it("lets nobody in by another key, and no TPM works for them", async () => {
    const { code, out } = await asking(stranger.file)
    expect(code, out).toBe(1)
    expect(out).toContain("not on the list")
  }, 60_000)

  it("C37 does nothing for a message of any row without the key that the row needs, with none or another", async () => {
    expect(Object.values(listenerRoute.says).map(({ needs }) => needs)).toEqual([
      "a listed TLS key",
      "a listed TLS key",
    ])
    const broker = await openCaller(join(folder, "arun/broker.sock"), brokerVerbs, 30_000)
    const { identity } = await broker.call("identity", {})
    broker.close()
    const pem = readFileSync(stranger.file, "latin1")
    const all = messages(identity, attester)
    for (const shown of [{}, { key: pem, cert: pem }])
      for (const said of Object.keys(listenerRoute.says) as (keyof typeof listenerRoute.says)[])
        expect(await knock(port, listenerRoute.path, [writeMessage(all[said])], shown), said).toEqual(["goodbye"])
  }, 60_000)

  it("lets nobody in who shows no key, or speaks TLS 1.2", async () => {
    const ending = await new Promise<string>(resolve => {
      const socket = new WebSocket(`wss://127.0.0.1:${port}${paths.verifier}`, subprotocol, {
        rejectUnauthorized: false,
      })
      socket.on("message", data => resolve(Buffer.isBuffer(data) ? data.toString() : "bytes"))
      socket.on("error", error => resolve(error.message))
    })
    expect(ending).toContain("not on the list")
    const old = await new Promise<string>(resolve => {
      execFile("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, "-tls1_2"], (_, out, err) =>
        resolve(out + err),
      ).stdin?.end()
    })
    expect(old).toMatch(/alert protocol version|no protocols|unsupported/i)
  })

  it("counts a verifier's questions before the TPM works (C19)", async () => {
    const said: string[] = []
    for (let i = 0; i < 3; i++) said.push((await asking(auditor.file, "--known-from", "x")).out)
    expect(said.join("\n")).toContain("too many questions within a minute")
  }, 120_000)

  it("says what is missing on the command line", async () => {
    expect((await assay("challenge", "--key-file", auditor.file, "--attester", attester)).out).toContain("--pin")
    const { code, out } = await asking(`${auditor.file}.crt`)
    expect(code, out).toBe(2)
    expect(out).toContain("private key and its certificate")
  }, 60_000)
})

it("a door that nobody may use is a mistake in the configuration", () => {
  expect(() => readConfiguration('[listener]\nhost = "0.0.0.0"\n', {})).toThrow("no verifier is listed")
})
