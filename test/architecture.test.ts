/** Does the tree keep to its layers, its purity and its names? The rules stand in layers.ts. */
import { readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { expect, it } from "vitest"
import { check, layers, type Rule, type SourceFile } from "./layers.ts"

const root = resolve(import.meta.dirname, "..")

/** Not ours, not source, or (wasm/assembly) another language than the one that is checked here. */
const outside = /^(?:node_modules|dist|\.[^/]*|docs|systemd)\/|^wasm\/(?:assembly|build)\/|\/node_modules\//

const tree: readonly SourceFile[] = readdirSync(root, { withFileTypes: true })
  .filter(entry => entry.isDirectory() && !outside.test(`${entry.name}/`))
  .flatMap(entry =>
    readdirSync(join(root, entry.name), { recursive: true, encoding: "utf8" }).map(name => `${entry.name}/${name}`),
  )
  .filter(path => /\.m?[tj]s$/.test(path) && !outside.test(path))
  .toSorted()
  .map(path => ({ path, source: readFileSync(join(root, path), "utf8") }))

const violations = check(tree)
const told = (rule: Rule): string[] => violations.filter(each => each.rule === rule).map(each => each.message)

it("sees every room of the table", () => {
  const empty = Object.keys(layers).filter(room => !tree.some(({ path }) => path.startsWith(`${room}/`)))
  expect(empty, "rows of test/layers.ts without a file").toEqual([])
})

it.each<[Rule, string]>([
  ["layer", "imports point down only"],
  ["pure", "attestation/ has no clock, chance, environment or world"],
  ["crypto", "attestation/ takes from node:crypto only what computes"],
  ["sources", "every measurement source is in the list"],
  ["entry", "every entry point is in the table"],
  ["double", "the product reaches nothing of its tests"],
  ["length", "files fit one sitting"],
  ["name", "files are named after nouns of the domain"],
])("%s: %s", rule => {
  expect(told(rule)).toEqual([])
})
