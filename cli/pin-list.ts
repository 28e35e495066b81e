/** What is in force, what was, and how does one go back? What a note says: `pin.ts`. */
import { z } from "zod"
import { inForce } from "../attestation/pins/force.ts"
import { lineageOf, type PinEntry } from "../attestation/pins/lineage.ts"
import { textDigest } from "../attestation/pins/note.ts"
import { readRollback, writeRollback } from "../attestation/pins/rollback.ts"
import { writeMoment } from "../attestation/pins/statement.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, moment, text } from "./given.ts"
import { approvedAt, openKey, readKey, writeSigned } from "./governance.ts"
import { askOffice } from "./office.ts"
import { type Output, plain, remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const pinList = command({
  name: "pin list",
  says: "list what was approved, by whom, and what is in force",
  teaches: "Every pin and rollback that was published, accepted anew here from the policy root, newest first.",
  takes: [],
  options: [configOf("collector"), asJson],
  examples: ["assay pin list"],
  exits: ["good", "failed", "misuse", "unauthentic", "missing", "configuration"],
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const { governance } = await askOffice(config, approvedAt)
    const now = terminal.now()
    const forces = inForce(governance, now)
    const entries = [...governance.lineages.values()].flat().toReversed()
    const stateOf = (entry: PinEntry): string => {
      const force = forces.find(({ current, previous }) => current === entry || previous === entry)
      if (force?.current === entry) return force.expired ? "expired" : "in force"
      if (force?.previous === entry) return "admitted"
      return entry.terms.effective > now ? "ahead" : "replaced"
    }
    if (json) writeJsonLine(terminal, { pins: entries.map(entry => forScripts(entry, stateOf(entry))) })
    else if (entries.length === 0) remark(terminal, "no pin was published yet: assay pin propose")
    else for (const entry of entries) writeEntry(terminal.out, entry, stateOf(entry))
    return "good"
  },
})

const forScripts = ({ kind, note, pin, terms, proposer, approvals }: PinEntry, state: string): object => ({
  ...{ state, kind, origin: terms.origin, version: pin.version, note, change: terms.change },
  ...{ effective: writeMoment(terms.effective), expires: writeMoment(terms.expires), proposed: proposer.name },
  approved: approvals.map(({ name, key }) => ({ name, key })),
})

function writeEntry(out: Output, { kind, note, pin, terms, proposer, approvals }: PinEntry, state: string): void {
  const what = kind === "rollback" ? `back to version ${pin.version}` : `version ${pin.version}`
  row(out, state, out.style(state === "in force" ? "good" : "faint", `${terms.origin}, ${what}`))
  row(
    out,
    "",
    `${terms.change}; proposed by ${proposer.name}, approved by ${approvals.map(({ name }) => name).join(", ")}`,
  )
  row(out, "", `${writeMoment(terms.effective)} to ${writeMoment(terms.expires)}, sha256:${plain(note)}`)
}

const rollbackGiven = z.object({
  origin: text.optional(),
  key: text,
  change: z.string().regex(/^[!-~]([ -~]{0,298}[!-~])?$/, "not plain words"),
  effective: moment.optional(),
  expires: moment,
  admitPreviousUntil: moment.optional(),
  out: text,
  config: text.optional(),
})

export const pinRollback = command({
  name: "pin rollback",
  says: "propose to go back to the version that the pin in force names",
  teaches:
    "Writes a rollback, signed by you, that puts the named older version in force again with dates of its own. It needs " +
    "approval like any change: then assay pin approve and assay pin publish.",
  takes: [],
  options: [
    ["--key <file>", "your key file"],
    ["--change <text>", "the change that this belongs to"],
    ["--expires <time>", "when the older version ends"],
    ["--effective <time>", "when it begins (default: now)"],
    ["--admit-previous-until <time>", "admit what is in force now as well, until then"],
    ["--origin <origin>", "which pins (default: the only ones there are)"],
    ["--out <file>", "where to write the proposal"],
    configOf("collector"),
  ],
  examples: ["assay pin rollback --key mei.key --change CHG-20421 --expires 2027-06-01T00:00:00Z --out back.pin"],
  exits: ["good", "failed", "misuse", "unauthentic", "missing", "configuration"],
  reads: rollbackGiven,
  run: async ({ origin, key, change, effective, expires, admitPreviousUntil, out, config }, terminal) => {
    const file = await readKey(key)
    const { governance, policy } = await askOffice(config, approvedAt)
    const last = lineageOf(governance, origin ?? [...governance.lineages.keys()][0] ?? "").at(-1)
    const to = last?.pin.rollback
    if (!last || !to)
      throw new Problem(
        "failed",
        "what is in force names no rollback target",
        "propose a new version: assay pin propose",
      )
    const seconds = (time: number): number => Math.floor(time / 1000) * 1000
    const text = writeRollback({
      ...{ origin: last.terms.origin, policy: policy.digest, previous: last.note, change, proposed: file.person },
      admitsPreviousUntil: admitPreviousUntil === undefined ? null : seconds(admitPreviousUntil),
      effective: seconds(effective ?? terminal.now()),
      expires: seconds(expires),
      from: { version: last.pin.version, digest: last.digest },
      to,
    })
    readRollback(text)
    row(terminal.out, "rollback", `${last.terms.origin}, from version ${last.pin.version} to ${to.version}`)
    await writeSigned(out, text, await openKey(file), [])
    row(terminal.out, "written", `${out}, sha256:${textDigest(text)}`)
    remark(terminal, `a proposal, approved by nobody: assay pin approve ${out} --key THEIR.key`)
    return "good"
  },
})
