/** Does an EK's certificate lead where OpenSSL says it does, and is nothing else taken for one? Certificates of real makers and of OpenSSL. */
import { execFileSync } from "node:child_process"
import { createPublicKey } from "node:crypto"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, describe, expect, test } from "vitest"
import { type Certificate, calledIn, fingerprintOf, readCertificate } from "../attestation/tcg/certificate.ts"
import { readEkCertificate, whyNotEndorsing } from "../attestation/tcg/ek-certificate.ts"
import { leadsTo } from "../attestation/tcg/ek-chain.ts"
import { makerOf, makerRoots } from "../attestation/tcg/makers.ts"
import { readPublic } from "../attestation/tcg/public.ts"
import { Malformed } from "../attestation/wire/codec.ts"

const vectors = join(import.meta.dirname, "../../shared/vectors")
const store = join(vectors, "keylime/tpm_cert_store")
const boots = join(vectors, "qemu-ovmf")
const folder = mkdtempSync(join(tmpdir(), "ek-"))
afterAll(() => rmSync(folder, { recursive: true }))

const openssl = (...args: readonly string[]): string =>
  execFileSync("openssl", args, { cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
const derOf = (path: string): Uint8Array => {
  const [, base64 = ""] =
    /-----BEGIN CERTIFICATE-----([^-]+)-----END/.exec(readFileSync(resolve(folder, path), "utf8")) ?? []
  return new Uint8Array(Buffer.from(base64, "base64"))
}
const certificateAt = (path: string): Certificate => readCertificate(derOf(path))

const now = Date.UTC(2026, 10, 21)
const nobody = { roots: [], intermediates: [] }

describe("certificates of TPM makers", () => {
  const files = readdirSync(store).filter(name => name.endsWith(".pem"))
  const all = files.map(name => ({ name, path: join(store, name) }))

  test("C11 each is read as OpenSSL reads it", () => {
    expect(all.length).toBeGreaterThan(40)
    for (const { name, path } of all) {
      const shown = openssl(
        "x509",
        "-in",
        path,
        "-noout",
        "-fingerprint",
        "-sha256",
        "-enddate",
        "-dateopt",
        "iso_8601",
      )
      const [, fingerprint, end] = /=([0-9A-F:]+)\nnotAfter=(.*)Z\n/.exec(shown) ?? []
      const certificate = certificateAt(path)
      expect(fingerprintOf(certificate), name).toBe(fingerprint?.replaceAll(":", "").toLowerCase())
      expect(certificate.notAfter, name).toBe(Date.parse(`${end?.replace(" ", "T")}Z`))
    }
  })

  test("C10 each row of the table is of a certificate of that name", () => {
    const called = new Map(
      all.map(({ path }) => certificateAt(path)).map(each => [fingerprintOf(each), calledIn(each.subject)]),
    )
    for (const { fingerprint, subject } of makerRoots) expect(called.get(fingerprint)).toBe(subject)
  })

  test("C10 intermediates lead to the table's roots where OpenSSL says so, and not with SHA-1", () => {
    const certificates = all.map(({ name, path }) => ({ name, path, certificate: certificateAt(path) }))
    const roots = certificates.filter(({ certificate }) => makerOf(fingerprintOf(certificate)))
    writeFileSync(join(folder, "roots.pem"), roots.map(({ path }) => readFileSync(path, "utf8")).join("\n"))
    const admitted = { roots: roots.map(each => each.certificate), intermediates: [] }
    let anchored = 0
    for (const { name, path, certificate } of certificates.filter(each => !roots.includes(each))) {
      const led = leadsTo(certificate, admitted, now)
      expect(led.kind === "anchored", name).toBe(verifies(path))
      if (led.kind === "anchored") anchored++
      else expect(led.why, name).toMatch(/nobody admitted|expired/)
    }
    expect(anchored).toBeGreaterThan(12)
  })

  const verifies = (path: string): boolean => {
    try {
      openssl("verify", "-partial_chain", "-trusted", "roots.pem", "-attime", String(now / 1000), path)
      return true
    } catch {
      return false
    }
  }

  test("C10 what SHA-1 signs leads nowhere", () => {
    const [root, below] = ["IFX_RSA_RT", "IFX_RSA_08I"].map(name => certificateAt(join(store, `${name}.pem`)))
    if (!root || !below) throw new Error("not there")
    expect(leadsTo(below, { roots: [root], intermediates: [] }, now)).toMatchObject({
      kind: "unanchored",
      why: expect.stringContaining("SHA-1"),
    })
  })
})

describe("certificates of booted machines", () => {
  const machines = readdirSync(boots).filter(name => !name.endsWith(".md"))
  for (const machine of machines)
    test(`C10 ${machine}: both EK certificates lead to its maker's root, and only there`, () => {
      const path = (name: string): string => join(boots, machine, name)
      const [root, issuer] = ["ekca-root.pem", "ekca-issuer.pem"].map(name => certificateAt(path(name)))
      if (!root || !issuer) throw new Error("not there")
      for (const name of ["ek-rsa.crt.der", "ek-ecc-16.crt.der"]) {
        const certificate = readEkCertificate(new Uint8Array(readFileSync(path(name))))
        const at = certificate.notBefore + 1000
        expect(leadsTo(certificate, { roots: [root], intermediates: [issuer] }, at)).toEqual({ kind: "anchored", root })
        expect(leadsTo(certificate, { roots: [issuer], intermediates: [] }, at)).toMatchObject({ kind: "anchored" })
        expect(leadsTo(certificate, { roots: [root], intermediates: [] }, at)).toMatchObject({ kind: "unanchored" })
        expect(leadsTo(certificate, { roots: [], intermediates: [root, issuer] }, at).kind).toBe("unanchored")
        expect(leadsTo(certificate, { roots: [root], intermediates: [issuer] }, certificate.notBefore - 1000)).toEqual({
          kind: "unanchored",
          why: "is not valid yet",
        })
      }
      const ek = readPublic(new Uint8Array(readFileSync(path("ek.pub")).subarray(2)))
      const own = readEkCertificate(new Uint8Array(readFileSync(path("ek-rsa.crt.der"))))
      const other = readEkCertificate(new Uint8Array(readFileSync(path("ek-ecc-16.crt.der"))))
      expect(whyNotEndorsing(own, ek)).toEqual([])
      expect(whyNotEndorsing(other, ek)).toContain("is for another key than the EK")
    })
})

/** Certificates of OpenSSL: a root, an authority under it, and what a section of extensions makes of the same EK. */
const authority = makeAuthority()

function makeAuthority() {
  const key = (name: string): string[] => ["-newkey", "rsa:2048", "-nodes", "-keyout", `${name}.key`]
  const ca = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign"]
  openssl("req", "-x509", ...key("root"), "-subj", "/CN=A maker", "-days", "30", "-out", "root.pem", ...ca)
  openssl("req", "-x509", ...key("false"), "-subj", "/CN=A maker", "-days", "30", "-out", "false.pem", ...ca)
  openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "ek.key")
  openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "ecc.key")
  return { root: certificateAt("root.pem"), impostor: certificateAt("false.pem") }
}

let serial = 1
/** A certificate for `key`, signed by `issuer`, with `extensions`. */
function issue(
  extensions: string,
  { issuer = "root", key = "ek", name = `c${serial++}`, days = "30", hash = "sha256" } = {},
) {
  writeFileSync(join(folder, `${name}.cnf`), `[x]\n${extensions}\n`)
  openssl("req", "-new", "-key", `${key}.key`, "-subj", `/CN=${name}`, "-out", `${name}.csr`)
  const by = ["-CA", `${issuer}.pem`, "-CAkey", `${issuer}.key`, "-set_serial", String(serial++)]
  const how = ["-days", days, `-${hash}`, "-extfile", `${name}.cnf`, "-extensions", "x", "-out", `${name}.pem`]
  openssl("x509", "-req", "-in", `${name}.csr`, ...by, ...how)
  return certificateAt(`${name}.pem`)
}

const good = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,keyEncipherment\nextendedKeyUsage=2.23.133.8.1"

/** TPMT_PUBLIC of an EK with the key in `name`, by the template that TPMs use. */
function areaOf(name: string) {
  const { n = "" } = createPublicKey(readFileSync(join(folder, `${name}.key`))).export({ format: "jwk" })
  const head = `0001000b000300b20020${"00".repeat(32)}000600800043001008000000000001 00`.replace(" ", "")
  return readPublic(new Uint8Array(Buffer.concat([Buffer.from(head, "hex"), Buffer.from(n, "base64url")])))
}

describe("an EK's certificate", () => {
  const leaf = issue(good)
  const ek = areaOf("ek")
  const atNow = Date.now() + 86_400_000
  const admitted = { roots: [authority.root], intermediates: [] }

  test("C10 leads to its root, and is the EK's", () => {
    expect(leadsTo(leaf, admitted, atNow)).toEqual({ kind: "anchored", root: authority.root })
    expect(whyNotEndorsing(leaf, ek)).toEqual([])
  })

  test("C11 is found behind the head of NV and before its padding, and nowhere else", () => {
    const { bytes } = leaf
    const size = Buffer.alloc(2)
    size.writeUInt16BE(bytes.length + 2)
    const head = Buffer.concat([Buffer.from("100100", "hex"), size, Buffer.from("1002", "hex")])
    for (const before of [Buffer.alloc(0), head])
      for (const after of [Buffer.alloc(0), Buffer.alloc(300), Buffer.alloc(7, 0xff)])
        expect(readEkCertificate(new Uint8Array(Buffer.concat([before, bytes, after]))).bytes).toEqual(bytes)
    for (const after of [Buffer.from([1]), Buffer.from([0, 0xff]), Buffer.from(bytes)])
      expect(() => readEkCertificate(new Uint8Array(Buffer.concat([bytes, after])))).toThrow(Malformed)
  })

  test("C11 with lengths that DER would write shorter is still the one that was signed", () => {
    const { bytes } = leaf
    const longer = Buffer.concat([Buffer.from([0x30, 0x83, 0]), bytes.subarray(2)])
    expect(bytes[1]).toBe(0x82)
    expect(leadsTo(readEkCertificate(new Uint8Array(longer)), admitted, atNow).kind).toBe("anchored")
  })

  test("C10 of a namesake of the root leads nowhere", () => {
    const forged = issue(good, { issuer: "false" })
    expect(leadsTo(forged, admitted, atNow)).toEqual({ kind: "unanchored", why: "is not signed by its issuer" })
    expect(leadsTo(forged, { roots: [authority.impostor], intermediates: [] }, atNow).kind).toBe("anchored")
    expect(leadsTo(leaf, nobody, atNow)).toEqual({
      kind: "unanchored",
      why: 'leads to "A maker", which nobody admitted',
    })
  })

  test("C10 cannot issue others, and authorities issue no deeper than they may", () => {
    const fake = issue(good, { issuer: pemOf(leaf, "ek"), key: "ecc" })
    expect(leadsTo(fake, { roots: [authority.root], intermediates: [leaf] }, atNow)).toMatchObject({
      why: "is issued by one that is no authority",
    })
    const ca = (below: number): string =>
      `basicConstraints=critical,CA:TRUE,pathlen:${below}\nkeyUsage=critical,keyCertSign`
    const first = issue(ca(0), { name: "first", key: "ek" })
    pemOf(first, "ek", "first")
    const second = issue(ca(0), { issuer: "first", name: "second", key: "ek" })
    pemOf(second, "ek", "second")
    const direct = issue(good, { issuer: "first" })
    const deep = issue(good, { issuer: "second" })
    const both = { roots: [authority.root], intermediates: [first, second] }
    expect(leadsTo(direct, both, atNow).kind).toBe("anchored")
    expect(leadsTo(deep, both, atNow).kind).toBe("unanchored")
  })

  const pemOf = (_: Certificate, key: string, name = "leaf"): string => {
    if (name === "leaf") openssl("x509", "-in", "c1.pem", "-out", "leaf.pem")
    writeFileSync(join(folder, `${name}.key`), readFileSync(join(folder, `${key}.key`)))
    return name
  }

  test("C10 for another purpose, an authority's, an expired one, one with an unknown critical extension is none", () => {
    const whyNot = (extensions: string): string[] => whyNotEndorsing(issue(extensions), ek)
    expect(whyNot(good.replace("2.23.133.8.1", "2.23.133.8.3"))).toEqual(["is for another purpose than an EK"])
    expect(whyNot(good.replace("keyEncipherment", "digitalSignature"))).toEqual(["does not allow keyEncipherment"])
    expect(whyNot(good.replace("CA:FALSE", "CA:TRUE"))).toEqual(["is an authority's"])
    expect(whyNot(good.replace("keyEncipherment", "keyEncipherment,keyCertSign"))).toEqual([
      "allows its key to sign certificates",
    ])
    expect(leadsTo(leaf, admitted, leaf.notAfter + 1000)).toMatchObject({ why: "has expired" })
    const strange = issue(`${good}\n1.2.3.4=critical,DER:0500`)
    expect(leadsTo(strange, admitted, atNow)).toMatchObject({ why: expect.stringContaining("2a0304") })
  })

  test("C12 with a small exponent or a short key leads nowhere", () => {
    const details = {
      e3: ["rsa_keygen_bits:2048", "rsa_keygen_pubexp:3"],
      short: ["rsa_keygen_bits:1024", "rsa_keygen_pubexp:65537"],
    }
    for (const [name, options] of Object.entries(details)) {
      openssl("genpkey", "-algorithm", "RSA", ...options.flatMap(each => ["-pkeyopt", each]), "-out", `${name}.key`)
      expect(leadsTo(issue(good, { key: name }), admitted, atNow)).toMatchObject({ why: "holds a weak RSA key" })
    }
  })

  test("every altered byte of what is signed and every cut is refused", () => {
    const { bytes, signed } = leaf
    const from = 4
    for (let at = from; at < from + signed.length; at++)
      expect(led(flipped(bytes, at)), `byte ${at}`).not.toBe("anchored")
    for (let length = 0; length < bytes.length; length++)
      expect(() => readEkCertificate(bytes.subarray(0, length)), `cut at ${length}`).toThrow(Malformed)
  })

  const led = (bytes: Uint8Array): string => {
    try {
      return leadsTo(readEkCertificate(bytes), admitted, atNow).kind
    } catch (error) {
      if (error instanceof Malformed) return "malformed"
      throw error
    }
  }
  const flipped = (bytes: Uint8Array, at: number): Uint8Array => bytes.with(at, (bytes[at] ?? 0) ^ 0x01)
})
