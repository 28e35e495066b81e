/** How do notes travel to a verifier elsewhere? As a folder of files, in the order of their acceptance, each in its own bytes. */
import { mkdir, readdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import type { Approvals } from "../attestation/appraise/appraise.ts"
import { materialOf } from "../attestation/pins/force.ts"
import type { Reference } from "../attestation/pins/reference.ts"
import { readBounded } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { governanceOf, publishedNotes } from "./governance.ts"
import { askOffice } from "./office.ts"
import { remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const policyExport = command({
  name: "policy export",
  says: "write every published note into a folder, for a verifier elsewhere",
  teaches:
    "Policies, pins, rollbacks and certifications, each in its own bytes, in the order of their acceptance. With them and the " +
    "policy root, which they were told out of band, anybody judges evidence by what is approved: assay verify --policy-root.",
  takes: [["<folder>", "where to write them; it must not hold any"]],
  options: [configOf("collector"), asJson],
  examples: ["assay policy export notes"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ folder: text, config: text.optional(), json: flag }),
  run: async ({ folder, config, json }, terminal) => {
    const { root, notes } = await askOffice(config, publishedNotes)
    await mkdir(folder, { recursive: true })
    if ((await noteFilesIn(folder)).length > 0)
      throw new Problem("failed", `${folder} holds notes already`, "name another folder")
    for (const [i, bytes] of notes.entries())
      await writeFile(join(folder, `${String(i + 1).padStart(6, "0")}.note`), bytes)
    if (json) writeJsonLine(terminal, { root, notes: notes.length })
    else {
      row(terminal.out, "notes", `${notes.length}, in ${folder}`)
      row(terminal.out, "policy root", root === null ? "this collector pins none" : `sha256:${root}`)
      remark(terminal, "tell a verifier the policy root another way than with these files")
    }
    return "good"
  },
})

const noteFilesIn = async (folder: string): Promise<string[]> =>
  (await readdir(folder)).filter(name => /^\d{6}\.note$/.test(name)).toSorted()

/** What the notes in `folder` approve at `now`, from the policy root `root`. Throws {@link Problem}. */
export async function approvalsIn(
  folder: string,
  root: string,
  reference: Reference | "none recorded",
  now: number,
): Promise<Approvals> {
  const names = await noteFilesIn(folder).catch(() => [])
  if (names.length === 0) throw new Problem("misuse", `${folder} holds no notes`, "assay policy export writes them")
  const notes = await Promise.all(names.map(name => readBounded(join(folder, name), 1 << 20)))
  const governance = governanceOf(root, notes)
  const material = materialOf(
    reference === "none recorded" ? [] : [reference],
    [...governance.lineages.values()].flat(),
  )
  return { governance, material, now }
}
