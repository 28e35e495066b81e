/** What does the collector keep for machines, and who put it there? On the collector: put, list, withdraw. How a machine gets it: `secret-get.ts`. */
import { z } from "zod"
import { secretLimit, secretName } from "../attestation/protocol/release.ts"
import { toBase64 } from "../attestation/wire/text.ts"
import { releaseTiers } from "../collector/secret.ts"
import type { KeptRow } from "../collector/verbs-secret.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { askOffice, everyPage, type Office } from "./office.ts"
import { type Output, plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

const exits = ["good", "failed", "misuse", "missing", "configuration"] as const

export const secretPut = command({
  name: "secret put",
  says: "keep a secret for one machine, to be released when its verdict is good",
  teaches:
    "Reads the secret from stdin, byte for byte, never from the command line, which others can read. It is released to that machine's TPM alone, and " +
    "only on an answer that was asked for because of the wish: affirming, unless you allow a warning. Who put it, for whom, and on which verdict " +
    "it is released is a leaf of the vault; its bytes are not, and no command shows them here. A secret of the same name for that machine is replaced.",
  takes: [["<name>", "what it is called"]],
  options: [
    ["--for <attester>", "the machine, by name or label"],
    ["--tier <tier>", "the least good verdict on which it is released: affirming or warning (default: affirming)"],
    ["--by <person>", "who puts it there"],
    ["--reason <text>", "why"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay secret put disk-key --for workstation-7 --by 'Ada Lovelace' --reason 'change 4713' < disk.key"],
  exits,
  reads: z.object({
    ...{ name: secretName, for: text, tier: z.enum(releaseTiers, "affirming or warning").default("affirming") },
    ...{ by: text, reason: text, config: text.optional(), json: flag },
  }),
  run: async ({ name, for: attester, tier, by, reason, config, json }, terminal) => {
    const bytes = await secretFrom(terminal)
    const request = { attester, name, tier, by, reason, secret: toBase64(bytes) }
    const done = await askOffice(config, office => office.call("secret-put", request))
    if (json) writeJsonLine(terminal, { ...done, tier, bytes: bytes.length })
    else {
      row(terminal.out, done.replaced ? "replaced" : "kept", `${name}, ${bytes.length} bytes`)
      row(terminal.out, "for", done.attester)
      row(terminal.out, "released", tier === "affirming" ? "when affirming" : "when affirming or a warning")
      if (bytes.at(-1) === 0x0a) remark(terminal, "it ends with a line end, which is part of it")
    }
    return "good"
  },
})

/** The bytes on stdin. Throws Problem for none, too many, or a person who would have to type them in the open. */
async function secretFrom(terminal: Terminal): Promise<Uint8Array> {
  const bytes = await terminal.readBytes(secretLimit + 1)
  const hint = "give it by < FILE, or through a pipe"
  if (bytes === "watched") throw new Problem("misuse", "the secret would be seen as it is typed", hint)
  if (bytes.length === 0) throw new Problem("misuse", "no secret came on stdin", hint)
  if (bytes.length > secretLimit)
    throw new Problem(
      "misuse",
      `a secret has at most ${secretLimit} bytes`,
      "keep a key here, and what it opens elsewhere",
    )
  return bytes
}

export const secretList = command({
  name: "secret list",
  says: "list what is kept for machines, without the secrets themselves",
  teaches:
    "One secret a line: for whom, on which verdict it is released, who put it there, how often it was released and when last. Each release, and each " +
    "wish that was not granted, is a leaf of the vault.",
  takes: [],
  options: [configOf("collector"), asJson],
  examples: ["assay secret list"],
  exits,
  reads: z.object({ config: text.optional(), json: flag }),
  run: async ({ config, json }, terminal) => {
    const secrets = await askOffice(config, allOf)
    if (json) writeJsonLine(terminal, { secrets })
    else for (const each of secrets) writeKept(terminal.out, each)
    if (!json && secrets.length === 0) remark(terminal, "no secret is kept: assay secret put NAME --for MACHINE")
    return "good"
  },
})

const allOf = (office: Office): Promise<KeptRow[]> =>
  everyPage(
    skip => office.call("secret-list", { skip }),
    page => page.secrets,
  )

function writeKept(out: Output, given: KeptRow): void {
  const { name, attester, label, tier, by, reason, at, releases, last } = given
  const when = tier === "affirming" ? "affirming only" : "affirming or a warning"
  const times = releases === 1 ? "once" : `${releases} times`
  const released = last === null ? "never released" : `released ${times}, last ${last}`
  out.write(`  ${out.style("strong", name)}  ${when}, ${released}\n`)
  out.write(
    `    for  ${attester}, which calls itself ${plain(label, 32)}\n    by   ${plain(by)} on ${at}: ${plain(reason)}\n`,
  )
}

export const secretWithdraw = command({
  name: "secret withdraw",
  says: "forget a secret: it is released to nobody from now on",
  teaches:
    "What a machine was given before stays given, and an old copy of the store with its key still opens it: where that matters, change the secret where " +
    "it is used. That it was there, and who withdrew it, stays in the vault.",
  takes: [["<name>", "what it is called"]],
  options: [
    ["--for <attester>", "the machine; may be left out where only one has a secret of this name"],
    ["--by <person>", "who withdraws it"],
    ["--reason <text>", "why"],
    configOf("collector"),
    asJson,
  ],
  examples: ["assay secret withdraw disk-key --by 'Ada Lovelace' --reason 'the disk was wiped'"],
  exits,
  reads: z.object({
    ...{ name: secretName, for: text.optional(), by: text, reason: text },
    ...{ config: text.optional(), json: flag },
  }),
  run: async ({ name, for: attester, by, reason, config, json }, terminal) => {
    const request = { attester: attester ?? null, name, by, reason }
    const done = await askOffice(config, office => office.call("secret-withdraw", request))
    if (json) writeJsonLine(terminal, done)
    else {
      row(terminal.out, "withdrawn", name)
      row(terminal.out, "for", done.attester)
    }
    return "good"
  },
})
