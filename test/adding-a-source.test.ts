/** Does docs/adding-a-source.md tell the truth? Its diff is applied to a copy of this tree, which is then compiled and run. */
import { execFileSync, spawnSync } from "node:child_process"
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, expect, it } from "vitest"
import { layers } from "./layers.ts"
import type { Measurement } from "../attestation/protocol/event.ts"

const root = join(import.meta.dirname, "..")
const page = readFileSync(join(root, "docs/adding-a-source.md"), "utf8")
const diff = /```diff\n([\s\S]*?)```/.exec(page)?.[1] ?? ""
const copy = mkdtempSync(join(tmpdir(), "assay-adding-"))
afterAll(() => rmSync(copy, { recursive: true, force: true }))

beforeAll(() => {
  const rooms = new Set(Object.keys(layers).map(room => room.split("/")[0] ?? ""))
  for (const part of [...rooms, "package.json", "tsconfig.json", "test/hosts/bare"])
    cpSync(join(root, part), join(copy, part), { recursive: true, verbatimSymlinks: true })
  symlinkSync(join(root, "node_modules"), join(copy, "node_modules"))
  writeFileSync(join(copy, "the.diff"), diff)
  const options = { cwd: copy, env: { ...process.env, GIT_CEILING_DIRECTORIES: tmpdir() } }
  execFileSync("git", ["apply", "--whitespace=error", "the.diff"], options)
})

/** What the new source says in the copy of the machine in this host tree. */
function measuredOn(host: string): readonly Measurement[] {
  const script = `
    import { Host } from "./agent/host.ts"
    import { sources } from "./agent/sources/index.ts"
    const source = sources.at(-1)
    console.log(JSON.stringify(await source.measure({ host: new Host(${JSON.stringify(join(copy, "test/hosts", host))}) })))`
  const file = join(copy, `${host}.mjs`)
  writeFileSync(file, script)
  return JSON.parse(execFileSync(process.execPath, [file], { cwd: copy, encoding: "utf8" })) as Measurement[]
}

it("touches one new file, one line with its import, and one host tree", () => {
  const touched = [...diff.matchAll(/^\+\+\+ b\/(.*)$/gm)].map(([, path]) => path)
  expect(touched.filter(path => !path?.startsWith("test/hosts/"))).toEqual([
    "agent/sources/index.ts",
    "agent/sources/iommu.ts",
  ])
  const index = diff.slice(0, diff.indexOf("+++ b/agent/sources/iommu.ts"))
  expect(index.match(/^\+(?!\+)/gm)).toHaveLength(2)
})

it("compiles", () => {
  const settings = {
    extends: "./tsconfig.json",
    compilerOptions: { types: ["node"] },
    include: ["agent/sources/iommu.ts", "agent/sources/index.ts"],
  }
  writeFileSync(join(copy, "tsconfig.only.json"), JSON.stringify(settings))
  const tsc = join(root, "node_modules/.bin/tsc")
  const { stdout } = spawnSync(tsc, ["--noEmit", "-p", "tsconfig.only.json"], { cwd: copy, encoding: "utf8" })
  expect(stdout).toBe("")
})

it("measures the machine that has it, and says of another that it is absent", () => {
  expect(measuredOn("iommu")).toMatchObject([{ source: "iommu", state: "present", facts: [["unit", "dmar0"]] }])
  expect(measuredOn("bare")).toMatchObject([
    { source: "iommu", state: "absent", facts: [["absent", "/sys/class/iommu"]] },
  ])
})
