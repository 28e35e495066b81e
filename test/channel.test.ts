/**
 * How is a pinned peer reached through what stands in between? The collector is the real one, the proxy is tinyproxy, and openssl judges the
 * certificates; whoever ends TLS is refused before a byte of ours is said.
 */
import { type ChildProcess, execFile, execFileSync, spawn, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { type AddressInfo, connect, createServer as createNet, type Socket } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect as connectTls, createServer as createTls } from "node:tls"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { noteSuccessor, readEnrolment, writeEnrolment } from "../agent/enrolment.ts"
import { openChannel } from "../agent/channel.ts"
import { dial, NoChannel, type Endpoint } from "../channel/dial.ts"
import { fromHex, toHex } from "../attestation/wire/text.ts"
import { type House, startHouse } from "./collector-house.ts"

const folder = mkdtempSync(join(tmpdir(), "assay-channel-"))
let house: House
let proxy: { port: number; process: ChildProcess }
let guarded: { port: number; process: ChildProcess }
const never = new AbortController().signal

beforeAll(async () => {
  house = await startHouse(join(folder, "house"))
  proxy = await startProxy("open", "")
  guarded = await startProxy("guarded", "BasicAuth ada lovelace\n")
})
afterAll(async () => {
  for (const each of [proxy, guarded]) each.process.kill("SIGKILL")
  await house.stop()
  rmSync(folder, { recursive: true, force: true })
})

async function freePort(): Promise<number> {
  const server = createNet().listen(0, "127.0.0.1")
  await new Promise(resolve => server.once("listening", resolve))
  const { port } = server.address() as AddressInfo
  await new Promise(resolve => server.close(resolve))
  return port
}

/** tinyproxy, which lets CONNECT through to the collector's port alone. */
async function startProxy(name: string, more: string): Promise<{ port: number; process: ChildProcess }> {
  const port = await freePort()
  const file = join(folder, `${name}.conf`)
  writeFileSync(
    file,
    `Port ${port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 20\nConnectPort ${house.collector.port}\n${more}`,
  )
  const process = spawn("tinyproxy", ["-d", "-c", file], { stdio: "ignore" })
  for (let i = 0; i < 200 && !(await answers(port)); i++) await new Promise(resolve => setTimeout(resolve, 20))
  return { port, process }
}

const answers = (port: number): Promise<boolean> =>
  new Promise(resolve => {
    const socket = connect(port, "127.0.0.1")
    socket.once("connect", () => (socket.destroy(), resolve(true)))
    socket.once("error", () => resolve(false))
  })

const collector = (more: Partial<Endpoint> = {}): Endpoint => ({
  ...{ host: "127.0.0.1", port: house.collector.port, pin: house.collector.pin, proxy: "none" },
  ...more,
})
const through = (port: number, credentials = ""): Pick<Endpoint, "proxy"> => ({
  proxy: { host: "127.0.0.1", port, credentials },
})

async function refusal(peer: Endpoint): Promise<NoChannel> {
  const error: unknown = await dial(peer, 5000, never).then(
    () => "connected",
    why => why,
  )
  if (error instanceof NoChannel) return error
  throw new Error(`not refused: ${String(error)}`)
}

describe("an HTTP proxy", () => {
  it("is asked to CONNECT, and the binding is that of the collector's own end", async () => {
    const channel = await openChannel(collector(through(proxy.port)), never)
    expect(channel.binding.length).toBe(32)
    channel.socket.terminate()
  })

  it("is given the credentials that it asks for; without them the fix is named", async () => {
    const file = join(folder, "credentials")
    writeFileSync(file, "ada:lovelace\n")
    const { tls } = await dial(collector(through(guarded.port, file)), 5000, never)
    tls.destroy()
    const refused = await refusal(collector(through(guarded.port)))
    expect(refused).toMatchObject({ kind: "proxy", message: expect.stringContaining("407") })
    expect(refused.hint).toContain("proxy.credentials")
  })

  it.each([
    ["that is not there", () => collector(through(1)), /cannot be used/],
    [
      "that does not connect there",
      () => ({ ...collector(through(proxy.port)), port: 1 }),
      /does not connect to 127\.0\.0\.1:1/,
    ],
    ["whose credentials cannot be read", () => collector(through(proxy.port, join(folder, "none"))), /cannot be read/],
  ])("%s is told of", async (_, peer, says) => {
    expect(await refusal(peer())).toMatchObject({ kind: "proxy", message: expect.stringMatching(says) })
  })
})

describe("somebody who ends TLS in between", () => {
  it("is refused as channel-differs before anything is said, with what to do (C18)", async () => {
    const key = join(folder, "between.pem")
    execFileSync(
      "openssl",
      ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", `${key}.crt`, "-subj", "/CN=x"],
      { stdio: "ignore" },
    )
    let heard = 0
    const options = { key: readFileSync(key), cert: readFileSync(`${key}.crt`), minVersion: "TLSv1.3" } as const
    const between = createTls(options, inner => {
      const outer = connectTls({ port: house.collector.port, host: "127.0.0.1", rejectUnauthorized: false })
      inner.on("data", bytes => (heard += bytes.length))
      inner.pipe(outer).pipe(inner)
      for (const each of [inner, outer]) each.on("error", () => undefined)
      inner.on("close", () => outer.destroy())
    }).listen(0, "127.0.0.1")
    await new Promise(resolve => between.once("listening", resolve))
    const refused = await refusal(collector({ port: (between.address() as AddressInfo).port }))
    expect(refused).toMatchObject({ kind: "channel-differs", message: expect.stringContaining("channel-differs") })
    expect(refused.hint).toContain("a proxy that opens TLS")
    expect(heard).toBe(0)
    await new Promise(resolve => between.close(resolve))
  })
})

describe("a successor of the collector's key", () => {
  const rotate = () => house.admin.call("tls-rotate", { by: "Olga", reason: "yearly" })
  /** What the collector shows, as openssl sees it. The collector runs in this process, so openssl must not be waited for in it. */
  async function chain(): Promise<string[]> {
    const client = execFile("openssl", ["s_client", "-connect", `127.0.0.1:${house.collector.port}`, "-showcerts"])
    let said = ""
    client.stdout?.on("data", chunk => (said += String(chunk)))
    client.stdin?.end()
    await new Promise(resolve => client.once("close", resolve))
    return [...said.matchAll(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g)].map(([pem]) => pem)
  }

  it("is followed by whoever knows an earlier pin, and openssl agrees; a stranger's is not", async () => {
    const first = house.collector.pin
    const [rootBefore] = await chain()
    const once = await rotate()
    const twice = await rotate()
    expect(once.before).toBe(toHex(first))
    for (const pin of [first, fromHex(once.pin)]) {
      const { tls, successor } = await dial(collector({ pin }), 5000, never)
      expect(successor === "none" ? "none" : toHex(successor)).toBe(twice.pin)
      tls.destroy()
    }
    const { successor, tls } = await dial(collector({ pin: fromHex(twice.pin) }), 5000, never)
    expect(successor).toBe("none")
    tls.destroy()
    expect((await refusal(collector({ pin: new Uint8Array(32) }))).kind).toBe("channel-differs")

    const root = join(folder, "root.pem")
    const all = join(folder, "chain.pem")
    writeFileSync(root, rootBefore ?? "")
    writeFileSync(all, (await chain()).join("\n"))
    const judged = spawnSync("openssl", ["verify", "-CAfile", root, "-untrusted", all, all], { encoding: "utf8" })
    expect(judged.stdout + judged.stderr).toContain(": OK")
  })

  it("is the pin of new invitations, survives a restart, and the key of before is gone", async () => {
    const { pin } = await rotate()
    const state = join(folder, "house/state")
    expect(existsSync(join(state, "tls-key.pem"))).toBe(false)
    const kept: unknown = JSON.parse(readFileSync(join(state, "tls-successors.json"), "utf8"))
    expect(kept).toMatchObject([{ by: "Olga", reason: "yearly" }, {}, { to: pin }])
    await house.stop()
    house = await startHouse(join(folder, "house"), "", house.collector.port)
    expect(toHex(house.collector.pin)).toBe(pin)
    const spki = execFileSync("openssl", ["pkey", "-in", join(state, "tls.pem"), "-pubout", "-outform", "DER"])
    expect(createHash("sha256").update(spki).digest("hex")).toBe(pin)
  })

  it("is kept beside the enrolment, which stays as it was", async () => {
    const state = mkdtempSync(join(folder, "agent-"))
    const [pin, next, other] = ["aa", "bb", "cc"].map(each => each.repeat(32))
    if (!pin || !next || !other) throw new Error("three pins")
    const name = `000b${"11".repeat(32)}`
    const enrolment = {
      ...{
        host: "h",
        port: 1,
        pin,
        attester: name,
        ak: name,
        resultKey: Buffer.alloc(32).toString("base64"),
        audience: "c",
      },
      joined: "2026-01-01T00:00:00.000Z",
    }
    await writeEnrolment(state, enrolment)
    const seen = "2026-02-01T00:00:00.000Z"
    await noteSuccessor(state, { from: other, to: other, seen })
    await noteSuccessor(state, { from: pin, to: next, seen })
    expect(await readEnrolment(state)).toEqual({ ...enrolment, pin: next })
    expect(JSON.parse(readFileSync(join(state, "enrolment.json"), "utf8"))).toMatchObject({ pin })
  })
})

describe("ten thousand connections that never speak", () => {
  it("are bounded, keep nobody out who comes from elsewhere, and are gone after the deadline (C20)", async () => {
    const own = mkdtempSync(join(folder, "flood-"))
    const small = await startHouse(own, "[limits]\nconnections = 200\naccepts = 150\ngreeting = 1\n")
    const silent: Socket[] = []
    try {
      for (let batch = 0; batch < 100; batch++) {
        const opened = Array.from({ length: 100 }, () => connect(small.collector.port, "127.0.0.1"))
        for (const each of opened) each.on("error", () => undefined).resume()
        silent.push(...opened)
        await Promise.all(
          opened.map(each => new Promise(resolve => each.once("connect", resolve).once("close", resolve))),
        )
      }
      expect(silent.length).toBe(10_000)
      const peer = { host: "127.0.0.1", port: small.collector.port, pin: small.collector.pin, proxy: "none" } as const
      const elsewhere = connect({ port: small.collector.port, host: "127.0.0.1", localAddress: "127.0.0.2" })
      await new Promise(resolve => elsewhere.once("connect", resolve))
      elsewhere.destroy()
      expect((await refusal(peer)).kind, "one address has had its share").toBe("unreachable")
      while (silent.some(each => !each.destroyed)) await new Promise(resolve => setTimeout(resolve, 20))
    } finally {
      for (const each of silent) each.destroy()
      await small.stop()
    }
  }, 60_000)
})
