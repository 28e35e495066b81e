/**
 * Who says when a checkpoint existed? A time-stamping authority (RFC 3161): it gets a digest and answers with a token, which is kept as
 * it came. Whether the token holds is for openssl and whoever trusts that authority.
 */
import { createHash, randomBytes } from "node:crypto"
import { post } from "./ask-witness.ts"

const der = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const content = Buffer.concat(parts)
  if (content.length > 127) throw new RangeError("a part of a request is longer than 127 bytes")
  return Buffer.concat([Buffer.of(tag, content.length), content])
}
/** AlgorithmIdentifier of SHA-256 (RFC 5754, 2): its object identifier, and NULL. */
const sha256Algorithm = Buffer.from("300d06096086480165030402010500", "hex")

/** TimeStampReq (RFC 3161, 2.4.1) over `bytes`: version 1, SHA-256, a nonce, and the certificate is asked for. */
export function stampRequest(bytes: Uint8Array): Uint8Array {
  const digest = createHash("sha256").update(bytes).digest()
  const nonce = randomBytes(8)
  nonce[0] = ((nonce[0] ?? 0) & 0x3f) | 0x40
  const imprint = der(0x30, sha256Algorithm, der(0x04, digest))
  return new Uint8Array(der(0x30, der(0x02, Buffer.of(1)), imprint, der(0x02, nonce), der(0x01, Buffer.of(0xff))))
}

/** TimeStampResp whose status is granted (0) or granted with modifications (1): SEQUENCE { SEQUENCE { INTEGER status … } … }. */
export const granted = (answer: Uint8Array): boolean => {
  const inner = (at: number): number => at + 2 + ((answer[at + 1] ?? 0) > 128 ? (answer[at + 1] ?? 0) - 128 : 0)
  const status = inner(inner(0))
  return answer[0] === 0x30 && answer[status] === 2 && answer[status + 1] === 1 && (answer[status + 2] ?? 9) < 2
}

/** The answer of the authority at `url` over `bytes`. Rejects with a sentence where it grants none. */
export async function timestamp(url: string, bytes: Uint8Array): Promise<Uint8Array> {
  const answer = await post(new URL(url), "application/timestamp-query", stampRequest(bytes))
  if (answer.status !== 200 || !granted(answer.bytes)) throw new Error(`${new URL(url).host} grants no time stamp`)
  return new Uint8Array(answer.bytes)
}
