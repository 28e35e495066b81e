/** What is a machine compared with? What somebody saw it run, recorded under their name: a proposal, approved by nobody yet. */
import { z } from "zod"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice, whichAttester, whole } from "./office.ts"
import { remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const referenceRecord = command({
  name: "reference record",
  says: "record what a machine shows now as what it is compared with",
  teaches:
    "Takes what the newest answer in time shows, and keeps it under your name as the reference: what the agent measured, and what " +
    "the logs of firmware, boot loader and kernel prove. It is a proposal: a match with it reads: as recorded. Look at the machine " +
    "before, and at the reference after. What you let it ignore stands in it: a part of the boot by name (settings), files by the " +
    "beginning of their path.",
  takes: [["[attester]", "by name or label; may be left out where there is only one"]],
  options: [
    ["--by <person>", "who looked at the machine"],
    ["--ignore <list>", "what is not compared: parts of the boot, and how paths of files begin, with commas between"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay reference record --by 'Ada Lovelace' --ignore settings,/var/ workstation-7"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({
    attester: text.optional(),
    by: text,
    ignore: text.transform(list => list.split(",").filter(each => each !== "")).default([]),
    config: text.optional(),
    json: flag,
  }),
  run: async ({ attester, by, ignore, config, json }, terminal) => {
    const recorded = await askOffice(config, async office =>
      office.call("reference-record", { attester: await whichAttester(office, attester), by, ignore }),
    )
    if (json) writeJsonLine(terminal, recorded)
    else {
      row(terminal.out, "attester", recorded.attester)
      row(terminal.out, "reference", recorded.reference)
      row(terminal.out, "evidence", recorded.evidence)
      row(terminal.out, "recorded", `${recorded.measurements} measurements, by ${by}`)
      row(terminal.out, "boot", recorded.boot === 0 ? "no log" : `${recorded.boot} parts, as the logs prove them`)
      row(terminal.out, "files", recorded.files === 0 ? "no log" : `${recorded.files}, as the kernel measured them`)
      if (ignore.length > 0) row(terminal.out, "ignored", ignore.join(", "))
      remark(terminal, "it is a proposal: nobody has approved it")
    }
    return "good"
  },
})

export const referenceShow = command({
  name: "reference show",
  says: "print the reference that a machine is compared with",
  teaches: "Prints the reference as it is kept, for assay verify --reference.",
  takes: [["[attester]", "by name or label; may be left out where there is only one"]],
  options: [configOf("collector")],
  examples: ["assay reference show workstation-7 > reference.json"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({ attester: text.optional(), config: text.optional() }),
  run: async ({ attester, config }, terminal) => {
    const bytes = await askOffice(config, async office => {
      const named = await whichAttester(office, attester)
      return whole(offset => office.call("reference-show", { attester: named, offset }))
    })
    terminal.out.write(Buffer.from(bytes).toString("utf8"))
    return "good"
  },
})
