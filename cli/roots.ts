/** Whose word counts for a TPM? The makers' roots that an operator admits, lists and withdraws. What the project knows of them: `attestation/tcg/makers.ts`. */
import { z } from "zod"
import { certificateLimit } from "../attestation/tcg/certificate.ts"
import { makerRoots } from "../attestation/tcg/makers.ts"
import { toBase64, toHex } from "../attestation/wire/text.ts"
import type { AdmittedRow, CollectorVerbs } from "../collector/verbs.ts"
import { certificatesAt, type Found } from "./certificates.ts"
import { asJson, command } from "./command.ts"
import { configOf } from "./configuration.ts"
import { Problem } from "./exit.ts"
import { flag, hex32, text } from "./given.ts"
import { askOffice, everyPage, type Office } from "./office.ts"
import { type Output, plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

const exits = ["good", "failed", "misuse", "missing", "configuration"] as const

export const rootsAdd = command({
  name: "roots add",
  says: "admit the certificates of a TPM maker",
  teaches:
    "A root that the table of makers' roots lists is admitted, and what such a root issued as an intermediate. Any other " +
    "root needs a person who vouches for it: their name and reason stand in every result that rests on it. Nobody is " +
    "endorsed in hindsight: let a machine join again.",
  takes: [["<path>", "a file in PEM or DER, or a folder of such files"]],
  options: [
    ["--by <person>", "who vouches for roots that are not listed; needs --reason"],
    ["--reason <text>", "why you vouch for them"],
    configOf("collector"),
    asJson,
  ],
  examples: [
    "assay roots add ./infineon/",
    "assay roots add vtpm-root.pem --by 'Ada Lovelace' --reason 'our hypervisor'",
  ],
  exits,
  reads: z.object({
    path: text,
    by: text.optional(),
    reason: text.optional(),
    config: text.optional(),
    json: flag,
  }),
  run: async ({ path, by, reason, config, json }, terminal) => {
    if ((by === undefined) !== (reason === undefined))
      throw new Problem("misuse", "--by and --reason go together", "give both: whoever vouches says why")
    const approver = by === undefined || reason === undefined ? null : { by, reason }
    const found = await certificatesAt(path)
    const answers = await askOffice(config, office => addAll(office, found, approver))
    if (json) writeJsonLine(terminal, { certificates: answers })
    else for (const each of answers) writeAnswer(terminal, each)
    return answers.some(({ kind }) => kind === "refused") ? "failed" : "good"
  },
})

type Answer = z.infer<CollectorVerbs["roots-add"]["answer"]> & { readonly path: string }

type Approver = { readonly by: string; readonly reason: string } | null

/** What is listed, and what leads there, as long as that admits more; then what is left, under the person's name. */
async function addAll(office: Office, found: readonly Found[], approver: Approver): Promise<Answer[]> {
  let answers = await addEach(office, found, null)
  for (let admitted = -1; admitted < countOf(answers) && answers.some(isRefused); ) {
    admitted = countOf(answers)
    answers = await addRefused(office, found, answers, null)
  }
  return approver === null ? answers : addRefused(office, found, answers, approver)
}

const isRefused = ({ kind }: Answer): boolean => kind === "refused"
const countOf = (answers: readonly Answer[]): number => answers.filter(each => !isRefused(each)).length

async function addEach(office: Office, found: readonly Found[], approver: Approver): Promise<Answer[]> {
  const answers: Answer[] = []
  for (const { path, bytes } of found) {
    const certificate = toBase64(bytes.subarray(0, certificateLimit))
    answers.push({ path, ...(await office.call("roots-add", { certificate, approver })) })
  }
  return answers
}

async function addRefused(
  office: Office,
  found: readonly Found[],
  answers: readonly Answer[],
  approver: Approver,
): Promise<Answer[]> {
  const refused = found.filter((_, i) => answers[i]?.kind === "refused")
  const again = await addEach(office, refused, approver)
  return answers.map(each => (isRefused(each) ? (again.shift() ?? each) : each))
}

function writeAnswer(terminal: Terminal, answer: Answer): void {
  if (answer.kind !== "refused") return writeRow(terminal.out, answer.certificate, answer.kind)
  row(terminal.out, "refused", `${plain(answer.subject) || "?"}  ${plain(answer.path)}`)
  remark(terminal, `${plain(answer.path)} ${plain(answer.why)}`)
}

export const rootsList = command({
  name: "roots list",
  says: "list the admitted certificates of TPM makers, or those that could be",
  teaches:
    "Shows what this collector admits, and on whose word. With --known: the table of makers' roots that the project ships, " +
    "each with its fingerprint and where its maker publishes it. It holds no certificates, and is trusted for nothing.",
  takes: [],
  options: [["--known", "the table of makers' roots instead"], configOf("collector"), asJson],
  examples: ["assay roots list", "assay roots list --known"],
  exits,
  reads: z.object({ known: flag, config: text.optional(), json: flag }),
  run: async ({ known, config, json }, terminal) => {
    if (known) return listKnown(terminal, json)
    const certificates = await askOffice(config, listAll)
    if (json) writeJsonLine(terminal, { certificates })
    else for (const each of certificates) writeRow(terminal.out, each, each.role)
    if (!json && certificates.length === 0) remark(terminal, "none is admitted: assay roots add FILE")
    return "good"
  },
})

function listKnown(terminal: Terminal, json: boolean): "good" {
  if (json) writeJsonLine(terminal, { roots: makerRoots })
  else
    for (const { maker, subject, fingerprint, published } of makerRoots)
      terminal.out.write(`  ${fingerprint}  ${maker}: ${subject}\n    ${published}\n`)
  return "good"
}

const listAll = (office: Office): Promise<AdmittedRow[]> =>
  everyPage(
    skip => office.call("roots-list", { skip }),
    page => page.certificates,
  )

function writeRow(out: Output, { fingerprint, maker, approval, at }: AdmittedRow, what: string): void {
  const word = approval === "listed" ? "listed" : `by ${plain(approval.by)}: ${plain(approval.reason)}`
  out.write(`  ${out.style("faint", what.padEnd(14))}${fingerprint}  ${plain(maker)}, ${word}, ${at.slice(0, 10)}\n`)
}

export const rootsWithdraw = command({
  name: "roots withdraw",
  says: "let a certificate of a TPM maker count no more",
  teaches:
    "It vouches for nobody from now on, nor for machines that are enrolled: their next verdict says so. Who withdrew it, " +
    "and why, is kept with it.",
  takes: [["<fingerprint>", "as assay roots list shows it"]],
  options: [["--by <person>", "who withdraws it"], ["--reason <text>", "why"], configOf("collector")],
  examples: ["assay roots withdraw 899e35474c98… --by 'Ada Lovelace' --reason 'its key leaked'"],
  exits,
  reads: z.object({ fingerprint: hex32, by: text, reason: text, config: text.optional() }),
  run: async ({ fingerprint, by, reason, config }, terminal) => {
    const asked = { fingerprint: toHex(fingerprint), by, reason }
    const { withdrawn } = await askOffice(config, office => office.call("roots-withdraw", asked))
    remark(terminal, withdrawn ? "withdrawn" : "no such certificate is admitted")
    return withdrawn ? "good" : "failed"
  },
})
