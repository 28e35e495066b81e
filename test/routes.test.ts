/**
 * Is there a door, a page or a message that does something for who has not proven what its row demands? Every test here is made from the tables that the
 * servers dispatch by, so a row that is added is knocked at, and one that lets strangers in fails.
 */
import { request } from "node:https"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { writeMessage } from "../attestation/protocol/message.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import { type Door, listen } from "../channel/listen.ts"
import { type Conversation, type Peer } from "../channel/peer.ts"
import { pages, type Proof } from "../channel/route.ts"
import { attesterRoute, routes, type StageName } from "../collector/routes.ts"
import { verbs } from "../collector/verbs.ts"
import { enrol, hello, identityOf, Line } from "./collector-attester.ts"
import { Attester } from "./collector-chain.ts"
import { type House, invitationFrom, removeFolder, startHouse, temporaryFolder } from "./collector-house.ts"
import { measurement } from "./evidence-maker.ts"
import { keptIn } from "./kept.ts"
import { knock, messages, revealed, type Said } from "./stranger.ts"
import { tlsKey } from "./tls-key.ts"

const folder = temporaryFolder()
let house: House
let honest: Attester
let thief: Attester
let line: Line
/** What strangers may hold: what an operator gave out for another door, or took back. */
let tokens: Readonly<Record<"made up" | "used" | "revoked" | "a verifier's" | "an attester's", string>>

const tokenIn = (invitation: string): string => toBase64(readInvitation(invitation).token)

beforeAll(async () => {
  ;[house, honest, thief] = await Promise.all([
    startHouse(folder, "[limits]\naccepts = 100000\nasks = 6000\n"),
    Attester.start(),
    Attester.start("second"),
  ])
  await honest.machine.append(measurement("a"))
  const used = await invitationFrom(house)
  line = await enrol(honest.machine, used)
  await honest.prove(line)
  const asked = { by: "Olga", purpose: "verifier", name: "auditor", lifetimeSeconds: 3600, accept: null } as const
  const verifier = await house.admin.call("invite", asked)
  const taken = await house.admin.call("invite", { ...asked, purpose: "attester", name: "gpu-2" })
  await house.admin.call("revoke", { id: taken.id, by: "Olga" })
  tokens = {
    "made up": toBase64(new Uint8Array(32).fill(7)),
    used: tokenIn(used),
    revoked: tokenIn(taken.invitation),
    "a verifier's": tokenIn(verifier.invitation),
    "an attester's": tokenIn(await invitationFrom(house)),
  }
}, 60_000)
afterAll(async () => {
  line?.close()
  await house.stop()
  await Promise.all([honest.stop(), thief.stop()])
  removeFolder(folder)
})

/** The tokens that a message with this proof must not be done for. */
const wrong: Readonly<Record<Proof, readonly (keyof typeof tokens)[]>> = {
  none: ["made up"],
  "an attester's invitation": ["made up", "used", "revoked", "a verifier's"],
  "the recovered secret": ["made up"],
  "enrolled keys": ["made up"],
  "an open challenge": ["made up"],
  "a verifier's token": ["made up", "used", "revoked", "an attester's"],
  "a listed TLS key": ["made up"],
}

const rows = routes.flatMap(({ path, says }) =>
  Object.entries(says).map(([said, { needs }]) => ({ path, said: said as Said, needs: needs as Proof })),
)
const cases = rows.flatMap(row => wrong[row.needs].map(shown => ({ ...row, shown })))

describe("C15 C37 every row of the collector's routes", () => {
  test.each(cases)(
    "$path $said, which needs $needs, says and changes nothing for a token that is $shown",
    async row => {
      const before = keptIn(folder)
      const all = messages(identityOf(thief.machine), honest.attester, tokens[row.shown])
      const came = await knock(house.collector.port, row.path, [writeMessage(all[row.said])])
      expect(came.filter(each => each !== "goodbye")).toEqual(row.said === "hello" ? ["challenge"] : [])
      expect(keptIn(folder), "the store").toEqual(before)
    },
  )

  test.each(routes)(
    "C38 at $path nothing is said to a stranger, whatever of the protocol is tried, first or after a hello",
    async ({ path }) => {
      const before = keptIn(folder)
      for (const [name, token] of Object.entries(tokens).filter(
        ([name]) => path.includes("verifier") || name !== "an attester's",
      )) {
        if (path.includes("verifier") && name === "a verifier's") continue
        expect(
          await revealed(house.collector.port, path, identityOf(thief.machine), honest.attester, { token }),
          name,
        ).toEqual([])
      }
      expect(keptIn(folder), "the store").toEqual(before)
    },
  )

  test("only what reveals and changes nothing needs no proof", () => {
    expect(rows.filter(({ needs }) => needs === "none").map(({ said }) => said)).toEqual(["hello", "goodbye"])
  })

  test("C38 no verb of the administration is understood at any door", async () => {
    const before = keptIn(folder)
    for (const { path } of routes)
      for (const verb of Object.keys(verbs))
        for (const text of [
          { verb, with: {} },
          { type: verb, by: "Olga" },
        ])
          expect(await knock(house.collector.port, path, [JSON.stringify(text)]), `${verb} at ${path}`).toEqual([
            "goodbye",
          ])
    expect(keptIn(folder), "the store").toEqual(before)
  })
})

describe("C37 each message at each stage of a connection that its row does not name", () => {
  /** A connection of an attester's that is so far. */
  const stages: Readonly<Record<StageName, () => Promise<Line>>> = {
    new: () => Line.dial(house.collector.port),
    greeted: async () => {
      const other = await Line.dial(house.collector.port)
      await hello(other, honest.machine)
      return other
    },
    proven: async () => {
      const other = await Line.dial(house.collector.port)
      await honest.prove(other)
      return other
    },
    applying: async () => {
      const other = await Line.dial(house.collector.port)
      const token = tokenIn(await invitationFrom(house))
      await other.send(messages(identityOf(thief.machine), thief.attester, token).enrol)
      await other.next("credential")
      return other
    },
    enrolled: async () => enrol(honest.machine, await invitationFrom(house)),
  }
  const all = Object.entries(attesterRoute.says) as [keyof typeof attesterRoute.says, { at: readonly StageName[] }][]
  const misplaced = (Object.keys(stages) as StageName[]).flatMap(stage =>
    all.filter(([, { at }]) => !at.includes(stage)).map(([said]) => ({ stage, said })),
  )

  test.each(misplaced)("$said on a connection that is $stage ends it", async ({ stage, said }) => {
    const other = await stages[stage]()
    const token = tokenIn(await invitationFrom(house))
    await other.send(messages(identityOf(honest.machine), honest.attester, token)[said])
    expect((await other.ending()).reason).toMatch(/hello must come first|came where another message was due/)
  })
})

describe("C37 of HTTP there are the pages of the table", () => {
  const methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
  const get = (path: string, method: string): Promise<string> =>
    new Promise((resolve, reject) => {
      const { port } = house.collector
      request({ host: "127.0.0.1", port, path, method, rejectUnauthorized: false }, response => {
        let body = ""
        response.on("data", chunk => (body += String(chunk))).on("end", () => resolve(`${response.statusCode} ${body}`))
      })
        .on("error", reject)
        .end()
    })

  test("each the same text for everybody, by its method only", async () => {
    for (const { path, method: own, text } of pages)
      for (const method of methods)
        expect(await get(path, method), method).toBe(
          method === own ? `200 ${text}` : method === "HEAD" ? "404 " : "404 not found\n",
        )
  })

  test("and nothing at the doors' paths, at the verbs' names, or beside them", async () => {
    const paths = [
      ...routes.map(({ path }) => path),
      ...Object.keys(verbs).flatMap(verb => [`/${verb}`, `/v1/${verb}`]),
    ]
    for (const path of [...paths, "/metrics", "/healthz/", "/healthz?x", "/../state/tls.pem", "/v1/attester/.."])
      expect(await get(path, "GET"), path).toBe("404 not found\n")
  })
})

describe("what these tests are worth", () => {
  /** Answers whoever asks: the mistake that must not pass. */
  class Careless implements Conversation {
    readonly #peer: Peer
    constructor(peer: Peer) {
      this.#peer = peer
    }
    async text(bytes: Uint8Array): Promise<void> {
      if (!Buffer.from(bytes).includes("type")) return this.#peer.leave("no", 1)
      this.#peer.send({ type: "declined", challenge: null, reason: "this attester is not connected" })
    }
    async binary(): Promise<void> {}
    closed(): void {}
  }

  test("a door that was added and answers everybody is found", async () => {
    const door: Door = {
      path: "/v1/new",
      who: "verifiers",
      says: { who: { needs: "none" } },
      open: peer => new Careless(peer),
    }
    const serving = await listen({
      ...{ host: "127.0.0.1", port: 0, now: Date.now, farewell: "over", peerCertificates: "not asked", doors: [door] },
      limits: { greeting: 10, connections: 50, accepts: 1000 },
      tls: tlsKey(join(folder, "door.pem"), "c"),
      say: () => undefined,
    })
    try {
      const found = await revealed(serving.port, door.path, identityOf(thief.machine), honest.attester)
      expect(found).toContain("/v1/new: who was answered with declined")
    } finally {
      await serving.stop()
    }
  })
})
