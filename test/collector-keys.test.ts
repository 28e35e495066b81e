/** Which keys does the collector refuse, and what are its own? Judged by noble, openssl and coreutils. */
import { createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto"
import { cpSync, mkdirSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import { Point } from "@noble/ed25519"
import { afterAll, beforeAll, expect, test } from "vitest"
import manifest from "../package.json" with { type: "json" }
import { keyOf, nameOf, readPublic, whyNoAttestationKey } from "../attestation/tcg/public.ts"
import { toHex } from "../attestation/wire/text.ts"
import { buildDigest, ownBuild, version } from "../collector/build.ts"
import { decoyKeys } from "../collector/decoy.ts"
import { resultKey } from "../collector/keys.ts"
import { tlsIdentity } from "../collector/tls.ts"
import { looksLikeRoca, whyWeakEd25519 } from "../attestation/tcg/weak-key.ts"
import { removeFolder, temporaryFolder } from "./collector-house.ts"
import { output } from "./foreign.ts"

let folder: string
beforeAll(() => {
  folder = temporaryFolder()
})
afterAll(() => removeFolder(folder))

const bytes = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"))
const rawEd25519 = (): Uint8Array =>
  new Uint8Array(generateKeyPairSync("ed25519").publicKey.export({ format: "der", type: "spki" }).subarray(-32))

test("every point of small order is refused, in canonical encoding and in any other", () => {
  const torsion = Point.fromHex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", false)
  const points = [torsion]
  while (!points.at(-1)?.is0()) points.push((points.at(-1) ?? torsion).add(torsion))
  expect(points).toHaveLength(8)
  for (const point of points) {
    expect(point.isSmallOrder()).toBe(true)
    expect(whyWeakEd25519(point.toBytes()), point.toHex()).toMatch("small order")
  }
  const p = 2n ** 255n - 19n
  for (const y of [p, p + 1n, 2n ** 255n - 1n]) {
    const little = bytes(y.toString(16).padStart(64, "0")).toReversed()
    expect(whyWeakEd25519(little)).toMatch("not canonical")
    little[31]! |= 0x80
    expect(whyWeakEd25519(little)).toMatch("not canonical")
  }
})

test("what node:crypto generates is accepted; what is on the curve is what noble says", () => {
  for (let i = 0; i < 20; i++) expect(whyWeakEd25519(rawEd25519())).toBeUndefined()
  const onCurve = (key: Uint8Array): boolean => {
    try {
      return Point.fromBytes(key, false) !== undefined
    } catch {
      return false
    }
  }
  const seen = new Set<boolean>()
  for (let i = 0; i < 60; i++) {
    const random = new Uint8Array(randomBytes(32))
    expect(whyWeakEd25519(random) === undefined).toBe(onCurve(random))
    seen.add(onCurve(random))
  }
  expect(seen.size, "both kinds were met").toBe(2)
})

test("C12 a modulus with the mark of ROCA is found, and no sound one", () => {
  for (let i = 0; i < 3; i++) {
    const { n = "" } = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({ format: "jwk" })
    expect(looksLikeRoca(new Uint8Array(Buffer.from(n, "base64url")))).toBe(false)
  }
  // as the broken library made primes: k·M + (65537^a mod M), M the product of the first primes (CVE-2017-15361)
  const primorial = [...Array(167).keys()]
    .filter(n => n > 1 && ![2, 3, 5, 7, 11].some(d => d < n && n % d === 0))
    .reduce((m, n) => m * BigInt(n), 1n)
  const power = (a: number): bigint =>
    Array(a)
      .fill(65_537n)
      .reduce((x: bigint, y: bigint) => (x * y) % primorial, 1n)
  const [one, other] = [123n * primorial + power(17), 456n * primorial + power(99)]
  expect(looksLikeRoca(bytes((one * other).toString(16).padStart(512, "0")))).toBe(true)
})

test("the pin is what openssl and sha256sum say of the key, and the certificate is only its coat", () => {
  const state = join(folder, "tls")
  mkdirSync(state)
  const { pin } = tlsIdentity(state)
  const spki = output("openssl", ["pkey", "-in", join(state, "tls-key.pem"), "-pubout", "-outform", "DER"])
  expect(output("sha256sum", [], spki).toString().slice(0, 64)).toBe(toHex(pin))
  const certificate = join(state, "tls-certificate.pem")
  const text = output("openssl", ["x509", "-in", certificate, "-noout", "-text"]).toString()
  expect(text).toMatch("ASN1 OID: prime256v1")
  rmSync(certificate)
  expect(toHex(tlsIdentity(state).pin)).toBe(toHex(pin))
  const other = join(folder, "other")
  mkdirSync(other)
  tlsIdentity(other)
  cpSync(join(other, "tls-certificate.pem"), certificate)
  expect(toHex(tlsIdentity(state).pin), "a certificate of another key is made anew").toBe(toHex(pin))
  expect(new X509Certificate(readFileSync(certificate)).publicKey.asymmetricKeyType).toBe("ec")
})

test("the result key signs as openssl verifies, and is another than the TLS key", () => {
  const state = join(folder, "result")
  mkdirSync(state)
  const key = resultKey(state)
  const message = randomBytes(100)
  const [file, signature] = [join(state, "message"), join(state, "signature")]
  output("tee", [file], message)
  output("tee", [signature], key.sign(message))
  const args = [
    "pkeyutl",
    "-verify",
    "-inkey",
    join(state, "result-key.pem"),
    "-rawin",
    "-in",
    file,
    "-sigfile",
    signature,
  ]
  expect(output("openssl", args).toString()).toMatch("Verified Successfully")
  expect(toHex(resultKey(state).publicKey)).toBe(toHex(key.publicKey))
  const pem = createPublicKey(readFileSync(join(state, "result-key.pem")))
  expect(pem.asymmetricKeyType).toBe("ed25519")
})

test("what a stranger's evidence is compared with looks like keys, and is nobody's", () => {
  const { ak, attester, evidenceKey } = decoyKeys()
  const area = readPublic(ak)
  expect(whyNoAttestationKey(area)).toEqual([])
  expect(keyOf(area).asymmetricKeyType).toBe("ec")
  expect(nameOf(area)).toHaveLength(34)
  expect(attester).toMatch(/^000b[0-9a-f]{64}$/)
  expect(evidenceKey).toHaveLength(32)
  expect(toHex(decoyKeys().ak)).not.toBe(toHex(ak))
})

test("the version is the package's, and the build digest is what coreutils say of the code", () => {
  expect(version).toBe(manifest.version)
  const script = `cd ${JSON.stringify(join(import.meta.dirname, ".."))} && find attestation collector -name '*.ts' -type f |
    LC_ALL=C sort | xargs sha256sum | sha256sum`
  expect(output("sh", ["-c", script]).toString().slice(0, 64)).toBe(ownBuild())
  expect(() => buildDigest(folder, ".ts")).toThrow()
})
