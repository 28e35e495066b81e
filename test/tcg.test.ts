/** Do the codecs of TPM structures read what tpm2-tools and swtpm write, and agree with them on Names and signatures? */
import { constants, createPublicKey, generateKeyPairSync, sign } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { creationAttest, quote } from "../attestation/tcg/attest.ts"
import { whyNotEndorsement } from "../attestation/tcg/creation.ts"
import { compositeDigest, extend, pcrSelections, zero } from "../attestation/tcg/pcr.ts"
import { attestedBy, keyOf, nameOf, readPublic, whyNoAttestationKey } from "../attestation/tcg/public.ts"
import { type Signature, signature, signedBy } from "../attestation/tcg/signature.ts"
import { decode, encode, Malformed } from "../attestation/wire/codec.ts"
import { fromBase64, toHex } from "../attestation/wire/text.ts"
import { akHandle, covered, ekHandle, type Machine, rsaEkHandle, startMachine } from "./evidence-maker.ts"
import { sha256 } from "./foreign.ts"

const read = (...path: string[]): Uint8Array => new Uint8Array(readFileSync(join(...path)))
const derOf = (pem: Uint8Array): string =>
  createPublicKey(Buffer.from(pem)).export({ format: "der", type: "spki" }).toString("hex")
const spki = (area: Uint8Array): string =>
  keyOf(readPublic(area)).export({ format: "der", type: "spki" }).toString("hex")

describe.each(["ecc", "rsa"] as const)("what tpm2-tools make with an AK of kind %s", kind => {
  let machine: Machine
  beforeAll(async () => {
    machine = await startMachine(kind)
    await machine.attest()
  })
  afterAll(() => machine.tpm.stop())

  test("C4 its Name and its key", () => {
    expect(toHex(nameOf(readPublic(machine.keys.ak)))).toBe(toHex(machine.file("ak.name")))
    expect(spki(machine.keys.ak)).toBe(derOf(machine.file("ak.pem")))
    expect(whyNoAttestationKey(readPublic(machine.keys.ak))).toEqual([])
  })

  test("the Names of the EKs, which are no attestation keys", async () => {
    for (const handle of [ekHandle, rsaEkHandle]) {
      await machine.tpm.tool("tpm2_readpublic", "-Q", "-c", handle, "-o", "some.pub", "-n", "some.name")
      const area = readPublic(machine.file("some.pub").subarray(2))
      expect(toHex(nameOf(area))).toBe(toHex(machine.file("some.name")))
      expect(whyNoAttestationKey(area)).toEqual(["lacks sign", "may decrypt", "has no signing scheme of its own"])
    }
  })

  test("a quote: its fields, its signature, and the same bytes again", () => {
    const attest = machine.file("quote.attest")
    const decoded = decode(quote, attest)
    expect(decoded.selections).toEqual([{ bank: "sha256", pcrs: covered }])
    expect(toHex(encode(quote, decoded))).toBe(toHex(attest))
    const signed = decode(signature, machine.file("quote.sig"))
    expect(toHex(encode(signature, signed))).toBe(toHex(machine.file("quote.sig")))
    expect(attestedBy(readPublic(machine.keys.ak), attest, signed)).toBe(true)
    expect(attestedBy(readPublic(machine.keys.ak), attest.with(20, (attest[20] ?? 0) ^ 1), signed)).toBe(false)
  })

  test("C6 the digest of PCR values that tpm2_pcrread wrote, by sha256sum", () => {
    const bytes = machine.file("pcrs.bin")
    const values = new Map(covered.map((pcr, i) => [pcr, bytes.subarray(32 * i, 32 * i + 32)]))
    expect(toHex(compositeDigest("sha256", covered, values))).toBe(sha256(bytes))
    expect(toHex(decode(quote, machine.file("quote.attest")).pcrDigest)).toBe(sha256(bytes))
    expect(() => compositeDigest("sha256", [1], values)).toThrow(Malformed)
  })

  test("the proof of creation under the endorsement hierarchy", async () => {
    expect(whyNotEndorsement(readPublic(machine.keys.ak), machine.creation)).toEqual([])
    expect(whyNotEndorsement(readPublic(machine.ekPublic), machine.creation)).toEqual([
      "the certification is not signed by the key",
      "the certification names another key",
      "the certification is of other creation data",
    ])
    const certified = decode(creationAttest, machine.creation.attest)
    expect(toHex(encode(creationAttest, certified))).toBe(toHex(machine.creation.attest))
  })
})

test("C14 a key of the owner hierarchy shows that it is one", async () => {
  const machine = await startMachine()
  const { tpm } = machine
  const file = (name: string): Uint8Array => machine.file(name)
  const attributes = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|restricted|sign"
  const create = ["-C", "o", "-g", "sha256", "-G", "ecc256:ecdsa-sha256:null", "-a", attributes]
  const proof = ["--creation-data", "c.data", "-d", "c.hash", "-t", "c.ticket"]
  await tpm.tool("tpm2_createprimary", "-Q", ...create, ...proof, "-c", "o.ctx")
  await tpm.tool("tpm2_flushcontext", "-t")
  const handle = "0x81010101"
  await tpm.tool("tpm2_evictcontrol", "-Q", "-C", "o", "-c", "o.ctx", handle)
  await tpm.tool("tpm2_flushcontext", "-t")
  await tpm.tool("tpm2_readpublic", "-Q", "-c", handle, "-o", "o.pub")
  const files = ["-d", "c.hash", "-t", "c.ticket", "-g", "sha256", "-o", "c.sig", "--attestation", "c.attest"]
  await tpm.tool("tpm2_certifycreation", "-C", handle, "-c", handle, ...files)
  const data = file("c.data")
  const counted = data.length === 2 + (((data[0] ?? 0) << 8) | (data[1] ?? 0))
  const found = whyNotEndorsement(readPublic(file("o.pub").subarray(2)), {
    data: counted ? data.subarray(2) : data,
    attest: file("c.attest"),
    signature: file("c.sig"),
  })
  await tpm.tool("tpm2_readpublic", "-Q", "-c", akHandle)
  await tpm.stop()
  expect(found).toEqual(["the key was made under 40000001, not the endorsement hierarchy"])
})

test("a PCR extended by tpm2_pcrextend is what extend says", async () => {
  const { tpm } = await startMachine()
  const digest = "5a".repeat(32)
  await tpm.tool("tpm2_pcrextend", `16:sha256=${digest}`)
  const shown = await tpm.tool("tpm2_pcrread", "sha256:16")
  await tpm.stop()
  const extended = extend("sha256", zero("sha256"), Buffer.from(digest, "hex"))
  expect(shown.toLowerCase()).toContain(`0x${toHex(extended)}`)
})

describe("public areas that no TPM makes", () => {
  const ecc = Buffer.from(`0023000b00050472000000100018000b000300100020${"11".repeat(32)}0020${"22".repeat(32)}`, "hex")
  const rsaOf = (bits: number, modulus: Buffer, exponent = 0): Buffer => {
    const head = Buffer.from("0001000b00050472000000100014000b", "hex")
    const tail = Buffer.alloc(8)
    tail.writeUInt16BE(bits)
    tail.writeUInt32BE(exponent, 2)
    tail.writeUInt16BE(modulus.length, 6)
    return Buffer.concat([head, tail, modulus])
  }
  const modulus = Buffer.alloc(256, 0xc1)

  test("a point that is not on its curve is no key", () =>
    expect(() => keyOf(readPublic(ecc))).toThrow("the public area holds no valid key"))

  test("C3 a modulus shorter than it says, or with zeroes in front", () => {
    expect(() => readPublic(rsaOf(2048, Buffer.alloc(64, 0xc1)))).toThrow("the modulus is not of 2048 bits")
    expect(() => readPublic(rsaOf(2048, Buffer.concat([Buffer.alloc(1), modulus.subarray(1)])))).toThrow("2048 bits")
    expect(whyNoAttestationKey(readPublic(rsaOf(2048, modulus)))).toEqual([])
    expect(whyNoAttestationKey(readPublic(rsaOf(1024, modulus.subarray(0, 128))))).toEqual(["has only 1024 bits"])
  })

  test("C12 an exponent with which others could sign too", () => {
    for (const exponent of [1, 2, 3, 65_538])
      expect(whyNoAttestationKey(readPublic(rsaOf(2048, modulus, exponent)))).toEqual([`has the exponent ${exponent}`])
    expect(whyNoAttestationKey(readPublic(rsaOf(2048, modulus, 65_537)))).toEqual([])
  })

  test("C3 SHA-1 in the scheme or the Name", () => {
    const sha1 = Buffer.from(ecc)
    sha1.writeUInt16BE(0x0004, 14)
    expect(whyNoAttestationKey(readPublic(sha1))).toEqual(["uses SHA-1"])
    const named = Buffer.from(ecc)
    named.writeUInt16BE(0x0004, 2)
    expect(whyNoAttestationKey(readPublic(named))).toEqual(["uses SHA-1"])
  })

  test("C23 counts beyond their bounds, unknown algorithms and trailing bytes", () => {
    const policy = Buffer.concat([ecc.subarray(0, 8), Buffer.from([0, 65]), Buffer.alloc(65), ecc.subarray(10)])
    expect(() => readPublic(policy)).toThrow("count 65 exceeds 64")
    expect(() => readPublic(Buffer.concat([ecc, Buffer.alloc(1)]))).toThrow("1 bytes too many")
    expect(() => readPublic(Buffer.from("0025000b", "hex"))).toThrow(Malformed)
    expect(() => decode(pcrSelections, Buffer.from("00000005", "hex"))).toThrow("count 5 exceeds 4")
    expect(() => decode(pcrSelections, Buffer.from("00000001001203000000", "hex"))).toThrow("0x12 is none of")
    expect(() => decode(pcrSelections, Buffer.from("00000001000b05", "hex"))).toThrow("count 5 exceeds 4")
  })

  test("an EK whose symmetric key has a size that AES has not", () => {
    const parent = (bits: number): Buffer => {
      const head = Buffer.from("0001000b000300b2000000060000004300100800000000000100", "hex")
      head.writeUInt16BE(bits, 12)
      return Buffer.concat([head, modulus])
    }
    expect(readPublic(parent(128)).symmetric?.bits).toBe(128)
    for (const bits of [0, 7, 127, 1024]) expect(() => readPublic(parent(bits))).toThrow(`no AES of ${bits} bits`)
  })
})

describe("C3 a signature is of the scheme that the key's area names", () => {
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
  const modulus = Buffer.from(rsa.publicKey.export({ format: "jwk" }).n ?? "", "base64url")
  const head = Buffer.from("0001000b00050472000000100014000b0800000000000100", "hex")
  const area = readPublic(Buffer.concat([head, modulus]))
  const message = Buffer.from("message")
  const rsaSigned = (kind: "rsassa" | "rsapss", hash: "sha1" | "sha256"): Signature => {
    const padding = kind === "rsassa" ? constants.RSA_PKCS1_PADDING : constants.RSA_PKCS1_PSS_PADDING
    return { kind, hash, value: sign(hash, message, { key: rsa.privateKey, padding }) }
  }

  test("RSASSA and RSAPSS are told apart", () => {
    expect(attestedBy(area, message, rsaSigned("rsassa", "sha256"))).toBe(true)
    const pss = rsaSigned("rsapss", "sha256")
    expect([signedBy(rsa.publicKey, message, pss), attestedBy(area, message, pss)]).toEqual([true, false])
  })

  test("SHA-1 is a no, also for a key that would take it", () =>
    expect(signedBy(rsa.publicKey, message, rsaSigned("rsassa", "sha1"))).toBe(false))

  test("a signature for another kind of key is a no, and no exception", () => {
    const ec = generateKeyPairSync("ec", { namedCurve: "P-256" })
    expect(signedBy(ec.publicKey, message, rsaSigned("rsassa", "sha256"))).toBe(false)
    const raw = sign("sha256", message, { key: ec.privateKey, dsaEncoding: "ieee-p1363" })
    const ecdsa: Signature = { kind: "ecdsa", hash: "sha256", r: raw.subarray(0, 32), s: raw.subarray(32) }
    expect([signedBy(ec.publicKey, message, ecdsa), signedBy(rsa.publicKey, message, ecdsa)]).toEqual([true, false])
    const der = sign("sha256", message, ec.privateKey)
    expect(signedBy(ec.publicKey, message, { kind: "rsassa", hash: "sha256", value: der })).toBe(false)
  })
})

const vectors = resolve(import.meta.dirname, "../../shared/vectors")

describe("quotes that nobody here made", () => {
  const boots = join(vectors, "qemu-ovmf")
  const cases = readdirSync(boots).filter(each => each !== "README.md")
  test.each(cases)("C1 C6 a machine booted in a virtual machine: %s", folder => {
    const at = (name: string): Uint8Array => read(boots, folder, name)
    const said = JSON.parse(Buffer.from(at("quotes.json")).toString()) as Record<string, Record<string, unknown>>
    for (const [name, facts] of Object.entries(said)) {
      const ak = readPublic(at(`ak-${name.slice(0, 3)}.pub`).subarray(2))
      expect(toHex(nameOf(ak))).toBe(toHex(at(`ak-${name.slice(0, 3)}.name`)))
      expect(spki(ak.bytes)).toBe(derOf(at(`ak-${name.slice(0, 3)}.pem`)))
      const attest = at(`quote-${name}.attest`)
      const decoded = decode(quote, attest)
      const signed = decode(signature, at(`quote-${name}.sig`))
      expect(signedBy(keyOf(ak), attest, signed)).toBe(true)
      expect(attestedBy(ak, attest, signed)).toBe(true)
      expect(Object.fromEntries(decoded.selections.map(each => [each.bank, each.pcrs]))).toEqual(facts["selection"])
      expect(toHex(decoded.pcrDigest)).toBe(facts["pcrDigest"])
      expect(decoded.clock).toMatchObject({ resetCount: facts["resetCount"], restartCount: facts["restartCount"] })
      expect(Number(decoded.clock.milliseconds)).toBe(facts["clock"])
      expect(decoded.firmwareVersion.toString(16)).toBe(facts["firmwareVersion"])
      expect(toHex(decoded.qualifyingData)).toBe(Buffer.from(at("nonce.hex")).toString().trim())
      if (decoded.selections.length === 1) checkAgainstYaml(decoded, Buffer.from(at("pcrread.yaml")).toString())
    }
  })

  /** The digest over the values that tpm2_pcrread printed in that machine. */
  function checkAgainstYaml(
    decoded: ReturnType<typeof decode<import("../attestation/tcg/attest.ts").Quote>>,
    yaml: string,
  ): void {
    const [{ bank, pcrs } = { bank: "sha256" as const, pcrs: [] }] = decoded.selections
    const part = new RegExp(`${bank}:\\n((?: +[0-9]+ *: 0x[0-9A-F]+\\n)+)`).exec(yaml)?.[1] ?? ""
    const values = [...part.matchAll(/([0-9]+) *: 0x([0-9A-F]+)/g)].map(([, pcr, value]): [number, Uint8Array] => [
      Number(pcr),
      Buffer.from(value ?? "", "hex"),
    ])
    expect(toHex(compositeDigest("sha256", pcrs, new Map(values)))).toBe(toHex(decoded.pcrDigest))
  }

  test("keylime's: AK, quote and signature", () => {
    const at = (name: string): Uint8Array => read(vectors, "keylime/test-data", name)
    const ak = readPublic(at("ak.pub").subarray(2))
    expect(toHex(nameOf(ak))).toBe(toHex(at("ak.name")))
    expect(spki(ak.bytes)).toBe(derOf(at("akpub.pem")))
    const decoded = decode(quote, at("quote.out"))
    expect(decoded.selections).toEqual([{ bank: "sha256", pcrs: [15, 16, 22] }])
    expect(attestedBy(ak, at("quote.out"), decode(signature, at("quotesig.out")))).toBe(true)
    expect(spki(at("ek.pub").subarray(2))).toBe(derOf(at("ekpub.pem")))
  })

  test("rust-keylime's: structures of another implementation", () => {
    const text = Buffer.from(read(vectors, "rust-keylime/keylime__test-quote.txt")).toString()
    const [attest = "", signed = ""] = text.slice(1).split(":")
    expect(decode(quote, fromBase64(attest)).firmwareVersion).toBeGreaterThan(0n)
    expect(decode(signature, fromBase64(signed)).kind).toBe("rsassa")
  })
})
