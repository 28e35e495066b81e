/** Does each rule of layers.ts fire? A guard that lets everything through looks like one that found nothing. */
import { relative } from "node:path/posix"
import { describe, expect, it } from "vitest"
import { check, layers, type Rule, type SourceFile } from "./layers.ts"

const at = (path: string, source: string): SourceFile => ({ path, source })
const fired = (...files: readonly SourceFile[]): Rule[] => [...new Set(check(files).map(each => each.rule))]

/** A module that imports `from` in every way that the language has. */
const ways = (from: string): string[] => [
  `import { a } from "${from}"`,
  `import "${from}"`,
  `import type { A } from "${from}"`,
  `import * as all from '${from}'`,
  `import { a, type B,\n  c }\n  from "${from}"`,
  `export { a } from "${from}"`,
  `export * from "${from}"`,
  `export type { A } from "${from}"`,
  `export const a = await import("${from}")`,
  `export const a = await import(\`${from}\`)`,
  `export type A = import("${from}").A`,
  `import a = require("${from}")`,
  `const a = require("${from}")`,
]

describe("layer", () => {
  it.each(ways("../verify/verify.ts"))("fires on an import that points up: %s", source => {
    expect(fired(at("attestation/tcg/quote.ts", source))).toContain("layer")
  })

  it.each([
    ["attestation/wire/codec.ts", "node:fs"],
    ["attestation/wire/codec.ts", "ws"],
    ["attestation/verify/verify.ts", "../appraise/appraise.ts"],
    ["attestation/pins/pins.ts", "../../local/call.ts"],
    ["agent/main.ts", "../collector/store.ts"],
    ["agent/main.ts", "../node-tpm2/index.ts"],
    ["agent/main.ts", "node-tpm2"],
    ["agent/main.ts", "./broker/tpm.ts"],
    ["agent/host.ts", "systeminformation"],
    ["collector/main.ts", "../agent/config.ts"],
    ["collector/main.ts", "node-tpm2"],
    ["local/call.ts", "../attestation/tcg/pcr.ts"],
    ["node-tpm2/index.ts", "../attestation/wire/codec.ts"],
    ["wasm/core.ts", "koffi"],
    ["cli/main.ts", "vitest"],
  ])("fires on %s importing %s", (path, from) => {
    expect(fired(at(path, `import { a } from "${from}"`))).toEqual(["layer"])
  })

  it("fires on a folder that is no room", () => {
    expect(fired(at("server/main.ts", 'import "node:fs"'))).toEqual(["layer"])
  })

  it("says which line grows", () => {
    const [found] = check([at("collector/main.ts", 'import { wasm } from "../wasm/core.ts"')])
    expect(found?.message).toContain('"collector": [… "wasm"]')
  })

  it("lets each room import what its row lists", () => {
    const row = ([room, below]: [string, readonly string[]]): SourceFile[] =>
      below
        .filter(entry => entry !== "node:crypto")
        .map(entry => (entry.endsWith(":") ? `${entry}fs` : entry))
        .map(entry => at(`${room}/a.ts`, `import "${entry in layers ? relative(room, `${entry}/b.ts`) : entry}"`))
    expect(check(Object.entries(layers).flatMap(row)).map(each => each.message)).toEqual([])
  })
})

describe("pure", () => {
  it.each([
    "export const now = Date.now()",
    "export const now = new Date()",
    "export const now = Date()",
    "export const lot = Math.random()",
    "export const { env } = process",
    "export const mode = process.env.MODE",
    'console.log("here")',
    "setTimeout(() => undefined, 1)",
    "export const timer = { setInterval }",
    'export const page = fetch("https://example.org")',
    "export const lot = crypto.getRandomValues(new Uint8Array(8))",
    "export const now = performance.now()",
    'export const all = globalThis["process"]',
    "export const dirt = Buffer.allocUnsafe(8)",
    'export const order = "a".localeCompare("b")',
    "export const here = import.meta.url",
    "export const other = (name: string) => import(name)",
    "export default async () => { class A { static now = Date.now }; return A }",
  ])("fires on %s", source => {
    expect(fired(at("attestation/verify/verify.ts", source))).toContain("pure")
  })

  it.each([
    "// Date.now() and process.env are arguments here",
    'export const words = "console.log(process.env)"',
    "export const at = (now: Date) => new Date(now.getTime() + 1).toISOString()",
    "export type Host = { readonly process: string; console: number }",
    "export const host = { process: 1 }; export const same = host.process",
    "export const max = Math.max(1, 2)",
  ])("lets pass %s", source => {
    expect(check([at("attestation/verify/verify.ts", source)])).toEqual([])
  })

  it("leaves the other rooms their clock", () => {
    expect(check([at("agent/main.ts", "export const now = Date.now()")])).toEqual([])
  })
})

describe("crypto", () => {
  it.each([
    'import { randomBytes } from "node:crypto"',
    'import { createHash, randomUUID } from "node:crypto"',
    'import { randomBytes as createHash } from "node:crypto"',
    'import * as all from "node:crypto"',
    'import all from "node:crypto"',
    'export { generateKeyPairSync } from "node:crypto"',
    'export * from "node:crypto"',
    'import { sign } from "node:crypto"',
    'export const { randomBytes } = await import("node:crypto")',
  ])("fires on %s", source => {
    expect(fired(at("attestation/tcg/pcr.ts", source))).toContain("crypto")
  })

  it("lets pass what computes", () => {
    const source = 'import { createHash, type KeyObject, timingSafeEqual, verify } from "node:crypto"'
    expect(check([at("attestation/tcg/pcr.ts", source)])).toEqual([])
  })
})

describe("double", () => {
  it.each(["../test/swtpm.ts", "../scripts/start.ts", "../agent/../test/swtpm.ts"])("fires on %s", from => {
    expect(fired(at("cli/main.ts", `import { a } from "${from}"`))).toEqual(["double"])
  })

  it.each(["test/a.test.ts", "scripts/start.ts"])("lets %s import what it needs", path => {
    expect(check([at(path, 'import { startSwtpm } from "../test/swtpm.ts"\nimport "../cli/main.ts"')])).toEqual([])
  })
})

describe("sources", () => {
  const index = at("agent/sources/index.ts", 'import { kernel } from "./kernel.ts"\nexport const sources = [kernel]')
  const kernel = at("agent/sources/kernel.ts", "export const kernel = 1")

  it("fires on a source that is not in the list, and says the line", () => {
    const found = check([index, kernel, at("agent/sources/gpu-driver.ts", "export const gpuDriver = 1")])
    expect(found.map(each => each.rule)).toEqual(["sources"])
    expect(found[0]?.message).toContain('import { gpuDriver } from "./gpu-driver.ts"')
  })

  it("fires when it is only spoken of", () => {
    const spoken = at("agent/sources/index.ts", '// import { kernel } from "./kernel.ts"\nexport const sources = []')
    expect(fired(spoken, kernel)).toEqual(["sources"])
  })

  it("lets a listed one pass", () => {
    expect(check([index, kernel, at("agent/sources/source.ts", "export type Source = string")])).toEqual([])
  })
})

describe("entry", () => {
  it("fires on a worker that is named by URL, and says the row", () => {
    const [found] = check([at("agent/hash/hasher.ts", 'new Worker(new URL("./worker.ts", import.meta.url))')])
    expect(found?.rule).toBe("entry")
    expect(found?.message).toContain('"agent/hash/worker.ts"')
  })

  it("lets data be named by URL", () => {
    expect(check([at("wasm/core.ts", 'export const url = new URL("./build/release.wasm", import.meta.url)')])).toEqual(
      [],
    )
  })
})

describe("length", () => {
  const lines = (count: number): string => "export {}\n".repeat(count)

  it("fires on 301 lines and lets 300 pass", () => {
    expect(fired(at("agent/main.ts", lines(301)))).toEqual(["length"])
    expect(check([at("agent/main.ts", lines(300))])).toEqual([])
  })

  it("lets a written file be long, when its first lines say so", () => {
    expect(check([at("wasm/rounds.ts", `// Written by wasm/generate.ts.\n${lines(400)}`)])).toEqual([])
    expect(fired(at("wasm/rounds.ts", `${lines(400)}// written by wasm/generate.ts\n`))).toEqual(["length"])
  })
})

describe("name", () => {
  it.each([
    "agent/utils.ts",
    "agent/util/hash.ts",
    "cli/helpers.ts",
    "local/common.ts",
    "agent/manager.ts",
    "cli/types.ts",
  ])("fires on %s", path => {
    expect(fired(at(path, "export {}"))).toEqual(["name"])
  })
})
