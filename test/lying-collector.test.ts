/**
 * What can a collector make an outside verifier believe? One that lies: it names another machine's EK, shows the AK of a software TPM of its own,
 * and answers itself. The verifier is the command, in a process of its own; both TPMs are software TPMs that tpm2-tools drive.
 */
import { execFile, execFileSync } from "node:child_process"
import { createPrivateKey, randomBytes } from "node:crypto"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type FromVerifier, readFromVerifier, type ToVerifier } from "../attestation/protocol/message.ts"
import { exits } from "../cli/exit.ts"
import { writeInvitation } from "../attestation/protocol/invitation.ts"
import { verifierRoute } from "../collector/routes.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { listen, type Serving } from "../channel/listen.ts"
import type { Conversation, Peer } from "../channel/peer.ts"
import { pinOf } from "../channel/pin.ts"
import { activate, identityOf } from "./collector-attester.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"
import { type Machine, measurement, type Options, startMachine } from "./evidence-maker.ts"

type Ask = FromVerifier & { type: "ask" }
/** What this collector says of a machine, and who answers for it. */
type Story = {
  readonly identity: ReturnType<typeof identityOf>
  readonly answer: (asked: Ask) => ReturnType<Machine["attest"]>
}

const folder = temporaryFolder()
const pem = join(folder, "collector.pem")
let victim: Machine
let liar: Machine
let serving: Serving
let story: Story

const opened = async (machine: Machine, { credential }: Ask): Promise<Uint8Array> =>
  activate(machine, { type: "credential", credential })

const answering = (machine: Machine, { nonce }: Ask, options: Options): ReturnType<Machine["attest"]> =>
  machine.attest({ nonce: fromBase64(nonce), channel: new Uint8Array(randomBytes(32)), ...options })

class Teller implements Conversation {
  readonly #peer: Peer
  constructor(peer: Peer) {
    this.#peer = peer
  }
  async text(bytes: Uint8Array): Promise<void> {
    const question = readFromVerifier(bytes)
    if (question.type === "who")
      return this.#peer.send({ type: "identity", identity: story.identity, endorsement: "root: a maker's" })
    const { envelope, logs } = await story.answer(question)
    const log = logs.get("assay") ?? new Uint8Array(0)
    const announced: ToVerifier = {
      ...{ type: "evidence", challenge: null, envelope: envelope.length },
      logs: [{ name: "assay", offset: 0, length: log.length }],
    }
    this.#peer.send(announced)
    await this.#peer.sendBytes(envelope)
    await this.#peer.sendBytes(log)
  }
  async binary(): Promise<void> {}
  closed(): void {}
}

beforeAll(async () => {
  ;[victim, liar] = await Promise.all([startMachine(), startMachine("ecc", "second")])
  for (const machine of [victim, liar]) await machine.append(measurement("vllm"))
  const made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=c"]
  execFileSync("openssl", [...made, "-keyout", pem, "-out", `${pem}.crt`], { stdio: "ignore" })
  serving = await listen({
    ...{ host: "127.0.0.1", port: 0, now: Date.now, farewell: "over", peerCertificates: "not asked" },
    limits: { greeting: 10, connections: 8, accepts: 60 },
    tls: { key: readFileSync(pem), cert: readFileSync(`${pem}.crt`) },
    say: () => undefined,
    doors: [{ ...verifierRoute, open: peer => new Teller(peer) }],
  })
  const pin = pinOf(createPrivateKey(readFileSync(pem)))
  const token = new Uint8Array(randomBytes(32))
  writeFileSync(join(folder, "invitation"), writeInvitation({ host: "127.0.0.1", port: serving.port, pin, token }))
}, 60_000)
afterAll(async () => {
  await serving.stop()
  await Promise.all([victim.tpm.stop(), liar.tpm.stop()])
  removeFolder(folder)
})

/** The command asks for the victim, whose name it knows; exit code, and ids of what was found. */
function verifier(...more: string[]): Promise<{ code: number; found: readonly string[] }> {
  const program = join(import.meta.dirname, "../cli/assay.mjs")
  const given = [
    "--token-file",
    join(folder, "invitation"),
    "--attester",
    victim.keys.attester,
    "--known-from",
    "its box",
  ]
  return new Promise(resolve => {
    execFile(process.execPath, [program, "challenge", ...given, "--json", ...more], (error, stdout) => {
      const said = stdout.startsWith("{") ? JSON.parse(stdout) : { findings: [] }
      resolve({
        code: error === null ? 0 : Number(error.code),
        found: said.findings.map(({ id }: { id: string }) => id),
      })
    })
  })
}

test("the truth is believed", async () => {
  story = {
    identity: identityOf(victim),
    answer: async asked => answering(victim, asked, { secret: await opened(victim, asked) }),
  }
  expect(await verifier()).toMatchObject({ code: 0 })
}, 60_000)

test("C13 M17 an AK of its own under the victim's EK: the secret is wrapped for both, and opens for neither", async () => {
  const identity = { ...identityOf(liar), attester: victim.keys.attester, ekPublic: identityOf(victim).ekPublic }
  const named: Options["alterBody"] = body => ({ ...body, attester: victim.keys.attester })
  story = { identity, answer: asked => answering(liar, asked, { secret: new Uint8Array(32), alterBody: named }) }
  expect(await verifier()).toMatchObject({
    code: exits.unauthentic,
    found: expect.arrayContaining(["quote.qualifying-data"]),
  })
  story = { identity, answer: asked => answering(liar, asked, { alterBody: named }) }
  expect((await verifier()).found).toContain("credential.missing")
  story = {
    identity,
    answer: async asked => {
      await expect(opened(victim, asked), "the victim's TPM does not hold that AK").rejects.toThrow()
      await expect(opened(liar, asked), "the liar's TPM does not hold that EK").rejects.toThrow()
      return answering(liar, asked, { alterBody: named })
    },
  }
  expect((await verifier()).code).toBe(exits.unauthentic)
}, 60_000)

test("C14 another EK under the victim's name is asked nothing", async () => {
  story = {
    identity: { ...identityOf(liar), attester: victim.keys.attester },
    answer: () => Promise.reject(new Error("it was asked")),
  }
  expect(await verifier()).toMatchObject({ code: exits.unauthentic, found: expect.arrayContaining(["ak.unfit"]) })
}, 60_000)

test("evidence of the victim's that was made for somebody else is none for this nonce", async () => {
  story = {
    identity: identityOf(victim),
    answer: async asked => answering(victim, { ...asked, nonce: Buffer.alloc(32, 7).toString("base64") }, {}),
  }
  expect(await verifier()).toMatchObject({ code: exits.unauthentic, found: expect.arrayContaining(["nonce.mismatch"]) })
}, 60_000)
