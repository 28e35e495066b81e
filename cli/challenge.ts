/**
 * Who asks a machine now? The collector, when it is told to; or an outside verifier with a nonce of its own (`outside.ts`). The
 * first is the collector's word, the second is not.
 */
import { z } from "zod"
import { readResult, type Result } from "../attestation/appraise/result.ts"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import type { CollectorVerbs } from "../collector/verbs.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { type Exit, Problem } from "./exit.ts"
import { attesterName, flag, hostAndPort, logPcr, pcrList, text, wholeNumber } from "./given.ts"
import { whichAttester, withOffice } from "./office.ts"
import { askOutside } from "./outside.ts"
import { type Terminal, writeJsonLine } from "./terminal.ts"
import { row, told, writeAuthority, writeComponents, writeFindings } from "./verdict.ts"

const given = z.object({
  name: text.optional(),
  config: text.optional(),
  attester: attesterName.optional(),
  knownFrom: text.optional(),
  tokenFile: text.optional(),
  keyFile: text.optional(),
  collector: hostAndPort.optional(),
  proxy: hostAndPort.optional(),
  proxyCredentials: text.default(""),
  pin: text.optional(),
  ak: text.optional(),
  depth: z.enum(["quick", "full"], "quick or full").default("quick"),
  pcrs: pcrList.default([]),
  logPcr,
  reference: text.optional(),
  out: text.optional(),
  deadline: wholeNumber(1, 86_400).default(180),
  strict: flag,
  json: flag,
})
type Given = z.infer<typeof given>

export const challenge = command({
  name: "challenge",
  says: "ask a machine now: as the collector, or with your own nonce from outside",
  teaches:
    "With a name, or none where there is only one: the collector on this machine asks now, and the verdict is its own. With " +
    "--token-file you are an outside verifier, who need not trust the collector: it draws a nonce, wraps a secret for the " +
    "machine's TPM, has the collector relay both, and verifies the answer here. Only the TPM with that EK and AK can " +
    "recover the secret. Nothing is sent before the collector's key is seen to be the pinned one.",
  takes: [["[name]", "the attester, by name or label, for the collector on this machine"]],
  options: [
    ["--attester <name>", "outside: the Name of the machine's EK"],
    ["--token-file <file>", "outside: the invitation that the collector's operator gave you as a verifier"],
    [
      "--key-file <file>",
      "outside, at an agent's own door: your private key and certificate; needs --collector and --pin, the agent's",
    ],
    ["--known-from <who>", "outside: who told you that name, other than this collector"],
    ["--collector <host:port>", "outside: where the collector is (default: as the invitation says)"],
    ["--pin <pin>", "outside: SHA-256 of the collector's public key (default: as the invitation says)"],
    ["--proxy <host:port>", "outside: the HTTP proxy on the way to the collector"],
    ["--proxy-credentials <file>", "outside: a file with user:password for that proxy"],
    ["--ak <file>", "outside: the attestation key that must have quoted, if you know it"],
    ["--pcrs <list>", "outside: PCRs that the quote must cover, beside that of the log"],
    ["--log-pcr <pcr>", "outside: the PCR that holds the log (default: 23)"],
    ["--reference <file>", "outside: compare with what was recorded here"],
    ["--out <folder>", "outside: keep the evidence, and what was asked, in this folder"],
    ["--depth <depth>", "quick, or full: every weight file is read again (default: quick)"],
    ["--deadline <seconds>", "how long to wait for the answer (default: 180)"],
    ["--strict", "a warning is not acceptable either"],
    configOf("collector"),
    asJson,
  ],
  examples: [
    "assay challenge workstation-7",
    "assay challenge --token-file invitation --attester 000b6b86b273ff34… --known-from 'the delivery note' --out kept",
  ],
  exits: ["good", "failed", "misuse", "unacceptable", "unauthentic", "missing", "later", "configuration"],
  reads: given,
  run: async (options, terminal) => {
    const {
      name,
      attester,
      tokenFile,
      knownFrom,
      collector,
      pin,
      ak,
      reference,
      out,
      proxyCredentials: credentials,
    } = options
    const proxy = options.proxy ? { ...options.proxy, credentials } : "none"
    if (tokenFile === undefined && options.keyFile === undefined) return askCollector(options, terminal)
    if (attester === undefined || name !== undefined)
      throw new Problem("misuse", "an outside verifier says whom it means with --attester", "give the Name of the EK")
    const by = tokenFile === undefined ? { keyFile: options.keyFile ?? "" } : { tokenFile }
    return askOutside({ ...options, attester, by, knownFrom, collector, proxy, pin, ak, reference, out }, terminal)
  },
})

type Ended = z.infer<CollectorVerbs["challenge"]["answer"]>

async function askCollector({ name, config, depth, deadline, strict, json }: Given, terminal: Terminal): Promise<Exit> {
  const ended = await withOffice(config, deadline * 1000, async office => {
    const attester = await whichAttester(office, name)
    return office.call("challenge", { attester, depth })
  })
  if (ended.kind === "unanswered") throw new Problem("later", ended.reason, "is the machine on, and its agent running?")
  const result = ended.kind === "judged" ? resultOf(ended.result) : undefined
  if (json) writeJsonLine(terminal, forScripts(ended, result))
  else writeEnded(terminal, ended, result)
  if (!result) return "unauthentic"
  return result.tier === "contraindicated" || (strict && result.tier !== "affirming") ? "unacceptable" : "good"
}

/** The result that an answer of the collector carries. */
export const resultOf = (envelope: string): Result => readResult(fromBase64(readEnvelope(fromBase64(envelope)).payload))

function writeEnded({ out }: Terminal, ended: Ended, result: Result | undefined): void {
  row(out, "attester", ended.attester)
  if (!result || ended.kind === "unanswered") {
    row(out, "authentic", out.style("bad", "no"))
    return writeFindings(out, ended.kind === "refused" ? ended.findings : [])
  }
  row(out, "evidence", result.evidence)
  row(out, "received", result.received)
  row(out, "authentic", `${out.style("good", "yes")}  by the collector's word`)
  out.write("\n")
  writeComponents(out, result.tier, result.components)
  writeAuthority(out, result.authority)
  writeFindings(out, result.findings)
}

const forScripts = (ended: Ended, result: Result | undefined): object => ({
  ...ended,
  ...(ended.kind === "unanswered" ? {} : { findings: ended.findings.map(told) }),
  ...(result
    ? {
        components: result.components,
        authority: result.authority,
        pin: result.pin,
        policy: result.policy,
        cause: result.cause,
        reference: result.reference,
      }
    : {}),
})
