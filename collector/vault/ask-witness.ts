/** How does a collector ask a witness? Over HTTP, once, within ten seconds, and it believes only a cosignature that verifies. */
import { request as overHttp } from "node:http"
import { request as overHttps } from "node:https"
import { readNote, type NoteKey, type SignatureLine } from "../../attestation/pins/note.ts"
import { cosignersOf } from "../../attestation/vault/checkpoint.ts"
import { writeRequest } from "../../attestation/vault/witness.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import type { Anchor, Vault } from "./vault.ts"

/** A witness as it is configured. */
export type Witness = { readonly url: string; readonly key: NoteKey }

/** cosigned: its line; refused: why, in its own words or ours. `seen` is the larger tree that it saw. */
export type Asked =
  | { readonly kind: "cosigned"; readonly line: SignatureLine }
  | { readonly kind: "refused"; readonly why: string; readonly seen?: number }

const patience = 10_000
const answerLimit = 1 << 16

/** Asks `witness` to cosign what `anchor` says; it says itself what it saw last. */
export async function askWitness(vault: Vault, { url, key }: Witness, anchor: Anchor, seen = 0): Promise<Asked> {
  const proof = seen > 0 && seen <= anchor.size ? await vault.consistency(seen, anchor.size) : []
  const body = writeRequest({ old: seen, proof, checkpoint: anchor.checkpoint })
  const answer = await post(new URL("add-checkpoint", url.endsWith("/") ? url : `${url}/`), "text/plain", body)
  const said = answer.bytes.toString("utf8")
  if (answer.status === 409 && /^\d{1,15}\n/.test(said))
    return again(vault, { url, key }, anchor, seen, Number.parseInt(said, 10))
  if (answer.status !== 200)
    return { kind: "refused", why: said.trim().slice(0, 300) || `it answered ${answer.status}` }
  return lineIn(anchor, key, said)
}

async function again(vault: Vault, witness: Witness, anchor: Anchor, asked: number, saw: number): Promise<Asked> {
  if (saw > anchor.size) return { kind: "refused", why: `it saw ${saw} leaves, and here are ${anchor.size}`, seen: saw }
  if (saw === asked) return { kind: "refused", why: `it signed another root over the same ${saw} leaves`, seen: saw }
  return askWitness(vault, witness, anchor, saw)
}

function lineIn(anchor: Anchor, key: NoteKey, lines: string): Asked {
  try {
    const { text } = readNote(anchor.checkpoint)
    const note = readNote(Buffer.from(`${text}\n${lines}`, "utf8"))
    const [line] = note.signatures.filter(each => each.name === key.name)
    if (line && cosignersOf({ text, signatures: [line] }, [key]).length === 1) return { kind: "cosigned", line }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
  }
  return { kind: "refused", why: `what it answered is no cosignature by ${key.name}` }
}

/** The answer to a POST. Rejects where nobody answers in time or says too much. */
export function post(url: URL, type: string, body: Uint8Array): Promise<{ status: number; bytes: Buffer }> {
  const request = url.protocol === "https:" ? overHttps : overHttp
  return new Promise((resolve, reject) => {
    const asked = request(url, { method: "POST", headers: { "content-type": type, "content-length": body.length } })
    asked.setTimeout(patience, () => asked.destroy(new Error(`${url.host} does not answer`)))
    asked.on("error", reject)
    asked.on("response", answer => {
      const parts: Buffer[] = []
      let length = 0
      answer.on("data", (part: Buffer) => {
        parts.push(part)
        if ((length += part.length) > answerLimit) asked.destroy(new Error(`${url.host} answers with too much`))
      })
      answer.on("error", reject)
      answer.on("end", () => resolve({ status: answer.statusCode ?? 0, bytes: Buffer.concat(parts) }))
    })
    asked.end(body)
  })
}
