/**
 * Are the pages about an installation such that they can be run? Their blocks marked `sh installed` are run as root in a machine; here
 * they are read by bash, and every command and option in them is one that there is.
 */
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { commands } from "../cli/commands.ts"

const docs = join(import.meta.dirname, "../docs")
const pages = ["install.md", "upgrading.md", "uninstalling.md"]
const text = (page: string): string => readFileSync(join(docs, page), "utf8")
const blocksOf = (page: string): string[] =>
  [...text(page).matchAll(/^```sh(?: installed)?\n([^]*?)^```$/gm)].map(([, block]) => block ?? "")

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
        for (const option of words.filter(each => each.startsWith("--"))) expect(known, said).toContain(option)
      }
    }
  })

  it("links to what is there", () => {
    for (const [, path = ""] of text(page).matchAll(/\]\(([^)#:]+)\)/g))
      expect(existsSync(join(docs, path)), path).toBe(true)
  })
})
