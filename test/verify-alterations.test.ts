/** Does anything altered pass? Every byte, every length, random bytes and mutated JSON: never authentic, and never an exception. */
import { createPrivateKey, type KeyObject, sign } from "node:crypto"
import * as fc from "fast-check"
import { afterAll, beforeAll, expect, test } from "vitest"
import { payloadTypes, readEnvelope, seal } from "../attestation/protocol/dsse.ts"
import { readEvent } from "../attestation/protocol/event.ts"
import { readPayload } from "../attestation/protocol/evidence.ts"
import { readInvitation } from "../attestation/protocol/invitation.ts"
import { readFromAttester, readFromVerifier, readToAttester, readToVerifier } from "../attestation/protocol/message.ts"
import { readReference } from "../attestation/pins/reference.ts"
import { readResult } from "../attestation/appraise/result.ts"
import { creationAttest, quote } from "../attestation/tcg/attest.ts"
import { readCel } from "../attestation/tcg/cel.ts"
import { whyNotEndorsement } from "../attestation/tcg/creation.ts"
import { keyOf, readPublic } from "../attestation/tcg/public.ts"
import { signature } from "../attestation/tcg/signature.ts"
import { type Expected, type UntrustedEvidence, verify } from "../attestation/verify/verify.ts"
import { decode, Malformed } from "../attestation/wire/codec.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { expectedOf, type Machine, measurement, startMachine } from "./evidence-maker.ts"

let machine: Machine
let evidence: UntrustedEvidence
let expected: Expected
let log: Uint8Array
let payload: Uint8Array

beforeAll(async () => {
  machine = await startMachine()
  await machine.append(measurement("vllm"))
  evidence = await machine.attest()
  expected = expectedOf(machine)
  log = machine.log()
  payload = fromBase64(readEnvelope(evidence.envelope).payload)
})
afterAll(() => machine.tpm.stop())

const passes = (envelope: Uint8Array, own: Uint8Array = log): boolean =>
  verify({ envelope, logs: new Map([["assay", own]]) }, expected).authentic

/** Sealed by the right key, so that only what the quote binds can tell. */
const resealed = (bytes: Uint8Array): Uint8Array => {
  const key: KeyObject = createPrivateKey(machine.evidenceSecret.export({ format: "pem", type: "pkcs8" }))
  return seal(payloadTypes.evidence, bytes, machine.keys.evidenceKey, message => sign(null, message, key))
}

const everyFlip = (bytes: Uint8Array, masks: readonly number[]): Uint8Array[] =>
  masks.flatMap(mask => Array.from(bytes, (byte, at) => bytes.with(at, byte ^ mask)))
const everyCut = (bytes: Uint8Array): Uint8Array[] => Array.from(bytes, (_, length) => bytes.subarray(0, length))

test("C9 unaltered it passes, sealed anew too", () => {
  expect(passes(evidence.envelope)).toBe(true)
  expect(passes(resealed(payload))).toBe(true)
})

test("C9 every byte of the envelope", () =>
  expect(everyFlip(evidence.envelope, [0x01, 0x20]).filter(each => passes(each))).toEqual([]))

test("C9 every byte of the log", () =>
  expect(everyFlip(log, [0x01]).filter(each => passes(evidence.envelope, each))).toEqual([]))

test("C9 every byte of the payload, signed anew by whoever holds the evidence key", () =>
  expect(everyFlip(payload, [0x01]).filter(each => passes(resealed(each)))).toEqual([]))

test("every length of envelope, payload and log", () => {
  expect(everyCut(evidence.envelope).filter(each => passes(each))).toEqual([])
  expect(everyCut(payload).filter(each => passes(resealed(each)))).toEqual([])
  expect(everyCut(log).filter(each => passes(evidence.envelope, each))).toEqual([])
})

test("every byte and every length of the pinned key", () => {
  const pinned = (ak: Uint8Array): boolean =>
    verify(evidence, { ...expected, keys: { ...expected.keys, ak } }).authentic
  const { ak } = machine.keys
  expect([...everyFlip(ak, [0x01, 0x80]), ...everyCut(ak)].filter(pinned)).toEqual([])
})

test("every byte of the proof of creation", () => {
  const area = readPublic(machine.keys.ak)
  expect(whyNotEndorsement(area, machine.creation)).toEqual([])
  for (const part of ["data", "attest", "signature"] as const)
    for (const each of everyFlip(machine.creation[part], [0x01]))
      expect(whyNotEndorsement(area, { ...machine.creation, [part]: each })).not.toEqual([])
})

const readers: Record<string, (bytes: Uint8Array) => unknown> = {
  readEnvelope,
  readPayload,
  readCel,
  readReference,
  readResult,
  readFromAttester,
  readToAttester,
  readFromVerifier,
  readToVerifier,
  readEvent: bytes => readEvent(Buffer.from(bytes).toString()),
  readInvitation: bytes => readInvitation(Buffer.from(bytes).toString()),
  quote: bytes => decode(quote, bytes),
  creationAttest: bytes => decode(creationAttest, bytes),
  signature: bytes => decode(signature, bytes),
  keyOf: bytes => keyOf(readPublic(bytes)),
}

const onlyMalformed = (read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): void => {
  try {
    read(bytes)
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
  }
}

test.each(Object.entries(readers))("C40 %s throws nothing but Malformed", (_, read) => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), bytes => onlyMalformed(read, bytes)))
  fc.assert(fc.property(fc.json({ maxDepth: 6 }), text => onlyMalformed(read, Buffer.from(text))))
  const nested = "[".repeat(200_000) + "]".repeat(200_000)
  for (const text of [nested, `{"a":`.repeat(50_000) + "1" + "}".repeat(50_000), "[".repeat(200_000)])
    onlyMalformed(read, Buffer.from(text))
})

test("C40 mutated TPM structures throw nothing but Malformed", () => {
  const { attest, signature: signed } = readPayload(payload).quote
  const samples = [fromBase64(attest), fromBase64(signed), machine.keys.ak, machine.ekPublic, machine.creation.attest]
  const mutated = fc.tuple(fc.constantFrom(...samples), fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { minLength: 1 }))
  fc.assert(
    fc.property(mutated, ([sample, changes]) => {
      const bytes = Uint8Array.from(sample)
      for (const [at, byte] of changes) if (at < bytes.length) bytes[at] = byte
      for (const name of ["quote", "creationAttest", "signature", "keyOf"]) onlyMalformed(readers[name]!, bytes)
    }),
    { numRuns: 500 },
  )
})

type Json = null | boolean | number | string | Json[] | { [name: string]: Json }
const parsed = (bytes: Uint8Array): Json => JSON.parse(Buffer.from(bytes).toString()) as Json

/** Every place in a JSON value. */
const places = (value: Json, path: string[] = []): string[][] =>
  value !== null && typeof value === "object"
    ? [path, ...Object.entries(value).flatMap(([name, part]) => places(part, [...path, name]))]
    : [path]

const replaced = (value: Json, [name, ...rest]: string[], by: Json): Json => {
  if (name === undefined) return by
  if (Array.isArray(value)) return value.map((part, i) => (String(i) === name ? replaced(part, rest, by) : part))
  const members = value as { [name: string]: Json }
  return { ...members, [name]: replaced(members[name] ?? null, rest, by) }
}

test("C31 a number that is none is no exception", () => {
  const text = Buffer.from(payload).toString()
  for (const sequence of [":", "1e3", "-1", "18446744073709551616", "9".repeat(100_000)])
    expect(passes(resealed(Buffer.from(text.replace('"sequence":"1"', `"sequence":"${sequence}"`))))).toBe(false)
})

test("C31 any member of payload or envelope replaced by any JSON is never authentic and never an exception", () => {
  const anything = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom("", "0", "-1", 0, 2 ** 53, "00".repeat(32), [], {}),
  )
  const envelope = parsed(evidence.envelope)
  const body = parsed(payload)
  const change = (value: Json) => fc.tuple(fc.constantFrom(...places(value)), anything)
  fc.assert(
    fc.property(change(body), change(envelope), ([inPayload, a], [inEnvelope, b]) => {
      const altered = replaced(body, inPayload, a as Json)
      if (JSON.stringify(altered) !== JSON.stringify(body))
        expect(passes(resealed(Buffer.from(JSON.stringify(altered))))).toBe(false)
      const other = replaced(envelope, inEnvelope, b as Json)
      if (JSON.stringify(other) !== JSON.stringify(envelope))
        expect(passes(Buffer.from(JSON.stringify(other)))).toBe(false)
    }),
    { numRuns: 600 },
  )
})

test("members in another order are another spelling, and refused although every value is right", () => {
  const { body, quote: quoted } = parsed(payload) as { body: { [name: string]: Json }; quote: Json }
  expect(passes(resealed(Buffer.from(JSON.stringify({ quote: quoted, body }))))).toBe(false)
  const turned = Object.fromEntries(Object.entries(body).toReversed())
  expect(passes(resealed(Buffer.from(JSON.stringify({ body: turned, quote: quoted }))))).toBe(false)
  expect(passes(resealed(Buffer.from(JSON.stringify({ body, quote: quoted }))))).toBe(true)
})
