/**
 * What can a stranger do to a collector? Nothing that outlives the stranger's own connection: after each attack here the same
 * collector serves the same honest attester, on the connection that it had before.
 */
import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { request } from "node:https"
import { connect, type Socket } from "node:net"
import { setTimeout as delay } from "node:timers/promises"
import { connect as connectTls } from "node:tls"
import { promisify } from "node:util"
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest"
import { WebSocket } from "ws"
import { envelopeLimit } from "../attestation/protocol/dsse.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { paths, subprotocol } from "../attestation/protocol/message.ts"
import type { UntrustedEvidence } from "../attestation/verify/verify.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { activate, answer, enrol, hello, identityOf, Line, submit } from "./collector-attester.ts"
import { Attester } from "./collector-chain.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { measurement } from "./evidence-maker.ts"

let folder: string
let house: House
let honest: Attester
let thief: Attester
let line: Line
let fresh: string | null

beforeAll(async () => {
  folder = temporaryFolder()
  const more = "[limits]\nconnections = 40\naccepts = 100000\n"
  ;[house, honest, thief] = await Promise.all([startHouse(folder, more), Attester.start(), Attester.start("second")])
  await honest.machine.append(measurement("a"))
  line = await honest.join(house)
  fresh = (await standing()).fresh
})
afterAll(async () => {
  await house.stop()
  await Promise.all([honest.stop(), thief.stop()])
  removeFolder(folder)
})

const port = (): number => house.collector.port
const standing = async () => (await house.admin.call("status", { attester: honest.attester })).standing

/** The honest attester answers on its old connection, and only then is anything fresher than before. */
afterEach(async () => {
  const before = await standing()
  if (fresh !== null) expect(before.fresh, "the attack changed nothing").toBe(fresh)
  expect(before).toMatchObject({ state: "warning", stale: false, connected: true })
  const asking = house.admin.call("challenge", { attester: honest.attester, depth: "quick" })
  const challenge = await line.next("challenge")
  await submit(line, challenge.id, await honest.answer(line, challenge))
  expect(await asking).toMatchObject({ kind: "judged", tier: "warning" })
  await line.next("acknowledged")
  fresh = (await standing()).fresh
})

const idsOf = (refused: { readonly findings: readonly { readonly id: string }[] }): string[] =>
  refused.findings.map(each => each.id)

/** Dials as the honest attester, and sends what `make` gives for the challenge. */
async function pretend(make: (line: Line, challenge: Awaited<ReturnType<typeof hello>>) => Promise<UntrustedEvidence>) {
  const other = await Line.dial(port())
  const challenge = await hello(other, honest.machine)
  await submit(other, challenge.id, await make(other, challenge))
  const refused = await other.next("refused")
  await other.ending()
  return idsOf(refused)
}

describe("evidence", () => {
  test("C16 replayed evidence does not answer a new challenge", async () => {
    const asking = house.admin.call("challenge", { attester: honest.attester, depth: "quick" })
    const challenge = await line.next("challenge")
    const recorded = await honest.answer(line, challenge)
    await submit(line, challenge.id, recorded)
    await asking
    await line.next("acknowledged")
    fresh = (await standing()).fresh
    expect(await pretend(async () => recorded)).toContain("nonce.mismatch")
  })

  test("C16 the same evidence again is acknowledged as what it was, and renews nothing", async () => {
    const kept = await house.admin.call("export", { attester: honest.attester, evidence: "newest" })
    const log = await house.admin.call("log", { evidence: kept.evidence, offset: 0 })
    const other = await Line.dial(port())
    await hello(other, honest.machine)
    const whole = { envelope: fromBase64(kept.envelope), logs: new Map([["assay", fromBase64(log.bytes)]]) }
    await submit(other, null, whole)
    expect(await other.next("acknowledged")).toMatchObject({ evidence: kept.evidence, tier: "none" })
    other.close()
  })

  test("C16 a nonce that was never issued is refused", async () => {
    const other = await Line.dial(port())
    await hello(other, honest.machine)
    const made = await honest.machine.attest({ nonce: randomBytes(32), channel: other.channel, sequence: 900n })
    await submit(other, null, made)
    expect(idsOf(await other.next("refused"))).toEqual(["nonce.unknown"])
    other.close()
  })

  test("C16 M9 a nonce of another connection is refused on this one", async () => {
    const [first, second] = [await Line.dial(port()), await Line.dial(port())]
    const theirs = await hello(first, honest.machine)
    const own = await hello(second, honest.machine)
    const mixed = await answer(honest.machine, second, theirs, { sequence: 901n })
    await submit(second, null, mixed)
    expect(idsOf(await second.next("refused")), "not as history either").toContain("channel.mismatch")
    await submit(second, own.id, mixed)
    expect(idsOf(await second.next("refused"))).toContain("nonce.mismatch")
    await submit(first, theirs.id, mixed)
    expect(idsOf(await first.next("refused"))).toContain("channel.mismatch")
  })

  test("C18 evidence that was made for another channel is refused: a relay in between has its own", async () => {
    const channel = new Uint8Array(randomBytes(32))
    expect(
      await pretend((other, challenge) => answer(honest.machine, other, challenge, { channel, sequence: 902n })),
    ).toContain("channel.mismatch")
  })

  test("another TPM under the honest name is refused, and learns nothing of the enrolled keys", async () => {
    const alterBody = <B extends { attester: string }>(body: B): B => ({ ...body, attester: honest.attester })
    const made = await pretend((other, challenge) => answer(thief.machine, other, challenge, { alterBody }))
    expect(made).toEqual(["evidence.key-unknown"])
    const ownName = await pretend((other, challenge) => answer(thief.machine, other, challenge, {}))
    expect(ownName).toEqual(["evidence.key-unknown"])
  })

  test("the honest TPM with another evidence key is refused, and the honest key with another TPM too", async () => {
    const key = { publicKey: thief.machine.keys.evidenceKey, secret: thief.machine.evidenceSecret }
    expect(await pretend((other, challenge) => answer(honest.machine, other, challenge, { signAs: key }))).toEqual([
      "evidence.key-unknown",
    ])
    const stolen = { publicKey: honest.machine.keys.evidenceKey, secret: honest.machine.evidenceSecret }
    const alterBody = <B extends { attester: string; ak: string }>(body: B): B => ({
      ...{ ...body, attester: honest.attester },
    })
    expect(
      await pretend((other, challenge) => answer(thief.machine, other, challenge, { signAs: stolen, alterBody })),
    ).toEqual(["evidence.key-unknown"])
  })

  test("a name that nobody enrolled gets a challenge and a refusal that look the same", async () => {
    const other = await Line.dial(port())
    const challenge = await hello(other, thief.machine)
    expect(challenge).toMatchObject({ audience: "collector", depth: "quick", credential: null })
    await submit(other, challenge.id, await answer(thief.machine, other, challenge, {}))
    expect(idsOf(await other.next("refused"))).toEqual(["evidence.key-unknown"])
    expect((await other.ending()).reason).toMatch("no evidence that verifies")
  })

  test("refused evidence of a connection is borne a few times, then no more; it is told to the operator", async () => {
    const other = await Line.dial(port())
    await hello(other, honest.machine)
    const garbage = { envelope: new Uint8Array(randomBytes(100)), logs: new Map([["assay", new Uint8Array(1)]]) }
    for (let i = 0; i < 8; i++) {
      await submit(other, null, garbage)
      expect(idsOf(await other.next("refused"))).toEqual(["evidence.malformed"])
    }
    expect((await other.ending()).reason).toMatch("too much evidence was refused")
    const { incidents } = await house.admin.call("status", { attester: honest.attester })
    expect(incidents[0]).toMatchObject({ kind: "refused", findings: [{ id: "evidence.malformed" }] })
  })
})

describe("enrolment", () => {
  async function apply(
    alter: (identity: ReturnType<typeof identityOf>) => object,
    invitation?: string,
  ): Promise<string> {
    const { token } = readInvitation(invitation ?? (await invitationFrom(house)))
    const other = await Line.dial(port())
    const identity = { ...identityOf(thief.machine), ...alter(identityOf(thief.machine)) }
    await other.send({ type: "enrol", invitation: toBase64(token), identity, label: "thief" })
    return (await other.ending()).reason
  }

  test("C15 nobody is let in without an invitation, or with one that was used, and none is used up by trying", async () => {
    const guessed = `assay1:127.0.0.1:${port()}:${"A".repeat(43)}:${"A".repeat(43)}`
    expect(await apply(() => ({}), guessed)).toMatch("unknown, used, revoked or expired")
  })

  test("C4 C13 C14 keys that are not of one TPM's endorsement hierarchy are refused", async () => {
    expect(await apply(() => ({ attester: honest.attester }))).toMatch("not its EK's")
    expect(await apply(() => ({ akPublic: toBase64(honest.machine.keys.ak) }))).toMatch("certification")
    expect(await apply(({ ekPublic }) => ({ akPublic: ekPublic }))).toMatch("AK: lacks sign")
    expect(await apply(({ akPublic }) => ({ ekPublic: akPublic }))).toMatch("the EK lacks decrypt")
    const zero = toBase64(new Uint8Array(32))
    expect(await apply(() => ({ evidenceKey: zero }))).toMatch("small order")
  })

  test("C13 a wrong secret ends the attempt; the invitation is left for the right machine", async () => {
    const invitation = await invitationFrom(house)
    const other = await Line.dial(port())
    const { token } = readInvitation(invitation)
    const application = {
      type: "enrol",
      invitation: toBase64(token),
      identity: identityOf(thief.machine),
      label: "t",
    } as const
    await other.send(application)
    await other.next("credential")
    await other.send({ type: "activated", secret: toBase64(randomBytes(32)), audit: null })
    expect((await other.ending()).reason).toMatch("not in one TPM")
    const right = await enrol(thief.machine, invitation)
    right.close()
    await expect(enrol(honest.machine, invitation)).rejects.toThrow("goodbye")
  })

  test("a name cannot be taken over: the EK's Name is the attester, and its keys are its own", async () => {
    const invitation = await invitationFrom(house)
    const { token } = readInvitation(invitation)
    const other = await Line.dial(port())
    const identity = { ...identityOf(thief.machine), evidenceKey: toBase64(honest.machine.keys.evidenceKey) }
    await other.send({ type: "enrol", invitation: toBase64(token), identity, label: "t" })
    const secret = await activate(thief.machine, await other.next("credential"))
    await other.send({ type: "activated", secret: toBase64(secret), audit: null })
    expect((await other.ending()).reason).toMatch("another attester has this")
  })
})

describe("frames", () => {
  /** What the collector says before it hangs up on a line that `misbehave` was done to. */
  async function after(
    misbehave: (other: Line) => Promise<void> | void,
    path: string = paths.attester,
  ): Promise<string> {
    const other = await (await Line.dial(port(), path)).opened()
    await misbehave(other)
    const { code, reason } = await other.ending()
    return `${code} ${reason}`
  }
  const announce = (envelope: number, length: number): string =>
    JSON.stringify({ type: "evidence", challenge: null, envelope, logs: [{ name: "assay", offset: 0, length }] })

  test("what is no message is answered with a reason", async () => {
    expect(await after(other => other.socket.send(randomBytes(50).toString("base64")))).toMatch("1008 not JSON")
    expect(await after(other => other.socket.send("{}"))).toMatch("1008")
    expect(await after(other => other.socket.send(`{"type":"hello" }`))).toMatch("1008 not in the one spelling")
    expect(await after(other => other.socket.send("[".repeat(60_000)))).toMatch("1008")
    expect(await after(other => other.socket.send("x".repeat(70_000)))).toMatch("1008 70000 bytes exceed")
    expect(await after(other => other.socket.send(announce(10, 10)))).toMatch("1008 hello must come first")
    expect(
      await after(other => other.send({ type: "activated", secret: toBase64(randomBytes(32)), audit: null })),
    ).toMatch("1008 activated came")
    expect(await after(other => other.socket.send("{}"), paths.verifier)).toMatch("1008")
    expect(await after(other => other.socket.send(randomBytes(9)), paths.verifier)).toMatch(
      "1008 a verifier sends no bytes",
    )
  })

  test("bytes that nobody announced end the connection", async () => {
    expect(await after(other => other.socket.send(randomBytes(9)))).toMatch("1008 bytes came that no evidence")
  })

  test("after an announcement come its bytes, no more and nothing else", async () => {
    const greeted = async (other: Line): Promise<void> => void (await hello(other, honest.machine))
    const then = async (send: (other: Line) => void): Promise<string> =>
      after(async other => {
        await greeted(other)
        send(other)
      })
    expect(
      await then(other => {
        other.socket.send(announce(10, 0))
        other.socket.send(randomBytes(11))
      }),
    ).toMatch("1008 more than the 10 bytes")
    expect(
      await then(other => {
        other.socket.send(announce(10, 10))
        other.socket.send(announce(10, 10))
      }),
    ).toMatch("1008 a message came where bytes")
    expect(
      await then(other => {
        other.socket.send(announce(10, 10))
        other.socket.send(new Uint8Array(0))
      }),
    ).toMatch("1008 an empty binary frame")
    expect(await then(other => other.socket.send(announce(0, 10)))).toMatch("1008 evidence without an envelope")
    expect(await then(other => other.socket.send(announce(envelopeLimit + 1, 0)))).toMatch("1008 envelope")
    expect(await then(other => other.socket.send(announce(10, 100_000_000)))).toMatch(
      "1008 logs.0: more than such a log may have",
    )
  })

  test("a connection that breaks amid announced bytes leaves nothing behind", async () => {
    const other = await Line.dial(port())
    await hello(other, honest.machine)
    other.socket.send(announce(1000, 1000))
    other.socket.send(randomBytes(700))
    await delay(5)
    other.socket.terminate()
    await other.ending()
  })

  test("C20 a frame of 100 MB is not taken in", async () => {
    const other = await Line.dial(port())
    await hello(other, honest.machine)
    other.socket.send(announce(100, 1 << 20))
    other.socket.send(Buffer.alloc(100_000_000))
    expect([1006, 1009]).toContain((await other.ending()).code)
  })

  test("random bytes where frames should be end their connection", async () => {
    for (let i = 0; i < 20; i++) {
      const socket = await rawUpgrade()
      socket.write(randomBytes(5000))
      await new Promise(resolve => socket.once("close", resolve).resume())
    }
  })

  /** A WebSocket by hand, on which anything can be written. */
  async function rawUpgrade(): Promise<Socket> {
    const socket = connectTls({ host: "127.0.0.1", port: port(), rejectUnauthorized: false })
    socket.on("error", () => {})
    const key = randomBytes(16).toString("base64")
    const head = ["Host: a", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"]
    const lines = [...head, `Sec-WebSocket-Key: ${key}`, `Sec-WebSocket-Protocol: ${subprotocol}`, "", ""]
    socket.write(`GET ${paths.attester} HTTP/1.1\r\n${lines.join("\r\n")}`)
    await new Promise(resolve => socket.once("data", resolve))
    return socket
  }
})

describe("doors", () => {
  /** How a WebSocket handshake is answered: its status, or "open". */
  function handshake(path: string, protocols: string[], headers = {}): Promise<number | "open"> {
    return new Promise(resolve => {
      const options = { rejectUnauthorized: false, headers }
      const socket = new WebSocket(`wss://127.0.0.1:${port()}${path}`, protocols, options)
      socket.on("error", () => {})
      socket.once("unexpected-response", (_, response) => resolve(response.statusCode ?? 0))
      socket.once("open", () => {
        socket.close()
        resolve("open")
      })
    })
  }

  test("C37 only the two paths, with the subprotocol, and no page of a browser", async () => {
    expect(await handshake(paths.attester, [subprotocol])).toBe("open")
    expect(await handshake(paths.verifier, ["another", subprotocol])).toBe("open")
    expect(await handshake(paths.attester, ["assay.v2"])).toBe(400)
    expect(await handshake(paths.attester, [])).toBe(400)
    expect(await handshake("/v1/other", [subprotocol])).toBe(404)
    expect(await handshake("/__proto__", [subprotocol])).toBe(404)
    expect(await handshake(paths.attester, [subprotocol], { origin: "https://example.org" })).toBe(403)
  })

  test("C38 a verifier's token admits no attester, and an attester's no verifier", async () => {
    const asked = { by: "Olga", purpose: "verifier", name: "auditor", lifetimeSeconds: 60, accept: null } as const
    const verifiers = (await house.admin.call("invite", asked)).invitation
    await expect(enrol(thief.machine, verifiers)).rejects.toThrow("goodbye")
    const other = await Line.dial(port(), paths.verifier)
    const token = toBase64(readInvitation(await invitationFrom(house)).token)
    await other.send({ type: "who", token, attester: honest.attester })
    expect((await other.ending()).reason).toMatch("the token is unknown")
  })

  test("C19 an outside verifier's questions are counted", async () => {
    const asked = { by: "Olga", purpose: "verifier", name: "auditor", lifetimeSeconds: 60, accept: null } as const
    const token = toBase64(readInvitation((await house.admin.call("invite", asked)).invitation).token)
    const other = await Line.dial(port(), paths.verifier)
    const attester = `000b${"0".repeat(64)}`
    for (let i = 0; i < house.config.limits.asks; i++) {
      await other.send({ type: "who", token, attester })
      expect(await other.next("declined")).toMatchObject({ reason: "no attester of this name is enrolled" })
    }
    await other.send({ type: "who", token, attester })
    expect((await other.ending()).reason).toMatch("too many questions")
  })

  test("of HTTP there is /healthz, and nothing else", async () => {
    const get = (path: string, method = "GET"): Promise<string> =>
      new Promise((resolve, reject) => {
        const asked = request(
          { host: "127.0.0.1", port: port(), path, method, rejectUnauthorized: false },
          response => {
            let body = ""
            response.on("data", chunk => (body += String(chunk)))
            response.on("end", () => resolve(`${response.statusCode} ${body.trim()}`))
          },
        )
        asked.on("error", reject).end()
      })
    expect(await get("/healthz")).toBe("200 ok")
    for (const path of ["/", "/v1/attester", "/healthz/", "/metrics", "/../state/tls-key.pem"])
      expect(await get(path), path).toBe("404 not found")
    expect(await get("/healthz", "POST")).toBe("404 not found")
  })

  test("C18 openssl speaks TLS 1.3 with it, and not TLS 1.2", async () => {
    const tls = async (version: string): Promise<string> => {
      const command = `openssl s_client -connect 127.0.0.1:${port()} ${version} </dev/null 2>&1 || true`
      return (await promisify(execFile)("sh", ["-c", command])).stdout
    }
    expect(await tls("-tls1_3")).toMatch(/New, TLSv1.3, Cipher is TLS_/)
    expect(await tls("-tls1_2")).toMatch(/alert protocol version/)
  })

  test("what does not speak TLS is dropped", async () => {
    const socket = connect(port(), "127.0.0.1")
    socket.on("error", () => {})
    socket.write(randomBytes(2000))
    await new Promise(resolve => socket.once("close", resolve).resume())
  })

  test("C20 a flood of connections is bounded, and who was connected stays", async () => {
    const flood = Array.from({ length: 120 }, () => connect(port(), "127.0.0.1"))
    const closed = flood.map(
      socket =>
        new Promise(resolve =>
          socket
            .on("error", () => {})
            .once("close", resolve)
            .resume(),
        ),
    )
    const open = (): number => flood.filter(socket => !socket.destroyed).length
    while (open() > 40) await delay(5)
    for (const socket of flood) socket.destroy()
    await Promise.all(closed)
  })
})

test("C20 one connection more than the bound is not taken in, however patient the collector is", async () => {
  const own = temporaryFolder()
  const patient = await startHouse(own, "[limits]\nconnections = 5\ngreeting = 600\n")
  const opened: Socket[] = []
  try {
    const kept = Array.from({ length: 5 }, () => connect(patient.collector.port, "127.0.0.1"))
    opened.push(...kept)
    await Promise.all(kept.map(each => new Promise(resolve => each.once("connect", resolve))))
    for (let i = 0; i < 15; i++) {
      const more = connect(patient.collector.port, "127.0.0.1")
      opened.push(more)
      await new Promise(resolve =>
        more
          .on("error", () => undefined)
          .once("close", resolve)
          .resume(),
      )
    }
    expect(kept.filter(each => each.destroyed)).toEqual([])
    kept[0]?.destroy()
    const line = await dialled(patient.collector.port)
    line.close()
  } finally {
    for (const each of opened) each.destroy()
    await patient.stop()
    removeFolder(own)
  }
})

/** A line, once a place is free. */
async function dialled(to: number): Promise<Line> {
  for (;;) {
    const found = await Line.dial(to).catch(() => undefined)
    if (found) return found
    await delay(5)
  }
}

test("C19 C20 one address may connect so often a minute, and who says nothing is not waited for; another collector's limit is its own", async () => {
  const own = temporaryFolder()
  const small = await startHouse(own, "[limits]\naccepts = 3\ngreeting = 1\n")
  try {
    const lines = [await Line.dial(small.collector.port), await Line.dial(small.collector.port)]
    const third = await Line.dial(small.collector.port)
    await expect(Line.dial(small.collector.port)).rejects.toThrow()
    expect((await third.ending()).reason, "who says nothing").toMatch("no first message")
    for (const each of lines) each.close()
  } finally {
    await small.stop()
    removeFolder(own)
  }
})
