/**
 * Is the evidence in these files authentic, and is what it says acceptable? Recomputed in this process from the files and
 * the keys that the caller pins, without any collector's word or store. Evidence is fetched by `measure` and `challenge`.
 */
import { createPublicKey } from "node:crypto"
import { z } from "zod"
import { type Appraisal, appraise, type Context, type Tier } from "../attestation/appraise/appraise.ts"
import { gradesOf } from "../attestation/appraise/grades.ts"
import { loadedFiles } from "../attestation/appraise/loaded.ts"
import { quotedFirmware } from "../attestation/appraise/tpm-firmware.ts"
import { readReference, type Reference, referenceDigest } from "../attestation/pins/reference.ts"
import { continuity } from "../attestation/verify/continuity.ts"
import type { Finding } from "../attestation/verify/finding.ts"
import {
  type Asked,
  type Outcome,
  type PinnedKeys,
  type VerifiedEvidence,
  verify,
} from "../attestation/verify/verify.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { toHex } from "../attestation/wire/text.ts"
import { readBounded, readBundle, readClaims, readPublicFile } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { type Exit, Problem } from "./exit.ts"
import { attesterName, flag, hex32, logPcr, moment, pcrList, policyRoot, text } from "./given.ts"
import { approvalsIn } from "./notes.ts"
import { type Output, plain, type Terminal, writeJsonLine } from "./terminal.ts"
import { row, told, writeAuthority, writeComponents, writeFindings, writeLoaded } from "./verdict.ts"

const given = z.object({
  path: text,
  ak: text,
  key: text.optional(),
  attester: attesterName.optional(),
  nonce: hex32.optional(),
  secret: hex32.optional(),
  history: flag,
  pcrs: pcrList.default([]),
  logPcr,
  audience: text.optional(),
  log: text.optional(),
  reference: text.optional(),
  policyRoot: policyRoot.optional(),
  notes: text.optional(),
  at: moment.optional(),
  strict: flag,
  json: flag,
})
type Given = z.infer<typeof given>

/** What was judged, and by which means. */
export type Judged = {
  readonly outcome: Outcome
  /** for authentic evidence only */
  readonly appraisal: Appraisal | undefined
  readonly reference: Reference | "none recorded"
  readonly asked: Asked
  readonly attesterPinned: boolean
}

export const verifyCommand = command({
  name: "verify",
  says: "check evidence in files: is it authentic, and is what it says acceptable",
  teaches:
    "Checks signatures, quote, nonce and logs of evidence in files against the keys that you pin, replays the log to the " +
    "quoted PCR, and compares what was measured with a reference. Trusts no collector. Freshness is checked only against " +
    "a nonce that you give; --history goes without, and then says so.",
  takes: [["<path>", "a folder as measure and challenge write it, or an envelope's file"]],
  options: [
    ["--ak <file>", "the attestation key that must have quoted: a public area as tpm2_readpublic -f tss writes it"],
    [
      "--key <pem>",
      "the Ed25519 key that must have signed, as PEM text or its file (default: whichever the quote names)",
    ],
    ["--attester <name>", "the Name of the EK that the evidence must be of"],
    ["--nonce <hex>", "the nonce that the evidence must answer"],
    ["--secret <hex>", "the secret of the credential that went with the nonce"],
    ["--history", "no nonce: verify what was said, not when"],
    ["--pcrs <list>", "PCRs that the quote must cover, beside that of the log"],
    ["--log-pcr <pcr>", "the PCR that holds the log (default: 23)"],
    ["--audience <name>", "for whom the evidence must be (default: anyone)"],
    ["--log <file>", "the event log (default: assay.cel beside the evidence)"],
    ["--reference <file>", "compare with what was recorded here"],
    [
      "--policy-root <digest>",
      "judge by what is approved: the digest of the first policy, as you were told it out of band",
    ],
    ["--notes <folder>", "the published notes, as assay policy export writes them"],
    ["--at <time>", "judge as of this moment (default: now)"],
    ["--strict", "a warning is not acceptable either"],
    asJson,
  ],
  examples: ["assay verify bundle --ak ak.pub --nonce 6b86b273ff34…  --reference reference.json"],
  exits: ["good", "failed", "misuse", "unacceptable", "unauthentic"],
  reads: given,
  run: verifyFiles,
})

async function verifyFiles(options: Given, terminal: Terminal): Promise<Exit> {
  const untrusted = await readBundle(options.path, options.log)
  const claims = readClaims(untrusted.envelope)
  const claimedAttester = claims instanceof Malformed ? "" : claims.body.attester
  const keys: PinnedKeys = {
    attester: options.attester ?? claimedAttester,
    ak: await readPublicFile(options.ak),
    evidenceKey: options.key === undefined ? "as quoted" : await readKey(options.key),
  }
  const asked = askedBy(options)
  if (!(claims instanceof Malformed) && claims.body.kind === "answer") demandSecret(claims.body.credential, options)
  const reference = await readReferenceFile(options.reference)
  const now = options.at ?? terminal.now()
  const approvals = await approvalsOf(options, reference, now)
  const { pcrs, logPcr } = options
  const audience = options.audience === undefined ? "anyone" : { named: options.audience }
  const outcome = verify(untrusted, { keys, asked, pcrs, logPcr, audience, now })
  const appraisal = outcome.authentic ? judge(outcome.evidence, { reference, approvals }, []) : undefined
  const judged: Judged = { outcome, appraisal, reference, asked, attesterPinned: options.attester !== undefined }
  if (options.json) writeJsonLine(terminal, forScripts(judged))
  else writeJudged(terminal.out, judged)
  return exitOf(judged, options.strict)
}

async function approvalsOf(
  { policyRoot: root, notes }: Given,
  reference: Reference | "none recorded",
  now: number,
): Promise<Context["approvals"]> {
  if (root === undefined && notes === undefined) return "ungoverned"
  if (root !== undefined && notes !== undefined) return approvalsIn(notes, root, reference, now)
  throw new Problem(
    "misuse",
    "--policy-root and --notes go together",
    "notes prove themselves from a root that you know",
  )
}

function askedBy({ nonce, secret, history }: Given): Asked {
  if (history && nonce) throw new Problem("misuse", "--history goes without a nonce", "leave one of the two out")
  if (history) return { kind: "nothing" }
  if (!nonce)
    throw new Problem(
      "misuse",
      "no nonce is given, so nothing would show that this is fresh",
      "give the nonce that you asked with: --nonce HEX; or say --history to verify what was said, not when",
    )
  return { kind: "nonce", nonce, channel: "not checkable", credential: secret ?? new Uint8Array(0) }
}

function demandSecret(claimedCredential: "none" | "recovered", { secret }: Given): void {
  if (claimedCredential === "none" || secret) return
  throw new Problem(
    "misuse",
    "this answer was made with a credential, whose secret is in what the TPM signed",
    "give it with --secret HEX and the nonce; assay challenge --out wrote it beside the evidence",
  )
}

/** What a verifier without history or endorsement can say of `evidence`. */
export function judge(
  evidence: VerifiedEvidence,
  { reference, approvals }: Pick<Context, "reference" | "approvals">,
  circumstances: readonly Finding[],
): Appraisal {
  const findings = [...continuity("nothing seen", evidence), ...circumstances]
  return appraise(evidence, { reference, approvals, endorsement: { kind: "unendorsed" }, findings })
}

/** The exit for a judgement; with `strict` a warning is not acceptable. */
export function exitOf({ appraisal }: Judged, strict: boolean): Exit {
  if (!appraisal) return "unauthentic"
  const acceptable: readonly Tier[] = strict ? ["affirming"] : ["affirming", "warning"]
  return acceptable.includes(appraisal.tier) ? "good" : "unacceptable"
}

async function readKey(given: string): Promise<Uint8Array> {
  const pem = given.startsWith("-----BEGIN") ? given : Buffer.from(await readBounded(given, 4096)).toString("latin1")
  try {
    const { crv, x } = createPublicKey(pem).export({ format: "jwk" })
    if (crv === "Ed25519" && x !== undefined) return new Uint8Array(Buffer.from(x, "base64url"))
  } catch {
    // told below
  }
  throw new Problem("misuse", "--key: no Ed25519 public key in PEM", "give the evidence key's PEM text, or its file")
}

/** The reference in a file, if one is named. */
export async function readReferenceFile(path: string | undefined): Promise<Reference | "none recorded"> {
  if (path === undefined) return "none recorded"
  try {
    return readReference(await readBounded(path, 1 << 24))
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem("misuse", `${path} is no reference: ${error.message}`, "assay reference record writes one")
  }
}

/** A judgement for people. */
export function writeJudged(out: Output, judged: Judged): void {
  const { outcome, appraisal } = judged
  if (!outcome.authentic || !appraisal) {
    row(out, "authentic", out.style("bad", "no"))
    return writeFindings(out, outcome.authentic ? [] : outcome.findings)
  }
  writeGrounds(out, outcome.evidence, judged)
  out.write("\n")
  writeComponents(out, appraisal.tier, appraisal.components)
  if (appraisal.force) writeAuthority(out, appraisal.authority)
  writeLoaded(out, loadedFiles(outcome.evidence))
  writeFindings(out, appraisal.findings)
}

function writeGrounds(out: Output, evidence: VerifiedEvidence, { asked, reference, attesterPinned }: Judged): void {
  const { body, digest, quote } = evidence
  row(out, "evidence", digest)
  row(out, "attester", body.attester)
  if (!attesterPinned) row(out, "", "as the evidence says: --attester would pin it")
  row(out, "made", `${plain(body.made)}, as the attester says`)
  row(out, "authentic", `${out.style("good", "yes")}  quoted by the pinned AK ${body.ak.slice(0, 12)}…`)
  row(out, "fresh", asked.kind === "nonce" ? `${out.style("good", "yes")}  answers your nonce` : stale(out))
  const { resetCount, restartCount } = quote.clock
  row(out, "whole", `${out.style("good", "yes")}  ${evidence.events.length} records replay to PCR ${body.logPcr}`)
  row(out, "epoch", `reset ${resetCount}, restart ${restartCount}, as quoted`)
  row(out, "firmware", `${quotedFirmware(evidence)} of the TPM, as quoted`)
  writeGrades(out, evidence)
  if (reference !== "none recorded") writeReferenceRow(out, reference, body.attester)
}

/** How much of what the agent says of files the kernel says too; nothing where there is no log of the kernel's. */
function writeGrades(out: Output, evidence: VerifiedEvidence): void {
  if (typeof evidence.platform.ima === "string") return
  const { facts, agent } = gradesOf(evidence)
  const measured = facts.filter(({ grade }) => grade === "kernel-measured").length
  row(out, "graded", `${measured} of ${facts.length} digests kernel-measured, the others self-reported`)
  row(
    out,
    "agent",
    agent === "kernel-measured" ? "its interpreter is kernel-measured" : "its interpreter is not in the kernel's log",
  )
}

const stale = (out: Output): string =>
  `${out.style("doubtful", "not checked")}  verified as history: no nonce was given`

function writeReferenceRow(out: Output, reference: Reference, attester: string): void {
  const whose = reference.attester === attester ? "" : `, of another machine: ${plain(reference.attester)}`
  row(out, "reference", `recorded ${plain(reference.recorded)} by ${plain(reference.by)}${whose}`)
}

/** A judgement for scripts. */
export function forScripts({ outcome, appraisal, reference, asked, attesterPinned }: Judged): object {
  if (!outcome.authentic || !appraisal)
    return { authentic: false, findings: outcome.authentic ? [] : outcome.findings.map(told) }
  const { body, digest, quote, quotedPcrs } = outcome.evidence
  return {
    authentic: true,
    evidence: digest,
    kind: body.kind,
    attester: body.attester,
    attesterPinned,
    claimedMade: body.made,
    freshness: asked.kind === "nonce" ? "answers the nonce" : "not checked",
    quoted: {
      resetCount: quote.clock.resetCount,
      restartCount: quote.clock.restartCount,
      pcrs: [...quotedPcrs].map(([pcr, value]) => [pcr, toHex(value)]),
    },
    reference: reference === "none recorded" ? null : referenceDigest(reference),
    tier: appraisal.tier,
    authority: appraisal.authority,
    pin: appraisal.force ? { version: appraisal.force.current.pin.version, note: appraisal.force.current.note } : null,
    cause: appraisal.cause,
    components: appraisal.components.map(each => ({ ...each, findings: each.findings.map(told) })),
    loaded: loadedFiles(outcome.evidence),
    grades: gradesOf(outcome.evidence),
    findings: appraisal.findings.map(told),
  }
}
