/** Can a script make the qualifying data with printf and sha256sum alone, and does every field of it count? */
import { randomBytes } from "node:crypto"
import { expect, test } from "vitest"
import { type Answer, type Body, bodyDigest } from "../attestation/protocol/evidence.ts"
import { qualifyingData } from "../attestation/protocol/qualifying-data.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { sha256 } from "./foreign.ts"

const answer: Answer = {
  kind: "answer",
  attester: `000c${"a1".repeat(48)}`,
  ak: `000b${"b2".repeat(32)}`,
  evidenceKey: Buffer.alloc(32, 0xc3).toString("base64"),
  audience: "größe",
  chain: { id: "d4".repeat(16), sequence: "18446744073709551615", previous: "e5".repeat(32), predecessor: null },
  made: "2026-05-04T03:02:01.000Z",
  boot: "b",
  selection: { bank: "sha256", pcrs: [0, 7, 23] },
  logPcr: 23,
  logs: [{ name: "assay", length: 7, digest: "f6".repeat(32) }],
  nonce: Buffer.alloc(32, 1).toString("base64"),
  channel: Buffer.alloc(32, 2).toString("base64"),
  credential: "none",
}
const { nonce: _nonce, channel: _channel, credential: _credential, ...common } = answer
const report: Body = { ...common, kind: "report", after: null }
const none = new Uint8Array(0)

/** Built here from the document's words, not from the codec. */
function byHand(fields: readonly string[]): string {
  const framed = fields.map(field => (field.length / 2).toString(16).padStart(4, "0") + field).join("")
  return sha256(Buffer.from(framed, "hex"))
}
const label = Buffer.from("assay/qualifying-data/v1").toString("hex")
/** one selection, of SHA-256, three bytes long: PCR 0 and 7, none, 23 */
const selection = "00000001000b03810080"
const shared = (body: Body, nonce: string, channel: string, credential: string): string[] => [
  ...[label, nonce, channel, credential, body.attester, selection, "d4".repeat(16), "ff".repeat(8), "e5".repeat(32)],
  ...["f6".repeat(32), "c3".repeat(32), sha256(Buffer.from(JSON.stringify(body)))],
]

test("C17 of an answer", () => {
  const ordered = { ...{ kind: answer.kind }, ...answer }
  expect(toHex(bodyDigest(answer))).toBe(sha256(Buffer.from(JSON.stringify(ordered))))
  expect(toHex(qualifyingData(answer, none))).toBe(byHand(shared(answer, "01".repeat(32), "02".repeat(32), "")))
})

test("C17 of an answer with a recovered secret, and of a report", () => {
  const secret = randomBytes(32)
  const recovered: Body = { ...answer, credential: "recovered" }
  const fields = shared(recovered, "01".repeat(32), "02".repeat(32), toHex(secret))
  expect(toHex(qualifyingData(recovered, secret))).toBe(byHand(fields))
  expect(toHex(qualifyingData(report, none))).toBe(byHand(shared(report, "", "", "")))
})

test("C17 bytes cannot move from one field into the next", () => {
  const first = { ...answer, channel: "", nonce: Buffer.alloc(32, 1).toString("base64") }
  const shifted = toHex(qualifyingData(first, fromBase64(answer.channel)))
  expect(shifted).not.toBe(toHex(qualifyingData(answer, none)))
})

test("the order in which a program holds a body's members does not count", () => {
  const turned = Object.fromEntries(Object.entries(answer).toReversed()) as Answer
  expect(toHex(qualifyingData(turned, none))).toBe(toHex(qualifyingData(answer, none)))
})
