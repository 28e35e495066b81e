/**
 * Are the pages about an installation such that they can be run? Their blocks marked `installed` are run as root in a machine; here
 * they are read by bash, and every command and option in them is one that there is.
 */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { commands } from "../cli/commands.ts"
import { blocks, pages } from "../scripts/vm/pages.ts"

const docs = join(import.meta.dirname, "../docs")
const text = (page: string): string => readFileSync(join(docs, page), "utf8")
const blocksOf = (page: string): string[] => blocks().flatMap(each => (each.page === page ? [each.text] : []))

describe("each block of shell", () => {
  it("is run by somebody, who is named at its fence", () => {
    const orphans = blocks().filter(({ runner }) => runner === "nobody")
    expect(orphans.map(({ page, line }) => `docs/${page}:${line}`)).toEqual([])
    expect(blocks().filter(({ runner }) => runner === "installed").length).toBeGreaterThan(10)
  })

  it("that is for a checkout is what .ci/run does", () => {
    const ci = readFileSync(join(docs, "../.ci/run"), "utf8")
    const lines = blocks().flatMap(({ runner, text: said }) => (runner === "checkout" ? said.trim().split("\n") : []))
    for (const line of lines) expect(ci).toMatch(new RegExp(`\\b${line.replace(/ .*/, "")}\\b`))
    expect(lines.length).toBeGreaterThan(0)
  })

  it("that is marked to be run by the README's test is in a page that it runs", () => {
    const run = blocks().filter(({ runner }) => runner === "run")
    expect(new Set(run.map(({ page }) => page))).toEqual(new Set(["operating.md"]))
  })
})

describe.each(pages)("%s", page => {
  it("has blocks that bash understands", () => {
    expect(blocksOf(page).length).toBeGreaterThan(1)
    for (const block of blocksOf(page)) execFileSync("bash", ["-n"], { input: block })
  })

  it("names commands and options that there are", () => {
    for (const line of blocksOf(page).flatMap(block => block.split("\n"))) {
      for (const [said] of line.matchAll(/(?<![\w/.-])assay (?!\d)[a-z-][^|;&<>#]*/g)) {
        if (said.startsWith("assay --")) continue
        const words = said.split(/\s+/)
        const row = commands.find(({ name }) =>
          [words.slice(1, 2), words.slice(1, 3)].some(each => each.join(" ") === name),
        )
        expect(row?.name, said).toBeDefined()
        const known = row?.options.map(([flags]) => flags.split(/[ ,]/).find(each => each.startsWith("--"))) ?? []
        const own = words.slice(0, words.indexOf("--") >>> 0) // what follows is another program's
        for (const option of own.filter(each => each.startsWith("--"))) expect(known, said).toContain(option)
      }
    }
  })

  it("links to what is there", () => {
    for (const [, path = ""] of text(page).matchAll(/\]\(([^)#:]+)\)/g))
      expect(existsSync(join(docs, path)), path).toBe(true)
  })
})
