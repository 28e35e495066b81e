/** Does docs/provenance.md tell the truth? Its blocks marked `sh run` are one session, in which openssl and jq make the publisher's signature. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "..")
const scratch = mkdtempSync(join(tmpdir(), "assay-provenance-"))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const page = readFileSync(join(root, "docs/provenance.md"), "utf8")
const script = [...page.matchAll(/^```sh run\n([^]*?)^```$/gm)].map(([, text]) => text ?? "").join("\n")
const env = {
  ...process.env,
  PATH: `${join(root, "node_modules/.bin")}:${join(root, ".cache/bin")}:${process.env["PATH"]}`,
}

function run(...args: string[]): { code: number | null; said: string } {
  const { status, stdout, stderr } = spawnSync("assay", args, { cwd: scratch, env, encoding: "utf8" })
  return { code: status, said: stdout + stderr }
}

describe("docs/provenance.md", () => {
  it("runs as it stands", () => {
    const { status, stdout, stderr } = spawnSync("bash", ["-euo", "pipefail", "-c", script], {
      cwd: scratch,
      env,
      encoding: "utf8",
    })
    expect(status, stdout + stderr).toBe(0)
    expect(stdout).toContain(
      "publisher\tvalid\taccepted\tmatch\necosystem\tunsigned\taccepted\tmatch\nfirm\tunsigned\tnot accepted\tmatch",
    )
    expect(stdout).toContain("differs  config.json")
  })
})

describe("a model that is not what its publisher signed", () => {
  it("differs in bytes under a signature that stays valid", () => {
    const args = [
      "--by",
      "Ada Lovelace",
      "--publisher",
      "model.sig",
      "--key",
      "publisher.pem",
      "--publisher-from",
      "Example Labs",
    ]
    const { code, said } = run("model", "add", "again", "--out", "again.model", ...args)
    expect(code, said).toBe(3)
    expect(said).toMatch(/signature valid[^]*bytes differ[^]*differs config\.json/)
  })

  it("and a signer whom nobody named is not accepted", () => {
    const { code, said } = run(
      "model",
      "add",
      "release",
      "--out",
      "r.model",
      "--by",
      "A",
      "--publisher",
      "model.sig",
      "--publisher-from",
      "x",
    )
    expect(code, said).toBe(3)
    expect(said).toMatch(/signature not checked[^]*authority not accepted/)
  })

  it.each([
    [["--publisher", "mirror.sums"], /--publisher-from/],
    [["--publisher", "absent.sums", "--publisher-from", "x"], /does not exist/],
    [["--publisher", "publisher.pem", "--publisher-from", "x"], /sha256sum/],
    [["--publisher", "model.sig", "--key", "publisher.pem", "--ca", "publisher.pem"], /more than one signer/],
    [["--publisher", "model.sig", "--identity", "a"], /--issuer and --trusted-root/],
  ])("%j is refused with what to do", (args, says) => {
    const { code, said } = run(
      "model",
      "add",
      "release",
      "--out",
      `out-${args.length}-${args[1]}`,
      "--by",
      "A",
      ...args,
    )
    expect([1, 2]).toContain(code)
    expect(said).toMatch(says)
  })
})

describe("the cache of Hugging Face's tools", () => {
  it("is the ecosystem's layer, labelled by strength, and a blob that is not what it is called differs", () => {
    const text = Buffer.from("{}")
    const weights = Buffer.from("weights")
    const git = createHash("sha1").update(`blob ${text.length}\0`).update(text).digest("hex")
    const lfs = createHash("sha256").update(weights).digest("hex")
    const home = join(scratch, "models--org--tiny")
    const snapshot = join(home, "snapshots", "a".repeat(40))
    for (const folder of [join(home, "blobs"), snapshot]) mkdirSync(folder, { recursive: true })
    writeFileSync(join(home, "blobs", git), text)
    writeFileSync(join(home, "blobs", lfs), weights)
    symlinkSync(`../../blobs/${git}`, join(snapshot, "config.json"))
    symlinkSync(`../../blobs/${lfs}`, join(snapshot, "model.safetensors"))
    const good = run("model", "add", snapshot, "--out", "tiny.model", "--by", "A", "--self-published")
    expect(good.code, good.said).toBe(0)
    expect(good.said).toMatch(/huggingface\.co\/org\/tiny at\s+aaaa[^]*sha256 and git-sha1, 1 by git's/)
    writeFileSync(join(home, "blobs", lfs), "weighty")
    const bad = run("model", "add", snapshot, "--out", "bad.model", "--by", "A", "--self-published")
    expect(bad.code, bad.said).toBe(3)
    expect(bad.said).toMatch(/bytes differ[^]*differs model\.safetensors/)
  })
})
