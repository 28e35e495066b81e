/**
 * Which blocks do the pages about an installation hold, and who runs each? A fence says it: a block marked `installed` is run in the
 * machine by cases/documents.ts, one marked `run` by test/readme.test.ts, one marked `checkout` is what .ci/run does.
 */
import { readFileSync } from "node:fs"
import { join } from "node:path"

const docs = join(import.meta.dirname, "../../docs")

/** In the order in which a reader meets them. */
export const pages = ["install.md", "operating.md", "upgrading.md", "uninstalling.md"] as const
export type Page = (typeof pages)[number]

/** Who runs a block of shell. */
export const runners = ["installed", "run", "checkout"] as const
export type Runner = (typeof runners)[number]

/** `line` is that of the fence; `runner` is "nobody" where the fence names none that there is. */
export type Block = {
  readonly page: Page
  readonly line: number
  readonly runner: Runner | "nobody"
  readonly text: string
}

/** Every block of shell on the page, in order. */
export function blocksOf(page: Page): Block[] {
  const text = readFileSync(join(docs, page), "utf8")
  return [...text.matchAll(/^```(?:sh|bash|shell|console)\b *(.*)\n([^]*?)^```$/gm)].map(
    ({ index, 1: mark, 2: block }) => ({
      page,
      line: text.slice(0, index).split("\n").length,
      runner: runners.find(each => each === mark) ?? "nobody",
      text: block ?? "",
    }),
  )
}

/** Every block of every page. */
export const blocks = (): Block[] => pages.flatMap(blocksOf)
