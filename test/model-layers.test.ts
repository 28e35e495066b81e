/**
 * Whose hash stands behind a model? Judged by others' signatures: bundles of OpenSSF Model Signing, the Sigstore project's own cases, and
 * lists that coreutils and git made.
 */
import { execFileSync } from "node:child_process"
import { createHash, createPublicKey } from "node:crypto"
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"
import { compareClaims, type File, keyOf, toRead } from "../attestation/pins/layers/claims.ts"
import { readListing, readSums } from "../attestation/pins/layers/list.ts"
import { type Accepted, checkBundle, type SignedFile } from "../attestation/pins/layers/signature.ts"
import { readStatement } from "../attestation/pins/layers/statement.ts"
import { readCertificate } from "../attestation/tcg/certificate.ts"
import { vectors } from "./vectors.ts"

const scratch = mkdtempSync(join(tmpdir(), "assay-layers-"))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const oms = join(vectors, "oms/scripts/tests")
const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path))
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

/** PEM → certificate, by openssl. */
const certificate = (path: string) =>
  readCertificate(new Uint8Array(execFileSync("openssl", ["x509", "-in", path, "-outform", "DER"])))

/** The trusted root of the public Sigstore instance, as the Sigstore project's update client ships it. */
function publicRoot(): Uint8Array {
  const seeds: Record<string, { targets: Record<string, string> }> = JSON.parse(
    readFileSync(new URL("../node_modules/@sigstore/tuf/seeds.json", import.meta.url), "utf8"),
  )
  const root = seeds["https://tuf-repo-cdn.sigstore.dev"]?.targets["trusted_root.json"] ?? ""
  return new Uint8Array(Buffer.from(root, "base64"))
}

const publisher = (): Accepted => ({
  kind: "key",
  key: createPublicKey(readFileSync(join(oms, "keys/certificate/signing-key-pub.pem"))),
})
const roots = (now = "2026-01-01T00:00:00Z", file = "ca-cert.pem"): Accepted => ({
  kind: "roots",
  roots: [certificate(join(oms, "keys/certificate", file))],
  now: Date.parse(now),
})
const ibm = (identity = "stefanb@us.ibm.com"): Accepted => ({
  kind: "sigstore",
  identity,
  issuer: "https://sigstore.verify.ibm.com/oauth2",
  trustedRoot: publicRoot(),
})
const nobody: Accepted = { kind: "nobody" }

const filesIn = (folder: string): File[] =>
  readdirSync(folder)
    .filter(name => name !== "model.sig")
    .map(name => ({ name, size: statSync(join(folder, name)).size, sha256: sha256(read(join(folder, name))) }))

/** The three verdicts on a bundle of a folder: signature, authority, bytes. */
function verdicts(folder: string, accepted: Accepted, files = filesIn(join(oms, folder))): string {
  const single = files.length === 1 ? (files[0]?.name ?? "") : folder
  const { signature, authority, claims } = checkBundle(read(join(oms, folder, "model.sig")), accepted, single, [])
  return [signature.verdict, authority.verdict, compareClaims(claims, files, new Map()).verdict].join(", ")
}

describe("signatures of OpenSSF Model Signing", () => {
  const versions = ["v0.3.1", "v1.0.0", "v1.0.1", "v1.1.0"]

  it.each(versions)("of a key that a person named: %s", version => {
    expect(verdicts(`${version}-elliptic-key`, publisher())).toBe(
      version === "v1.0.1" ? "valid, accepted, partly" : "valid, accepted, match", // ignore-me is in no list of v1.0.1
    )
  })

  it.each(versions)("of a certificate that leads to a named authority: %s", version => {
    const folder = `${version}-certificate`
    expect(verdicts(folder, roots())).toMatch(/^valid, accepted, (match|partly)$/)
    expect(verdicts(folder, roots("2040-01-01T00:00:00Z"))).toMatch(/^valid, not accepted, /)
    expect(verdicts(folder, roots(undefined, "signing-key-cert.pem"))).toMatch(/^valid, not accepted, /)
  })

  it.each(versions)("of an identity, by the public Sigstore instance's word, offline: %s", version => {
    const folder = `${version}-sigstore`
    expect(verdicts(folder, ibm())).toMatch(/^valid, accepted, (match|partly)$/)
    expect(verdicts(folder, ibm("us.ibm.com")), "a part of the name is not the name").toMatch(/^valid, not accepted, /)
    expect(verdicts(folder, nobody)).toMatch(/^valid, not accepted, /)
  })

  it("a signature over something else than DSSE's encoding is none", () => {
    expect(verdicts("v0.2.0-certificate", roots())).toMatch(/^invalid, not accepted, /)
  })

  it("a valid signature of other bytes stays valid, and the bytes differ", () => {
    const files = filesIn(join(oms, "v1.0.0-certificate"))
    const altered = files.map((file, i) => (i === 0 ? { ...file, sha256: "00".repeat(32) } : file))
    expect(verdicts("v1.0.0-certificate", roots(), altered)).toBe("valid, accepted, differ")
    expect(verdicts("v1.0.0-certificate", roots(), files.slice(1))).toBe("valid, accepted, differ")
  })

  it("a file that is not in the list is uncovered, unless the list says to leave it out", () => {
    const extra = { name: "more.bin", size: 1, sha256: "11".repeat(32) }
    expect(verdicts("v1.1.0-certificate", roots(), [...filesIn(join(oms, "v1.1.0-certificate")), extra])).toBe(
      "valid, accepted, partly",
    )
  })

  it("a bundle that only hints at a key is not checked without it, and refused with another", () => {
    expect(verdicts("v1.1.0-elliptic-key", nobody)).toBe("not checked, not accepted, match")
    const other = join(scratch, "other.pem")
    execFileSync("sh", [
      "-c",
      `openssl ecparam -name prime256v1 -genkey -noout | openssl ec -pubout -out ${other} 2>&1`,
    ])
    expect(verdicts("v1.1.0-elliptic-key", { kind: "key", key: createPublicKey(readFileSync(other)) })).toMatch(
      /^invalid/,
    )
  })

  const payloads = join(vectors, "oms/tests/_signing/testdata/signing/TestPayload")
  it.each(readdirSync(payloads))("statement %s lists each file once, its root is what the digests give", name => {
    const { claims } = readStatement(read(join(payloads, name)), "model")
    expect(claims.every(({ digest }) => /^[0-9a-f]{64}$/.test(digest))).toBe(true)
    const altered = Buffer.from(read(join(payloads, name)))
      .toString()
      .replace(/("digest": ")[0-9a-f]{8}(?=[0-9a-f]{56}",)/, "$100000000")
    if (claims.length > 1) expect(() => readStatement(new Uint8Array(Buffer.from(altered)), "model")).toThrow(/subject/)
  })

  it("shards are compared by the bytes between their ends, and must cover the file", () => {
    const { claims } = readStatement(read(join(payloads, "sample_model_folder_small_shards")), "model")
    const sizes = Map.groupBy(claims, ({ name }) => name)
    const files = [...sizes].map(
      ([name, of]): File => ({
        ...{ name, sha256: "00".repeat(32) },
        size: Math.max(...of.map(({ range }) => (range === "whole" ? 0 : range.to))),
      }),
    )
    const wanted = toRead({ claims, ignored: [] }, files)
    const digests = new Map(wanted.map(claim => [keyOf(claim), claim.digest]))
    expect(compareClaims({ claims, ignored: [] }, files, digests).verdict).toBe("match")
    expect(compareClaims({ claims, ignored: [] }, files, new Map()).verdict).toBe("differ")
    const longer = files.map(file => ({ ...file, size: file.size + 1 }))
    expect(compareClaims({ claims, ignored: [] }, longer, digests).verdict).toBe("not checked")
  })
})

describe("the Sigstore project's cases", () => {
  const cases = join(vectors, "sigstore-conformance")
  const beacon =
    "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main"

  const names = readdirSync(cases).filter(name => existsSync(join(cases, name, "bundle.sigstore.json")))
  it("are all there", () => expect(names.length).toBe(70))

  it.each(names)("%s", name => {
    const inCase = (file: string): string => join(cases, name, file)
    const said = (file: string, otherwise: string): string =>
      existsSync(inCase(file)) ? readFileSync(inCase(file), "utf8").trim() : otherwise
    const artifact = read(existsSync(inCase("artifact")) ? inCase("artifact") : join(cases, "a.txt"))
    expect(passes(read(inCase("bundle.sigstore.json")), () => acceptedIn(inCase, said), artifact)).toBe(
      !name.endsWith("_fail"),
    )
  })

  function acceptedIn(inCase: (file: string) => string, said: (file: string, otherwise: string) => string): Accepted {
    if (existsSync(inCase("key.pub"))) return { kind: "key", key: createPublicKey(readFileSync(inCase("key.pub"))) }
    const trustedRoot = existsSync(inCase("trusted_root.json")) ? read(inCase("trusted_root.json")) : publicRoot()
    const issuer = said("issuer", "https://token.actions.githubusercontent.com")
    return { kind: "sigstore", identity: said("identity", beacon), issuer, trustedRoot }
  }

  function passes(bundle: Uint8Array, accepted: () => Accepted, artifact: Uint8Array): boolean {
    const file: SignedFile = { name: "artifact", sha256: sha256(artifact), bytes: () => artifact }
    try {
      const { signature, authority, claims } = checkBundle(bundle, accepted(), "artifact", [file])
      const about = claims.claims.some(({ digest }) => digest === file.sha256)
      return signature.verdict === "valid" && authority.verdict === "accepted" && about
    } catch {
      return false
    }
  }
})

describe("lists that nobody signed", () => {
  it("sha256sum's output, its escapes and its --tag form are read alike", () => {
    const odd = ["plain.bin", "with space", "back\\slash", "new\nline"]
    for (const name of odd) writeFileSync(join(scratch, name), name)
    const listed = (...flags: string[]): string[] =>
      readSums(new Uint8Array(execFileSync("sha256sum", [...flags, "--", ...odd], { cwd: scratch }))).claims.map(
        ({ name, digest }) => `${name} ${digest}`,
      )
    expect(listed()).toEqual(odd.map(name => `${name} ${sha256(Buffer.from(name))}`))
    expect(
      readSums(new Uint8Array(execFileSync("sha256sum", ["--tag", "plain.bin"], { cwd: scratch }))).claims[0]?.digest,
    ).toBe(sha256(Buffer.from("plain.bin")))
  })

  it.each([
    ["a line of something else", "hello\n"],
    ["a name twice", `${"00".repeat(32)}  a\n${"11".repeat(32)}  a\n`],
    ["nothing", "\n# only a remark\n"],
  ])("%s is refused", (_, text) => {
    expect(() => readSums(new Uint8Array(Buffer.from(text)))).toThrow(/list/)
  })

  it("a commit's listing says which files only a SHA-1 covers, by git's own word", () => {
    writeFileSync(join(scratch, "config.json"), "{}")
    const blob = execFileSync("git", ["hash-object", "config.json"], { cwd: scratch }).toString().trim()
    const listing = {
      format_version: 1,
      files: {
        "config.json": { size: 2, blob_id: blob },
        "model.bin": { size: 9, blob_id: "22".repeat(20), lfs_sha256: sha256(Buffer.from("plain.bin")), lfs_size: 9 },
      },
    }
    const claims = readListing(new Uint8Array(Buffer.from(JSON.stringify(listing, undefined, 1))))
    const files: File[] = [
      { name: "config.json", size: 2, sha256: sha256(Buffer.from("{}")) },
      { name: "model.bin", size: 9, sha256: sha256(Buffer.from("plain.bin")) },
    ]
    const digests = new Map([["git-sha1 config.json", blob]])
    expect(toRead(claims, files).map(keyOf)).toEqual(["git-sha1 config.json"])
    expect(compareClaims(claims, files, digests)).toMatchObject({ verdict: "match", covered: 2, weak: 1 })
    expect(compareClaims(claims, files, new Map())).toMatchObject({ verdict: "differ" })
  })
})
