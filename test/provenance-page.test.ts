/** Does docs/provenance.md tell the truth? Its blocks marked `sh run` are one session, in which openssl and jq make the publisher's signature. */
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterAll, describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "..")
const scratch = mkdtempSync(join(tmpdir(), "assay-provenance-"))
afterAll(() => rmSync(scratch, { recursive: true, force: true }))

const page = readFileSync(join(root, "docs/provenance.md"), "utf8")
const script = [...page.matchAll(/^```sh run\n([^]*?)^```$/gm)]
  .map(([, text]) => text ?? "")
  .join("\n")
  // what the page says is refused must be
  .replaceAll(/ \|\| test \$\? = (\d)$/gm, " && false || test $? = $1")
const env = {
  ...process.env,
  PATH: `${join(root, "node_modules/.bin")}:${join(root, ".cache/bin")}:${process.env["PATH"]}`,
}

function put(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, text)
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

describe("upstream's tags that moved", () => {
  const [first, second] = ["a".repeat(40), "b".repeat(40)]
  const home = join(scratch, "hub/models--org--moving")
  const tag = (name: string, commit: string): void => put(join(home, "refs", name), commit)

  /** A revision as the download tools lay it out: a blob under its SHA-256, and a link to it. */
  function revision(commit: string, weights: string): string {
    const digest = createHash("sha256").update(weights).digest("hex")
    put(join(home, "blobs", digest), weights)
    const snapshot = join(home, "snapshots", commit)
    mkdirSync(snapshot, { recursive: true })
    symlinkSync(`../../blobs/${digest}`, join(snapshot, "model.safetensors"))
    return snapshot
  }

  it("of Hugging Face's are said, and change neither verdict nor exit", () => {
    const snapshot = revision(first, "weights")
    for (const name of ["main", "refs/pr/1", "v1"]) tag(name, first)
    tag("older", "c".repeat(40))
    const added = run("model", "add", snapshot, "--out", "moving.model", "--by", "A", "--self-published")
    expect(added.said).toMatch(
      /upstream +huggingface\.co\/org\/moving at\s+a{40},\s+called\s+main,\s+refs\/pr\/1,\s+v1\s+then/,
    )
    const record = readFileSync(join(scratch, "moving.model/provenance.json"), "utf8")
    const before = run("model", "check", "moving.model", snapshot)
    expect([before.code, before.said]).toEqual([0, expect.not.stringContaining("moved")])

    tag("main", second)
    tag("older", second)
    tag("refs/pr/1", "hostile \u001b[2J")
    const after = run("model", "check", "moving.model", snapshot)
    expect(after.code, after.said).toBe(0)
    const moved = `assay: upstream's main moved: was ${first}, is ${second}; what is pinned stays\n`
    expect(after.said).toBe(`${before.said}${moved}`)
    const later = run("model", "check", "moving.model", revision(second, "other weights"))
    expect([later.code, later.said]).toEqual([3, `differs  model.safetensors\n${moved}`])
    const json = run("model", "check", "moving.model", snapshot, "--json")
    expect(JSON.parse(json.said)).toMatchObject({ same: true, moved: [{ tag: "main", was: first, is: second }] })
    expect(readFileSync(join(scratch, "moving.model/provenance.json"), "utf8")).toBe(record)
    expect(run("model", "show", "moving.model").code).toBe(0)
  })

  it("are not told of another repository, nor where the cache has no tag", () => {
    const other = join(scratch, "hub/models--org--other")
    cpSync(home, other, { recursive: true, verbatimSymlinks: true })
    expect(run("model", "check", "moving.model", join(other, "snapshots", first)).said).not.toContain("moved")
    rmSync(join(home, "refs"), { recursive: true })
    const none = run("model", "check", "moving.model", join(home, "snapshots", first))
    expect([none.code, none.said]).toEqual([0, expect.not.stringContaining("moved")])
  })

  it("of Ollama's are said by the manifest's digest, beside what differs", () => {
    const store = join(scratch, "ollama")
    const pulled = (weights: string): string => {
      const layer = (mediaType: string, text: string) => {
        const digest = createHash("sha256").update(text).digest("hex")
        put(join(store, "blobs", `sha256-${digest}`), text)
        return { mediaType: `application/vnd.${mediaType}`, digest: `sha256:${digest}`, size: text.length }
      }
      const config = layer("docker.container.image.v1+json", "{}")
      const manifest = JSON.stringify({ schemaVersion: 2, config, layers: [layer("ollama.image.model", weights)] })
      put(join(store, "manifests/registry.ollama.ai/library/tiny/latest"), manifest)
      return createHash("sha256").update(manifest).digest("hex")
    }
    const was = pulled("weights")
    const added = run("model", "add", `ollama:${store}/tiny`, "--out", "o.model", "--by", "A", "--self-published")
    expect([added.code, added.said]).toEqual([0, expect.stringContaining("registry.ollama.ai/library/tiny at")])
    const is = pulled("other weights")
    const { code, said } = run("model", "check", "o.model", `ollama:${store}/tiny`)
    expect(code).toBe(3)
    expect(said).toContain(`assay: upstream's latest moved: was ${was}, is ${is}; what is pinned stays\n`)
  })
})
