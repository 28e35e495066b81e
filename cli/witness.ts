/**
 * How does somebody outside stand behind a collector's vault? By running this: it keeps the last checkpoint that it signed of each log, and
 * signs only what continues it (c2sp.org/tlog-witness). When it signs: `attestation/vault/witness.ts`.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign } from "node:crypto"
import { existsSync, mkdirSync, readFileSync } from "node:fs"
import { createServer, type IncomingMessage, type Server } from "node:http"
import { join } from "node:path"
import { z } from "zod"
import { noteKeyId, type NoteKey, readVerifierKey, writeNote } from "../attestation/pins/note.ts"
import { checkpointText, cosign, writeWitnessKey } from "../attestation/vault/checkpoint.ts"
import { judgeRequest, type Judgement, readLast, readRequest, requestLimit } from "../attestation/vault/witness.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { writeWhole } from "../collector/keys.ts"
import { command } from "./command.ts"
import { Problem } from "./exit.ts"
import { hostAndPort, text } from "./given.ts"
import { plain, remark, type Terminal } from "./terminal.ts"

/** A witness: its key, the logs that it knows, and where it keeps what it signed. */
export type Witness = {
  readonly key: NoteKey
  readonly sign: (message: Uint8Array) => Uint8Array
  readonly logs: readonly NoteKey[]
  readonly folder: string
}

export const witnessCommand = command({
  name: "witness",
  says: "stand behind a collector's vault: sign only what continues what was signed before",
  teaches:
    "Keeps the last checkpoint that it signed, and cosigns a new one only if the collector proves that nothing before it was " +
    "altered, taken out or put in between. Run it where the collector's operators cannot reach. Its key is made at the first start and " +
    "printed; with its address it goes into vault.witnesses of collector.toml.",
  takes: [],
  options: [
    ["--log <key>", "whose vault: the key that assay vault key prints"],
    ["--state <folder>", "where its key and what it signed last are kept"],
    ["--name <name>", "what it is called in its signatures (default: witness)"],
    ["--listen <host:port>", "where it is asked (default: 127.0.0.1:7455)"],
  ],
  examples: ["assay witness --log 'collector/vault+33d7b496+AeHT…' --state witness --name witness.example/w1"],
  exits: ["good", "failed", "misuse"],
  reads: z.object({
    log: text,
    state: text,
    name: z
      .string()
      .regex(/^[^\s+\p{Z}\p{C}]{1,128}$/u, "not a name without spaces and plus signs")
      .default("witness"),
    listen: hostAndPort.prefault("127.0.0.1:7455"),
  }),
  run: async ({ log, state, name, listen }, terminal) => {
    const witness = openWitness(state, name, [logOf(log)])
    const server = serveWitness(witness, line => remark(terminal, line))
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject)
      server.listen(listen.port, listen.host.replace(/^\[|\]$/g, ""), resolve)
    }).catch((error: Error) => {
      throw new Problem(
        "failed",
        `it cannot listen on ${listen.host}:${listen.port}: ${error.message}`,
        "name another: --listen",
      )
    })
    tellKey(terminal, witness)
    await new Promise<void>(resolve => {
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, resolve)
    })
    server.closeAllConnections()
    server.close()
    return "good"
  },
})

function tellKey(terminal: Terminal, { key, logs }: Witness): void {
  terminal.out.write(`${writeWitnessKey(key)}\n`)
  for (const log of logs) remark(terminal, `watches ${plain(log.name)}, key ${noteKeyId(log)}`)
}

function logOf(given: string): NoteKey {
  try {
    return readVerifierKey(given)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem("misuse", `--log: ${error.message}`, "take the line that assay vault key prints")
  }
}

/** The witness whose state is in `folder`; its key is made where there is none. */
export function openWitness(folder: string, name: string, logs: readonly NoteKey[]): Witness {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const path = join(folder, "witness-key.pem")
  if (!existsSync(path))
    writeWhole(path, generateKeyPairSync("ed25519").privateKey.export({ format: "pem", type: "pkcs8" }).toString())
  const secret = createPrivateKey(readFileSync(path))
  const { x = "" } = createPublicKey(secret).export({ format: "jwk" })
  const key = { name, publicKey: new Uint8Array(Buffer.from(x, "base64url")) }
  return { key, sign: message => new Uint8Array(sign(null, message, secret)), logs, folder }
}

/** The HTTP face of a witness, not listening yet. */
export function serveWitness(witness: Witness, say: (line: string) => void): Server {
  const server = createServer({ requestTimeout: 10_000, headersTimeout: 5000 }, (request, answer) => {
    const ended = (status: number, body: string, type = "text/plain"): void =>
      void answer.writeHead(status, { "content-type": type }).end(body)
    if (request.method !== "POST" || request.url !== "/add-checkpoint")
      return ended(404, "ask with POST /add-checkpoint\n")
    bodyOf(request).then(
      body => answerTo(witness, body, ended, say),
      (error: Error) => ended(400, `${error.message}\n`),
    )
  })
  server.maxConnections = 64
  return server
}

type Ended = (status: number, body: string, type?: string) => void

function answerTo(witness: Witness, body: Uint8Array, ended: Ended, say: (line: string) => void): void {
  const judged = judge(witness, body)
  if (judged.kind === "cosign") return ended(200, cosigned(witness, judged, say))
  if (judged.why !== "") say(`refused: ${plain(judged.why, 300)}`)
  if (judged.kind === "conflict") return ended(409, `${judged.size}\n`, "text/x.tlog.size")
  ended(judged.status, `${judged.why}\n`)
}

function judge(witness: Witness, body: Uint8Array): Judgement {
  try {
    return judgeRequest(readRequest(body), witness.logs, origin => lastOf(witness, origin))
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return { kind: "refused", status: 400, why: error.message }
  }
}

/** It is on disk before the signature leaves. */
function cosigned(witness: Witness, judged: Judgement & { kind: "cosign" }, say: (line: string) => void): string {
  const { checkpoint, note } = judged.signed
  writeWhole(fileOf(witness, checkpoint.origin), checkpointText(checkpoint))
  say(`signed ${checkpoint.size} leaves of ${plain(checkpoint.origin)}`)
  const line = cosign(note.text, witness.key, Math.floor(Date.now() / 1000), witness.sign)
  const written = Buffer.from(writeNote({ text: note.text, signatures: [line] })).toString("utf8")
  return written.slice(written.lastIndexOf("\n\n") + 2)
}

/** One file a log: its origin in hexadecimal, since it may hold any character. */
const fileOf = ({ folder }: Witness, origin: string): string =>
  join(folder, `${Buffer.from(origin).toString("hex")}.last`)

function lastOf(witness: Witness, origin: string) {
  const path = fileOf(witness, origin)
  return existsSync(path) ? readLast(readFileSync(path, "utf8")) : undefined
}

function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let length = 0
    request.on("data", (part: Buffer) => {
      parts.push(part)
      if ((length += part.length) <= requestLimit) return
      reject(new Error(`a request has at most ${requestLimit} bytes`))
      request.destroy()
    })
    request.on("error", reject)
    request.on("end", () => resolve(new Uint8Array(Buffer.concat(parts))))
  })
}
