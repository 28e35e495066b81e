/**
 * Who knocks at doors that are not for them? Somebody without any proof, or with that of another door, who says each thing that the protocol has. What came
 * back to them is collected, whatever it is; whether that may be so stands in the tests.
 */
import { randomBytes } from "node:crypto"
import { WebSocket } from "ws"
import {
  type FromAttester,
  type FromVerifier,
  type Identity,
  subprotocol,
  writeMessage,
} from "../attestation/protocol/message.ts"
import { toBase64 } from "../attestation/wire/text.ts"

type Message = FromAttester | FromVerifier
export type Said = Message["type"]

const drawn = (): string => toBase64(new Uint8Array(randomBytes(32)))

/** One of each message, in its right form, as a stranger of this identity would write it about `attester`; `token` is all that it could show. */
export const messages = (
  identity: Identity,
  attester: string,
  token = drawn(),
): { [T in Said]: Extract<Message, { type: T }> } => ({
  hello: { type: "hello", attester, ak: attester, version: "1" },
  enrol: { type: "enrol", invitation: token, identity, label: "stranger" },
  activated: { type: "activated", secret: drawn(), audit: null },
  evidence: { type: "evidence", challenge: null, envelope: 40, logs: [{ name: "assay", offset: 0, length: 4 }] },
  declined: { type: "declined", challenge: "0".repeat(32), reason: "no" },
  hashed: { type: "hashed", challenge: "0".repeat(32) },
  want: { type: "want", secret: "disk-key" },
  goodbye: { type: "goodbye", reason: "no", retryAfterSeconds: 1 },
  who: { type: "who", token, attester },
  ask: {
    ...{ type: "ask", token, attester, nonce: drawn(), depth: "quick" },
    credential: { idObject: drawn(), encryptedSecret: drawn() },
  },
})

/** TLS key and certificate that the stranger shows, if any. */
export type Shown = { readonly key?: string; readonly cert?: string }

/**
 * Says `texts` at `path` and then something that is no message, which ends the connection; gives the types of all that came until then, "bytes" for bytes,
 * or the status of a handshake that was refused.
 */
export function knock(
  port: number,
  path: string,
  texts: readonly string[],
  shown: Shown = {},
): Promise<readonly string[]> {
  return new Promise(resolve => {
    const came: string[] = []
    const socket = new WebSocket(`wss://127.0.0.1:${port}${path}`, subprotocol, { rejectUnauthorized: false, ...shown })
    socket.once("unexpected-response", (_, response) => resolve([String(response.statusCode)]))
    socket.on("error", () => undefined)
    socket.on("message", (data, binary) =>
      came.push(binary ? "bytes" : typeIn(Buffer.isBuffer(data) ? data.toString() : "")),
    )
    socket.once("close", () => resolve(came))
    socket.once("open", () => {
      for (const each of texts) {
        socket.send(each)
        if (each.includes('"type":"evidence"')) socket.send(new Uint8Array(44))
      }
      socket.send("{}")
    })
  })
}

function typeIn(text: string): string {
  const said: unknown = JSON.parse(text)
  return typeof said === "object" && said !== null && "type" in said ? String(said.type) : "nothing"
}

/** What may come back to anybody: a nonce, a refusal, an end. It tells nothing that is not the same for all. */
const harmless: ReadonlySet<string> = new Set(["challenge", "refused", "goodbye", "404", "403", "400"])

/** What a stranger got that is not for strangers, as lines. */
export async function revealed(
  port: number,
  path: string,
  identity: Identity,
  attester: string,
  { token, shown }: { readonly token?: string; readonly shown?: Shown } = {},
): Promise<string[]> {
  const all = messages(identity, attester, token)
  const found: string[] = []
  for (const message of Object.values(all))
    for (const before of [[], [all.hello]]) {
      const texts = [...before, message].map(writeMessage)
      const came = await knock(port, path, texts, shown)
      const more = came.filter(each => !harmless.has(each))
      if (more.length > 0)
        found.push(
          `${path}: ${[...before, message].map(({ type }) => type).join(", ")} was answered with ${more.join(", ")}`,
        )
    }
  return found
}
