/** Is each message read as it was written, only in its own direction, and nothing that is not exactly one? */
import { describe, expect, test } from "vitest"
import {
  type FromAttester,
  type FromVerifier,
  messageLimit,
  readFromAttester,
  readFromVerifier,
  readToAttester,
  readToVerifier,
  type ToAttester,
  type ToVerifier,
  writeMessage,
} from "../attestation/protocol/message.ts"
import { readInvitation, writeInvitation } from "../attestation/protocol/invitation.ts"
import { Malformed } from "../attestation/wire/codec.ts"

const name = `000b${"ab".repeat(32)}`
const bytes32 = Buffer.alloc(32, 7).toString("base64")
const id = "cd".repeat(16)
const digest = "ef".repeat(32)
const credential = { idObject: "AAAA", encryptedSecret: "AAAA" }
const identity = {
  ...{ attester: name, ekPublic: "AAAA", ekCertificate: null, akPublic: "AAAA" },
  ...{ creation: { data: "AAAA", attest: "AAAA", signature: "AAAA" }, evidenceKey: bytes32 },
}
const evidence = {
  type: "evidence" as const,
  challenge: id,
  envelope: 1,
  logs: [{ name: "assay", offset: 0, length: 1 }],
}
const goodbye = { type: "goodbye" as const, reason: "größe", retryAfterSeconds: 5 }

const fromAttester: FromAttester[] = [
  { type: "hello", attester: name, ak: name, version: "1" },
  { type: "enrol", invitation: bytes32, identity, label: "host" },
  { type: "activated", secret: bytes32, audit: null },
  { type: "hashed", challenge: "ab".repeat(16) },
  { type: "want", secret: "disk-key" },
  evidence,
  { ...evidence, challenge: null },
  { type: "declined", challenge: id, reason: "busy" },
  goodbye,
]
const toAttester: ToAttester[] = [
  { type: "credential", credential },
  { type: "enrolled", attester: name, resultKey: bytes32, audience: "collector" },
  { type: "challenge", id, nonce: bytes32, audience: "a", depth: "quick", deadlineSeconds: 60, credential: null },
  { type: "challenge", id, nonce: bytes32, audience: "a", depth: "full", deadlineSeconds: 60, credential },
  { type: "acknowledged", evidence: digest, tier: "warning", nextSeconds: 60 },
  { type: "resend", after: digest },
  { type: "resend", after: null },
  { type: "released", secret: "disk-key", evidence: digest, credential, sealed: "AAAA" },
  { type: "withheld", secret: "disk-key", reason: "not yet", hint: "later" },
  { type: "refused", evidence: null, findings: [{ id: "log.replay", component: "a", seen: "b", wanted: "c" }] },
  goodbye,
]
const fromVerifier: FromVerifier[] = [
  { type: "who", token: bytes32, attester: name },
  { type: "ask", token: bytes32, attester: name, nonce: bytes32, depth: "quick", credential },
]
const toVerifier: ToVerifier[] = [
  { type: "identity", identity, endorsement: "accepted by a person" },
  evidence,
  { type: "declined", challenge: null, reason: "not here" },
  goodbye,
]
const directions = { readFromAttester, readToAttester, readFromVerifier, readToVerifier }
const all = {
  readFromAttester: fromAttester,
  readToAttester: toAttester,
  readFromVerifier: fromVerifier,
  readToVerifier: toVerifier,
}
const each = Object.entries(all).flatMap(([reader, messages]) =>
  messages.map(message => [reader as keyof typeof directions, message] as const),
)

describe.each(each)("%s of %j", (reader, message) => {
  const read = directions[reader]

  test("gives back what was written, from text and from bytes", () => {
    expect(read(writeMessage(message))).toEqual(message)
    expect(read(Buffer.from(writeMessage(message)))).toEqual(message)
  })

  test("refuses it with a member more, and with any member less or of another type", () => {
    expect(() => read(JSON.stringify({ ...message, more: 1 }))).toThrow(Malformed)
    for (const member of Object.keys(message)) {
      expect(() => read(JSON.stringify({ ...message, [member]: undefined }))).toThrow(Malformed)
      expect(() => read(JSON.stringify({ ...message, [member]: { odd: [] } }))).toThrow(Malformed)
    }
  })
})

test("a message of one direction is none of another", () => {
  const shared = new Set(["evidence", "goodbye", "declined"])
  for (const [reader, message] of each)
    for (const [other, read] of Object.entries(directions))
      if (other !== reader && !shared.has(message.type)) expect(() => read(writeMessage(message))).toThrow(Malformed)
})

test("C16 a nonce has 32 bytes in one spelling", () => {
  const challenge = toAttester[2]
  for (const nonce of [
    "",
    Buffer.alloc(31).toString("base64"),
    Buffer.alloc(33).toString("base64"),
    bytes32.replace("=", ""),
    `${bytes32.slice(0, 42)}1=`,
  ])
    expect(() => readToAttester(JSON.stringify({ ...challenge, nonce }))).toThrow(Malformed)
})

test("C23 a message beyond its limit is refused unread", () =>
  expect(() => readFromAttester(" ".repeat(messageLimit + 1))).toThrow("exceed the limit"))

describe("an invitation", () => {
  const invitation = { host: "collector.example", port: 7443, pin: Buffer.alloc(32, 1), token: Buffer.alloc(32, 2) }
  const text = writeInvitation(invitation)

  test("is one line, read back as it was written", () => {
    expect(text).not.toMatch(/\s/)
    const read = readInvitation(` ${text}\n`)
    expect({ ...read, pin: Buffer.from(read.pin), token: Buffer.from(read.token) }).toEqual(invitation)
    expect(readInvitation(writeInvitation({ ...invitation, host: "[fe80::1]" })).host).toBe("[fe80::1]")
  })

  test("altered is none", () => {
    const last = text.slice(0, -1)
    const wrong = ["", last, `${text}A`, text.replace("assay1", "assay2"), text.replace("7443", "74430000")]
    for (const line of [
      ...wrong,
      text.replace("7443", "0"),
      text.replace("7443", "07443"),
      text.replace("7443", "65536"),
    ])
      expect(() => readInvitation(line)).toThrow(Malformed)
    // the last character carries two bits that stand for nothing
    expect(() => readInvitation(`${last}J`)).toThrow(Malformed)
  })
})
