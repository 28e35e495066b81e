/**
 * Is there a verb that does something for who may not call it? Every socket of the product, served by its own process, and every verb of its table: by a
 * user whom the socket does not let in, and by one who is let in and lacks what the verb's row needs. A verb that is added is called here too.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from "node:child_process"
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { verbs as brokerVerbs } from "../agent/broker/verbs.ts"
import { verbs as readerVerbs } from "../agent/reader/verbs.ts"
import { agentSocket, agentVerbs } from "../agent/verbs.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import { type CollectorVerbs, socketName, verbs as collectorVerbs } from "../collector/verbs.ts"
import { listenLocal, openCaller, serveVerbs, type Verbs } from "../local/call.ts"
import { entryPoint } from "../local/entry.ts"
import { startService, type Service } from "../scripts/start/child.ts"
import { z } from "zod"
import { identityOf } from "./collector-attester.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"
import { type Machine, startMachine } from "./evidence-maker.ts"
import { keptIn } from "./kept.ts"
import { messages } from "./stranger.ts"
import { startSwtpm, type Swtpm } from "./swtpm.ts"

const folder = temporaryFolder()
const place = (name: string): string => join(folder, name)
/** Every socket that the product serves, where it is here, and its table. */
const sockets: readonly {
  readonly whose: string
  readonly mode: number
  readonly path: string
  readonly verbs: Verbs
}[] = [
  { whose: "the collector's administration", mode: 0o660, path: place(`run/${socketName}`), verbs: collectorVerbs },
  { whose: "the agent", mode: 0o660, path: place(`arun/${agentSocket}`), verbs: agentVerbs },
  { whose: "the broker", mode: 0o600, path: place("arun/broker.sock"), verbs: brokerVerbs },
  { whose: "the reader", mode: 0o600, path: place("reader.sock"), verbs: readerVerbs },
]
const services: Service[] = []
let reader: ChildProcess
let tpm: Swtpm
let machine: Machine

const answers = async (path: string): Promise<void> => {
  while (
    !(await openCaller(path, {}, 1000).then(
      caller => (caller.close(), true),
      () => false,
    ))
  )
    await delay(20)
}

beforeAll(async () => {
  ;[tpm, machine] = await Promise.all([startSwtpm(), startMachine("ecc", "second")])
  chmodSync(folder, 0o755)
  mkdirSync(place("model"))
  writeFileSync(place("model/weights"), "weights")
  writeFileSync(
    place("collector.toml"),
    `state = "${place("state")}"\nruntime = "${place("run")}"\nlisten = { host = "127.0.0.1", port = 0 }\nadvertise = { host = "127.0.0.1" }\n`,
  )
  writeFileSync(
    place("agent.toml"),
    `state = "${place("astate")}"\nruntime = "${place("arun")}"\ntpm = { tcti = "${tpm.tcti}", software = true }\n[[weights]]\nname = "m"\npath = "${place("model")}"\n`,
  )
  services.push(startService("collector", ["collector", "--config", place("collector.toml")], place("collector.log")))
  services.push(startService("agent", ["agent", "--config", place("agent.toml")], place("agent.log")))
  reader = spawn(process.execPath, [entryPoint("reader"), "--socket", place("reader.sock"), "--attached"], {
    stdio: ["pipe", "ignore", "ignore"],
  })
  await Promise.all(sockets.map(({ path }) => answers(path)))
  // the folders keep others out too; here the sockets are to do it alone
  for (const each of ["run", "arun"]) chmodSync(place(each), 0o755)
}, 120_000)
afterAll(async () => {
  await Promise.all(services.map(each => each.stop()))
  reader.stdin?.end()
  await Promise.all([tpm.stop(), machine.tpm.stop()])
  removeFolder(folder)
}, 60_000)

/** Calls every verb of `names` at `path` as a user who is nobody here; gives what came of each. */
async function asStranger(path: string, names: readonly string[]): Promise<readonly string[]> {
  const script = `
    import { createConnection } from "node:net"
    for (const verb of ${JSON.stringify(names)})
      await new Promise(done => {
        const socket = createConnection(${JSON.stringify(path)})
        const text = JSON.stringify({ verb, with: {} })
        const head = Buffer.alloc(4)
        head.writeUInt32BE(text.length)
        socket.on("connect", () => socket.write(Buffer.concat([head, Buffer.from(text)])))
        socket.on("data", () => (console.log("an answer"), socket.destroy()))
        socket.on("error", error => console.log(error.code))
        socket.on("close", done)
      })`
  const args = [
    "--reuid",
    "61004",
    "--regid",
    "61004",
    "--clear-groups",
    process.execPath,
    "--input-type=module",
    "-e",
    script,
  ]
  return (await promisify(execFile)("setpriv", args, { cwd: "/" })).stdout.trim().split("\n")
}

describe.each(sockets)("$whose", ({ path, verbs, mode }) => {
  test("C37 C38 lets no other user call any of its verbs", async () => {
    const names = Object.keys(verbs)
    expect(statSync(path).mode & 0o777, "the socket's mode").toBe(mode)
    if (process.getuid?.() === 0) expect(await asStranger(path, names)).toEqual(names.map(() => "EACCES"))
  }, 60_000)

  test("C38 understands no message of an agent's or a verifier's, and no other socket's verb", async () => {
    const others = sockets.filter(each => each.path !== path).flatMap(each => Object.keys(each.verbs))
    const names = [
      ...others,
      ...Object.keys(messages(identityOf(machine), machine.keys.attester)),
      "__proto__",
      "constructor",
      "",
    ]
    const any = z.unknown()
    for (const name of names.filter(each => !Object.hasOwn(verbs, each))) {
      const caller = await openCaller(path, { [name]: { needs: "the socket", request: any, answer: any } }, 10_000)
      await expect(caller.call(name, {}), name).rejects.toThrow("there is no verb")
      caller.close()
    }
  }, 60_000)
})

type Asked = { [K in keyof CollectorVerbs]: z.input<CollectorVerbs[K]["request"]> }
const reason = "a test"
const nothing = "0".repeat(64)

/** A request of each verb in its right form, of which what its row needs is left out or is not good. */
function lacking(): Asked {
  const attester = machine.keys.attester
  const by = " "
  const certificate = toBase64(new Uint8Array(readFileSync(place("own.der"))))
  return {
    identity: {},
    invite: { by, purpose: "attester", name: "n", lifetimeSeconds: null, accept: null },
    "tls-rotate": { by, reason },
    revoke: { id: nothing, by },
    invitations: { before: null },
    "roots-add": { certificate, approver: null },
    "roots-list": { skip: 0 },
    "roots-withdraw": { fingerprint: nothing, by, reason },
    retire: { attester, by, reason },
    attesters: { after: "" },
    status: { attester },
    challenge: { attester, depth: "quick" },
    export: { attester, evidence: "newest" },
    log: { evidence: nothing, offset: 0 },
    "boot-log": { evidence: nothing, name: "ima", offset: 0 },
    "reference-record": { attester, by, ignore: [] },
    "reference-show": { attester, offset: 0 },
    publish: { note: toBase64(Buffer.from("a policy that nobody signed\n")) },
    notes: { skip: 0 },
    note: { digest: nothing, offset: 0 },
    measured: { digest: nothing },
    gaps: { skip: 0 },
    "gap-plan": { gap: "g", owner: "Olga", closes: "2030-01-01", by, reason },
    causes: {},
    clear: { attester, by, reason },
    "secret-put": { attester, name: "disk-key", tier: "affirming", by, reason, secret: "AAAA" },
    "secret-list": { skip: 0 },
    "secret-withdraw": { attester, name: "disk-key", by, reason },
    restored: { by, reason },
  }
}

describe("C37 the administration's rows", () => {
  beforeAll(() => {
    const made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=a root of nobody's"]
    execFileSync("openssl", [...made, "-keyout", place("own.key"), "-outform", "DER", "-out", place("own.der")], {
      stdio: "ignore",
    })
  })

  test.each(Object.entries(collectorVerbs).map(([verb, { needs }]) => ({ verb: verb as keyof CollectorVerbs, needs })))(
    "$verb, which needs $needs, changes nothing without it",
    async ({ verb, needs }) => {
      const before = keptIn(folder)
      const keys = readdirSync(place("state")).filter(name => name.startsWith("tls"))
      const office = await openCaller(place(`run/${socketName}`), collectorVerbs, 10_000)
      const said = await office.call(verb, lacking()[verb]).then(JSON.stringify, (error: Error) => error.message)
      office.close()
      expect(keptIn(folder), said).toEqual(before)
      expect(readdirSync(place("state")).filter(name => name.startsWith("tls"))).toEqual(keys)
      if (needs === "a person") expect(said).toContain("needs the name of who decides it")
      if (needs === "people's signatures" || needs === "a listed root, or a person") expect(said).toContain('"refused"')
    },
  )

  test("whoever decides is named in the request, and nobody decides where no row says so", () => {
    for (const [verb, { needs, request }] of Object.entries(collectorVerbs))
      expect("by" in request.shape, verb).toBe(needs === "a person")
  })

  test("a verb that is added without a row's proof does not compile, and one that needs a person gets its name from serveVerbs", async () => {
    // @ts-expect-error what it needs is missing
    const unsaid: Verbs = { careless: { request: z.unknown(), answer: z.unknown() } }
    expect(Object.keys(unsaid)).toEqual(["careless"])
    const table = { decide: { needs: "a person", request: z.object({}), answer: z.string() } } as const
    const server = await listenLocal(place("new.sock"), 0o600)
    serveVerbs(server, table, { decide: async () => "done" })
    const caller = await openCaller(place("new.sock"), table, 5000)
    await expect(caller.call("decide", {})).rejects.toThrow("needs the name")
    caller.close()
    server.close()
  })
})

test.each(["join", "rotate"] as const)(
  "C37 the agent's %s lets it in nowhere without an invitation that a collector knows",
  async verb => {
    const { port, pin } = await asked()
    const caller = await openCaller(place(`arun/${agentSocket}`), agentVerbs, 30_000)
    const token = Buffer.alloc(32, 7).toString("base64url")
    for (const invitation of ["", "assay1:127.0.0.1:1:x:y", `assay1:127.0.0.1:${port}:${pin}:${token}`])
      await expect(caller.call(verb, { invitation }), invitation).rejects.toThrow()
    expect((await caller.call("status", {})).collector).toBe(null)
    caller.close()
  },
  60_000,
)

async function asked(): Promise<{ port: number; pin: string }> {
  const office = await openCaller(place(`run/${socketName}`), collectorVerbs, 10_000)
  const { port, pin } = await office.call("identity", {})
  office.close()
  return { port, pin: Buffer.from(pin, "base64").toString("base64url") }
}

test("C37 nothing else listens: every server in the product is one of those whose tables are tried", () => {
  const root = resolve(import.meta.dirname, "..")
  const rooms = ["agent", "attestation", "channel", "cli", "collector", "local", "node-tpm2"]
  const files = rooms
    .flatMap(room =>
      readdirSync(join(root, room), { recursive: true, encoding: "utf8" }).map(name => `${room}/${name}`),
    )
    .filter(name => name.endsWith(".ts"))
  const holding = (what: RegExp): string[] =>
    files.filter(name => what.test(readFileSync(join(root, name), "utf8"))).toSorted()
  expect(holding(/\bserveVerbs\(/)).toEqual([
    ...["agent/agent.ts", "agent/broker/main.ts", "agent/reader/main.ts", "collector/main.ts"],
  ])
  expect(holding(/import \{[^}]*\blisten\b[^}]*\} from "[^"]*channel\/listen\.ts"/)).toEqual([
    "agent/listener.ts",
    "collector/serve.ts",
  ])
  expect(holding(/\bcreate(?:Server|Https)\(/)).toEqual([
    ...["channel/listen.ts", "cli/witness.ts", "local/activation.ts", "local/call.ts"],
  ])
})
