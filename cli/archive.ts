/** What did the collector keep of a machine, so that somebody else can judge it? Evidence as it came, with its log, in files. */
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { fromBase64 } from "../attestation/wire/text.ts"
import { writeBundle } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { flag, text } from "./given.ts"
import { askOffice, whichAttester, whole } from "./office.ts"
import { remark, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const exportCommand = command({
  name: "export",
  says: "write evidence that the collector kept to files",
  teaches:
    "Writes evidence as it came, its logs, the keys as they were enrolled, and the collector's signed result, for assay " +
    "verify --history and for openssl, jq and tpm2-tools.",
  takes: [["[attester]", "by name or label; may be left out where there is only one"]],
  options: [
    ["--out <folder>", "where to write"],
    ["--evidence <digest>", "which: a digest, newest, or newest-answer (default: newest-answer)"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay export workstation-7 --out bundle"],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: z.object({
    attester: text.optional(),
    out: text,
    evidence: z
      .string()
      .regex(/^([0-9a-f]{64}|newest|newest-answer)$/, "neither a digest nor newest nor newest-answer")
      .default("newest-answer"),
    config: text.optional(),
    json: flag,
  }),
  run: async ({ attester, out, evidence, config, json }, terminal) => {
    const { kept, logs } = await askOffice(config, async office =>
      exportedFrom(office, await whichAttester(office, attester), evidence),
    )
    await writeBundle(out, { envelope: fromBase64(kept.envelope), logs }, kept.identity)
    await writeFile(join(out, "result.dsse.json"), fromBase64(kept.result))
    if (json) writeJsonLine(terminal, { evidence: kept.evidence, received: kept.received, folder: out })
    else {
      row(terminal.out, "evidence", kept.evidence)
      row(terminal.out, "received", kept.received)
      row(terminal.out, "folder", out)
      remark(terminal, `to judge it: assay verify ${out} --ak ${out}/ak.pub --history`)
    }
    return "good"
  },
})

type Office = Parameters<Parameters<typeof askOffice>[1]>[0]

/** Evidence that the collector kept, with the logs that it names. */
export async function exportedFrom(office: Office, attester: string, evidence: string) {
  const kept = await office.call("export", { attester, evidence })
  const { evidence: digest } = kept
  const logs = new Map([["assay", await whole(offset => office.call("log", { evidence: digest, offset }))]])
  for (const name of kept.bootLogs)
    logs.set(name, await whole(offset => office.call("boot-log", { evidence: digest, name, offset })))
  return { kept, logs }
}
