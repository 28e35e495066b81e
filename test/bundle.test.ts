/** Does the bundle run where there is no node_modules and no type stripping, and is it the same bytes each time? */
import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { entryPoint, entryPointFrom, type EntryPoint, entryPoints } from "../local/entry.ts"
import { build, type Built } from "../scripts/build.ts"
import { parseSource } from "./source.ts"

const root = join(import.meta.dirname, "..")
const names = Object.keys(entryPoints).filter((name): name is EntryPoint => name in entryPoints)

let directory: string
let built: Built
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), "assay-bundle-"))
  built = await build(join(directory, "one"))
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Runs Node in the bundle's folder as the bundle is meant to be run: JavaScript only. */
const node = (...args: string[]) =>
  spawnSync(process.execPath, ["--no-experimental-strip-types", ...args], { cwd: built.out, encoding: "utf8" })

describe("bundle", () => {
  it("says its version", () => {
    const { version }: { version: string } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
    const { stdout, stderr, status } = node("cli/assay.js", "--version")
    expect({ stdout: stdout.trim(), stderr, status }).toEqual({ stdout: `assay ${version}`, stderr: "", status: 0 })
  })

  it("hashes a file in its worker, as sha256sum and fsverity do", () => {
    const file = join(directory, "weights")
    writeFileSync(file, Buffer.alloc(300_001, "assay"))
    const { stdout, stderr } = node("cli/assay.js", "hash", file, "--full", "--json")
    expect(stderr).toBe("")
    const { files }: { files: { sha256: string; verity: string }[] } = JSON.parse(stdout)
    const sha256 = execFileSync("sha256sum", [file], { encoding: "utf8" }).slice(0, 64)
    const verity = execFileSync("fsverity", ["digest", "--compact", file], { encoding: "utf8" }).trim()
    expect(files).toMatchObject([{ sha256, verity }])
  })

  it("starts the broker, native code and all, as far as its arguments", () => {
    const { stderr, status } = node(bundled("broker"))
    expect(stderr).toMatch(/^assay: /)
    expect(status).toBe(64)
  })

  it.each(names)("holds the entry point %s", name => {
    expect(existsSync(entryPoint(name)), `${entryPoint(name)} in the tree`).toBe(true)
    expect(existsSync(bundled(name)), `${bundled(name)} in the bundle`).toBe(true)
  })

  it("imports nothing but itself and Node", () => {
    const scripts = built.files.filter(file => file.endsWith(".js"))
    expect(scripts.length).toBeGreaterThan(names.length)
    const imports = scripts.flatMap(file => parseSource(file, readFileSync(join(built.out, file), "utf8")).imports)
    expect(imports.map(({ from }) => from).filter(from => !/^(?:node:|\.)/.test(from))).toEqual([])
    expect(built.files.filter(file => /\.m?ts$|node_modules/.test(file))).toEqual([])
  })

  it("is the same bytes each time, and names no place of this machine", async () => {
    const again = await build(join(directory, "two"))
    const digests = ({ out, files }: Built): string[] =>
      files.map(
        file =>
          `${createHash("sha256")
            .update(readFileSync(join(out, file)))
            .digest("hex")} ${file}`,
      )
    expect(digests(again)).toEqual(digests(built))
    expect(built.files.filter(file => readFileSync(join(built.out, file)).includes(`${root}/`))).toEqual([])
  })

  it("refuses a folder that holds something", async () => {
    await expect(build(built.out)).rejects.toThrow("is not empty")
  })
})

const bundled = (name: EntryPoint): string =>
  entryPointFrom(pathToFileURL(join(built.out, "local/entry.js")).href, name)
