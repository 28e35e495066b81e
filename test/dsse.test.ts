/** Does openssl agree with our envelopes, and node:crypto with our Ed25519, on edge cases that others collected? */
import { generateKeyPairSync, type KeyObject, sign, verify } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import {
  ed25519Verifies,
  envelopeLimit,
  keyIdOf,
  payloadTypes,
  preAuthentication,
  readEnvelope,
  seal,
  signedEnvelope,
  toPem,
} from "../attestation/protocol/dsse.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromBase64, fromHex, toHex } from "../attestation/wire/text.ts"
import { output } from "./foreign.ts"

const folder = mkdtempSync(join(tmpdir(), "dsse-"))
afterAll(() => rmSync(folder, { recursive: true }))

const { publicKey: key, privateKey } = generateKeyPairSync("ed25519")
const publicKey = new Uint8Array(key.export({ format: "der", type: "spki" }).subarray(-32))
const payload = Buffer.from('{"größe":"𝄞"}')
const sealed = seal(payloadTypes.evidence, payload, publicKey, message => sign(null, message, privateKey))

const written = (name: string, bytes: Uint8Array | string): string => {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return path
}

describe("openssl", () => {
  test("verifies the signature over the encoding that printf makes", () => {
    const { payloadType, signatures } = readEnvelope(sealed)
    const head = output("sh", [
      "-c",
      'printf "DSSEv1 %d %s %d " "${#1}" "$1" "$2"',
      "sh",
      payloadType,
      String(payload.length),
    ])
    expect(toHex(preAuthentication(payloadType, payload))).toBe(Buffer.concat([head, payload]).toString("hex"))
    const message = written("message", Buffer.concat([head, payload]))
    const pem = written("key.pem", toPem(publicKey))
    const sig = written("sig", fromBase64(signatures[0].sig))
    const args = ["pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-sigfile", sig]
    expect(output("openssl", [...args, "-in", message]).toString()).toContain("Verified Successfully")
    const other = written("other", Buffer.concat([head, payload.with(3, 0x41)]))
    expect(() => output("openssl", [...args, "-in", other])).toThrow("ended with 1")
  })

  test("signs what we verify", () => {
    const secret = written("secret.pem", privateKey.export({ format: "pem", type: "pkcs8" }))
    const message = written("message", preAuthentication(payloadTypes.evidence, payload))
    const sig = output("openssl", ["pkeyutl", "-sign", "-inkey", secret, "-rawin", "-in", message])
    expect(ed25519Verifies(publicKey, readFileSync(message), sig)).toBe(true)
  })

  test("and sha256sum give the key id", () => {
    const pem = written("key.pem", toPem(publicKey))
    const der = output("openssl", ["pkey", "-pubin", "-in", pem, "-outform", "DER"])
    expect(keyIdOf(publicKey)).toBe(output("sha256sum", [], der).toString().slice(0, 64))
  })
})

describe("an envelope", () => {
  const altered = (change: (envelope: Record<string, unknown>) => unknown): Uint8Array =>
    Buffer.from(JSON.stringify(change(JSON.parse(Buffer.from(sealed).toString()) as Record<string, unknown>)))

  test("is signed by one key and no other", () => {
    expect(signedEnvelope(publicKey, readEnvelope(sealed))).toBe(true)
    expect(signedEnvelope(publicKey.with(0, (publicKey[0] ?? 0) ^ 1), readEnvelope(sealed))).toBe(false)
  })

  test("under the key's own id only", () => {
    const signatures = [{ ...readEnvelope(sealed).signatures[0], keyid: "00".repeat(32) }]
    expect(signedEnvelope(publicKey, readEnvelope(altered(envelope => ({ ...envelope, signatures }))))).toBe(false)
  })

  test("C9 over its type too: a result is not taken for evidence", () => {
    const other = readEnvelope(altered(envelope => ({ ...envelope, payloadType: payloadTypes.result })))
    expect(signedEnvelope(publicKey, other)).toBe(false)
  })

  const signature = { keyid: "00".repeat(32), sig: Buffer.alloc(64).toString("base64") }
  test.each(
    Object.entries<(envelope: Record<string, unknown>) => unknown>({
      "no signature": envelope => ({ ...envelope, signatures: [] }),
      "two signatures": envelope => ({ ...envelope, signatures: [signature, signature] }),
      "a signature of another length": envelope => ({ ...envelope, signatures: [{ ...signature, sig: "AAAA" }] }),
      "a signature without a key id": envelope => ({ ...envelope, signatures: [{ sig: signature.sig }] }),
      "another type": envelope => ({ ...envelope, payloadType: "application/vnd.in-toto+json" }),
      "another member": envelope => ({ ...envelope, more: 1 }),
      "another order": ({ payload: given, ...envelope }) => ({ ...envelope, payload: given }),
      "base64 with other padding bits": envelope => ({ ...envelope, payload: "AB==" }),
      base64url: envelope => ({ ...envelope, payload: "-_-_" }),
      "a list": envelope => [envelope],
      nothing: () => null,
    }),
  )("with %s is refused", (_, change) => expect(() => readEnvelope(altered(change))).toThrow(Malformed))

  test("C23 beyond its limit is refused", () =>
    expect(() => readEnvelope(new Uint8Array(envelopeLimit + 1))).toThrow("exceed the limit"))
})

test("a key that is none verifies nothing, and is no exception", () => {
  for (const bytes of [new Uint8Array(0), new Uint8Array(31), new Uint8Array(33)])
    expect(ed25519Verifies(bytes, payload, new Uint8Array(64))).toBe(false)
  expect(ed25519Verifies(publicKey, payload, new Uint8Array(0))).toBe(false)
})

const vectors = resolve(import.meta.dirname, "../../shared/vectors/cctv-ed25519/ed25519vectors.json")

type Case = { readonly number: number; readonly key: string; readonly sig: string; readonly msg: string } & {
  readonly flags: readonly string[] | null
}
const cases = JSON.parse(readFileSync(vectors, "utf8")) as Case[]
const hasSmallOrder = ({ flags }: Case): boolean =>
  (flags ?? []).some(flag => flag === "low_order_A" || flag === "low_order_R")
const accepted = (each: Case): boolean => ed25519Verifies(fromHex(each.key), Buffer.from(each.msg), fromHex(each.sig))

describe("edge cases of Ed25519", () => {
  test("node:crypto's verdict, without points of small order", () => {
    const byNode = (each: Case): boolean =>
      verify(null, Buffer.from(each.msg), toPem(fromHex(each.key)), fromHex(each.sig)) && !hasSmallOrder(each)
    expect(cases.map(accepted)).toEqual(cases.map(byNode))
    expect([cases.length, cases.filter(accepted).length]).toEqual([914, 43])
  })

  test("openssl's too, whichever version this machine has", () => {
    for (const each of cases.filter(({ number }) => number % 23 === 0))
      expect(accepted(each)).toBe(opensslSays(each) && !hasSmallOrder(each))
  })
})

function opensslSays({ key: given, sig, msg }: Case): boolean {
  const pem = written("case.pem", toPem(fromHex(given)))
  const args = ["pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin"]
  const files = ["-sigfile", written("case.sig", fromHex(sig)), "-in", written("case.msg", msg)]
  try {
    return output("openssl", [...args, ...files]).length > 0
  } catch {
    return false
  }
}

test("every key has one id: SHA-256 of its SubjectPublicKeyInfo", () => {
  const pair: { publicKey: KeyObject } = generateKeyPairSync("ed25519")
  const der = pair.publicKey.export({ format: "der", type: "spki" })
  expect(keyIdOf(new Uint8Array(der.subarray(-32)))).toBe(output("sha256sum", [], der).toString().slice(0, 64))
})
