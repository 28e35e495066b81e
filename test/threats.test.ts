/** Is docs/the-threats.md true? Every test that it names exists, under the title or number that it says; no point is left out. */
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import { describe, expect, test } from "vitest"

const root = resolve(import.meta.dirname, "..")
const page = readFileSync(join(root, "docs/the-threats.md"), "utf8")

type Row = { readonly attack: string; readonly tests: string; readonly left: string; readonly cells: number }
const rows: readonly Row[] = page
  .split("\n")
  .filter(each => each.startsWith("| ") && !/^\| (attack|---) /.test(each))
  .map(each => {
    const cells = each.slice(2, -2).split(" | ")
    return { attack: cells[0] ?? "", tests: cells[2] ?? "", left: cells[3] ?? "", cells: cells.length }
  })

/** What a test or a group of them is called, wherever in `source` one stands. */
const titles = (source: string): string[] =>
  [...source.matchAll(/(?:\b(?:test|it|describe)(?:\.\w+)?|\))\(\s*(["'`])((?:\\.|(?!\1).)*)\1,\s/g)].map(
    match => match[2] ?? "",
  )

/** What a row promises: files, and after each the titles and numbers that are in it. */
const promises = ({ tests }: Row) =>
  tests
    .split(/(?=`test\/)/)
    .filter(part => part.startsWith("`test/"))
    .map(part => ({
      file: /^`([^`]+)`/.exec(part)?.[1] ?? "",
      titles: [...part.matchAll(/"([^"]+)"/g)].map(match => match[1] ?? ""),
      numbers: [...part.replaceAll(/"[^"]*"/g, "").matchAll(/\b[CM]\d+\b/g)].map(match => match[0]),
    }))

describe("the threats", () => {
  test.each(rows)("$attack", row => {
    expect(row.cells).toBe(4)
    expect(row.left).not.toBe("")
    const named = promises(row)
    expect(named.length > 0 || row.tests === "none").toBe(true)
    const known = named.map(({ file }) =>
      existsSync(join(root, file)) ? readFileSync(join(root, file), "utf8") : file,
    )
    for (const [i, { file, titles: wanted, numbers }] of named.entries()) {
      expect(existsSync(join(root, file)), file).toBe(true)
      const own = titles(known[i] ?? "")
      for (const title of wanted) expect(own, file).toContain(title)
      // a number may stand after several files, of which one has it in a title
      const all = known.flatMap(titles)
      for (const number of numbers)
        expect(
          all.some(title => new RegExp(`\\b${number}\\b`).test(title)),
          `${number} in ${file}`,
        ).toBe(true)
    }
  })

  test("there are many", () => expect(rows.length).toBeGreaterThan(40))

  test("no point from C1 to C40, and no rule from M1 to M17, is in neither a title nor what is left", () => {
    const tests = readdirSync(join(root, "test")).filter(name => name.endsWith(".test.ts"))
    const everything = [page, ...tests.flatMap(name => titles(readFileSync(join(root, "test", name), "utf8")))].join(
      "\n",
    )
    const numbers = [
      ...Array.from({ length: 40 }, (_, i) => `C${i + 1}`),
      ...Array.from({ length: 17 }, (_, i) => `M${i + 1}`),
    ]
    const spans = [...page.matchAll(/\bM(\d+) to M(\d+)\b/g)].flatMap(([, from, to]) =>
      Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => `M${Number(from) + i}`),
    )
    const missing = numbers.filter(each => !spans.includes(each) && !new RegExp(`\\b${each}\\b`).test(everything))
    expect(missing).toEqual([])
  })
})
