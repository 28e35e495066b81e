/** What would this machine answer? A full measurement and evidence in files, made by hand; judged by `verify`. */
import { z } from "zod"
import { measureOnce } from "../agent/main.ts"
import { asJson, command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { flag, hex32, text } from "./given.ts"
import { remark, untilInterrupted, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

export const measure = command({
  name: "measure",
  says: "measure this machine now, and write evidence to files",
  teaches:
    "Reads everything that the configuration names, appends it to the event log, has the TPM quote it, and writes evidence, " +
    "log and public keys to a folder. With a nonce it is an answer; without, a report, which shows no time.",
  takes: [],
  options: [
    ["--out <folder>", "where to write"],
    ["--nonce <hex>", "the verifier's nonce: 32 bytes"],
    ["--audience <name>", "for whom this is; each audience has its own chain (default: files)"],
    configOf("agent"),
    asJson,
  ],
  examples: ["assay measure --out bundle --nonce $(openssl rand -hex 32)"],
  exits: ["good", "failed", "misuse", "configuration"],
  reads: z.object({
    out: text,
    nonce: hex32.optional(),
    audience: text.default("files"),
    config: text.optional(),
    json: flag,
  }),
  run: async ({ out, nonce, audience, config, json }, terminal) => {
    const configuration = await agentConfiguration(config)
    const signal = untilInterrupted(terminal)
    const options = { nonce: nonce ?? "none", audience, out, signal, now: terminal.now } as const
    const { digest, kind, sequence, log } = await measureOnce(configuration, options)
    if (json) writeJsonLine(terminal, { evidence: digest, kind, sequence, log: log.length, folder: out })
    else {
      row(terminal.out, "evidence", digest)
      row(terminal.out, "kind", kind)
      row(terminal.out, "folder", out)
      const how = nonce ? `--nonce ${Buffer.from(nonce).toString("hex")}` : "--history"
      remark(terminal, `to judge it: assay verify ${out} --ak ${out}/ak.pub ${how}`)
    }
    return "good"
  },
})
