/**
 * Is what cannot be read told as unreadable with what helps, and never as absent, by any source? Each file and folder of a whole
 * machine is closed to a user without rights, one after the other.
 */
import { execFile } from "node:child_process"
import { chmodSync, cpSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { z } from "zod"
import { sources } from "../agent/sources/index.ts"
import { on } from "./hosts.ts"

const schema = z.array(z.strictObject({ path: z.string(), lost: z.array(z.string()), found: z.array(z.string()) }))
const root = mkdtempSync(join(tmpdir(), "assay-closed-"))
const machine = join(root, "machine")
let results: z.infer<typeof schema> = []

/** Only root may become another user. */
const isRoot = process.getuid?.() === 0
beforeAll(async () => {
  if (!isRoot) return
  chmodSync(root, 0o755)
  cpSync(on("workstation-nvidia"), machine, { recursive: true, verbatimSymlinks: true })
  const program = join(import.meta.dirname, "closed-machine.ts")
  const { stdout } = await promisify(execFile)(process.execPath, [program, machine], { maxBuffer: 1 << 26 })
  results = schema.parse(JSON.parse(stdout))
}, 240_000)
afterAll(() => rmSync(root, { recursive: true, force: true }))

/** Who sees a process's executable sees its command line: the kernel asks for no more. */
const open = /^proc\/\d+\/cmdline$/
const nameOf = (fact: string): string => fact.split("\t")[1] ?? ""
const isHidden = (fact: string): boolean => nameOf(fact) === "unreadable" || /[\t ][\w-]+:unreadable/.test(fact)

describe.runIf(isRoot)("a file or folder that is closed", () => {
  it("takes no fact away without a word that something could not be read", () => {
    const changed = results.filter(({ path, lost, found }) => !open.test(path) && lost.length + found.length > 0)
    expect(changed.length).toBeGreaterThan(120)
    expect(changed.filter(({ found }) => !found.some(isHidden)).map(({ path }) => path)).toEqual([])
  })

  it("makes nothing absent, and nothing a contradiction", () => {
    const wrong = results.flatMap(({ path, found }) =>
      found.filter(each => /^(?:absent|contradiction)$/.test(nameOf(each))).map(each => `${path}: ${each}`),
    )
    expect(wrong).toEqual([])
  })

  it("is told with what would help", () => {
    const refused = results.flatMap(({ found }) => found.filter(each => /EACCES/.test(each)))
    expect(refused.length).toBeGreaterThan(100)
    expect(refused.filter(each => !/let the agent's user read it|assay-reader|run the agent as/.test(each))).toEqual([])
  })

  it("is looked for by every source", () => {
    const speaking = new Set(results.flatMap(({ found }) => found.filter(isHidden).map(each => each.split(" ")[0])))
    expect(sources.filter(({ name }) => name !== "agent" && !speaking.has(name))).toEqual([])
  })
})
