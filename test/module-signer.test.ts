/** Who signed a module? Signatures are OpenSSL's, put where the kernel's sign-file puts them, and OpenSSL says whose they are. */
import { execFileSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { gzipSync, zstdCompressSync } from "node:zlib"
import { assert, integer, property, uint8Array } from "fast-check"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { Host } from "../agent/host.ts"
import { signerIn, signerOf } from "../agent/sources/kernel/signer.ts"
import { Malformed } from "../attestation/wire/codec.ts"

const scratch = mkdtempSync(join(tmpdir(), "assay-signer-"))
const at = (name: string): string => join(scratch, name)
afterAll(() => rmSync(scratch, { recursive: true, force: true }))
const openssl = (...given: readonly string[]): string =>
  execFileSync("openssl", given, { encoding: "utf8", cwd: scratch })

const body = Buffer.from("\x7fELF and so on, the code of a module")
beforeAll(() => {
  const subject = ["-subj", "/O=Example/CN=Build time key of Example"]
  openssl(
    "req",
    "-x509",
    "-newkey",
    "rsa:2048",
    "-nodes",
    "-keyout",
    "key.pem",
    "-out",
    "cert.pem",
    "-set_serial",
    "0x7a11",
    ...subject,
  )
  writeFileSync(at("body"), body)
})

/** As scripts/sign-file.c of the kernel signs: detached, without certificates and attributes. */
function signed(...more: readonly string[]): Buffer {
  const how = ["-sign", "-binary", "-noattr", "-nocerts", "-nosmimecap", "-md", "sha256", "-outform", "DER"]
  openssl("cms", ...how, "-in", "body", "-signer", "cert.pem", "-inkey", "key.pem", "-out", "signature", ...more)
  const signature = readFileSync(at("signature"))
  const trailer = Buffer.alloc(12)
  trailer[2] = 2
  trailer.writeUInt32BE(signature.length, 8)
  return Buffer.concat([body, signature, trailer, Buffer.from("~Module signature appended~\n")])
}

describe("a module's signer", () => {
  it("is the one that OpenSSL names, by issuer and serial number", () => {
    expect(signerIn(signed())).toBe('"Build time key of Example" serial:7a11')
    const said = openssl("cms", "-cmsout", "-print", "-noout", "-inform", "DER", "-in", "signature")
    expect(said).toMatch(/issuer: O=Example, CN=Build time key of Example/)
    expect(said).toMatch(/serialNumber: (?:0x7A11|31249)/)
  })

  it("is a key where the signature names one", () => {
    const [, key = ""] = /key:([0-9a-f]{40})$/.exec(signerIn(signed("-keyid"))) ?? []
    const said = openssl("x509", "-in", "cert.pem", "-noout", "-ext", "subjectKeyIdentifier")
    expect(said.replaceAll(":", "").toLowerCase()).toContain(key)
    expect(key).not.toBe("")
  })

  it("is found behind compression, and is none where there is none", async () => {
    const host = new Host(scratch)
    const module = signed()
    writeFileSync(at("m.ko"), module)
    writeFileSync(at("m.ko.zst"), zstdCompressSync(module))
    writeFileSync(at("m.ko.gz"), gzipSync(module))
    writeFileSync(at("bare.ko"), body)
    for (const name of ["m.ko", "m.ko.zst", "m.ko.gz"])
      expect(await signerOf(host, `/${name}`)).toEqual({ state: "present", value: signerIn(module) })
    expect(await signerOf(host, "/bare.ko")).toEqual({ state: "present", value: "none" })
    expect(await signerOf(host, "/gone.ko")).toEqual({ state: "absent" })
    writeFileSync(at("m.ko.xz"), module)
    expect(await signerOf(host, "/m.ko.xz")).toMatchObject({ state: "unreadable" })
    writeFileSync(at("m.ko.zst"), module)
    expect(await signerOf(host, "/m.ko.zst")).toMatchObject({ state: "unreadable" })
  })

  it("is unreadable or another, never a surprise, whatever byte is altered and wherever it is cut", () => {
    const module = signed()
    const harmless = (bytes: Uint8Array): void => {
      try {
        signerIn(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(Malformed)
      }
    }
    assert(
      property(integer({ min: 0, max: module.length - 1 }), integer({ min: 1, max: 255 }), (place, change) => {
        const altered = Buffer.from(module)
        altered[place] = (altered[place] ?? 0) ^ change
        harmless(altered)
        harmless(module.subarray(place))
      }),
    )
    assert(
      property(uint8Array({ maxLength: 80 }), integer({ min: 0, max: 0xffffffff }), (noise, size) => {
        const trailer = Buffer.alloc(12)
        trailer[2] = 2
        trailer.writeUInt32BE(size, 8)
        harmless(Buffer.concat([noise, trailer, Buffer.from("~Module signature appended~\n")]))
      }),
    )
  })
})
