/**
 * Does an audit folder hold? Everything in it is computed anew, offline and without the collector's store: signatures, proofs, evidence down
 * to the TPM's quote, and the summary itself. Only the keys that are given from elsewhere are believed.
 */
import { spawnSync } from "node:child_process"
import { createHash, createPublicKey } from "node:crypto"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { z } from "zod"
import { type NoteKey, readVerifierKey } from "../../attestation/pins/note.ts"
import { readEnvelope, signedEnvelope } from "../../attestation/protocol/dsse.ts"
import { identity } from "../../attestation/protocol/message.ts"
import { readPublic } from "../../attestation/tcg/public.ts"
import { cosignersOf, readCheckpoint, readWitnessKey, type Signed } from "../../attestation/vault/checkpoint.ts"
import { readLeaf } from "../../attestation/vault/leaf.ts"
import { includes } from "../../attestation/vault/proof.ts"
import { leafHash } from "../../attestation/vault/tree.ts"
import { verify } from "../../attestation/verify/verify.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { count, fromBase64, fromHex, line } from "../../attestation/wire/text.ts"
import { readBundle, readClaims } from "../bundle.ts"
import { checkApprovals, type Tell } from "./approvals.ts"
import { eventsOf, resultIn } from "./collect.ts"
import { frameworkTable } from "./frameworks.ts"
import { groundIn, type Row } from "./ground.ts"
import { reportOf } from "./report.ts"
import { type Piece, summarise, type Summary } from "./summary.ts"

/** One check: what it says when it holds, and why it does not. */
export type Finding = { readonly holds: boolean; readonly says: string }

const index = z.object({
  leaves: z.array(z.strictObject({ position: count(2 ** 48), kind: line(32), file: line(256) })).max(1 << 22),
})
const question = z.object({
  question: z.strictObject({ model: line(1024), from: line(32), to: line(32), staleSeconds: z.number() }),
})
const enrolment = z.object({ attester: line(128), identity })

/** Keys that are known from elsewhere; where one is not given, the folder's is used and that is said. */
export type Known = {
  readonly log: NoteKey | undefined
  readonly results: Uint8Array | undefined
  /** digest of the first policy's text */
  readonly policyRoot: string | undefined
  readonly now: number
}

/** Every check of the folder at `path`. Throws nothing for whatever the folder holds. */
export async function verifyFolder(path: string, known: Known): Promise<Finding[]> {
  const found: Finding[] = []
  const tell = (holds: boolean, says: string): void => void found.push({ holds, says })
  const attempt = async (what: string, act: () => Promise<void> | void): Promise<void> => {
    try {
      await act()
    } catch (error) {
      tell(false, `${what}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  await attempt("SHA256SUMS", () => checkSums(path, tell))
  let signed: Signed | undefined
  await attempt("the checkpoint", () => {
    signed = checkCheckpoint(path, known, tell)
  })
  const rows = signed
    ? await leavesIn(path, signed, tell).catch((error: Error) => (tell(false, `the leaves: ${error.message}`), []))
    : []
  await attempt("the evidence", async () => {
    const pieces = await checkEvidence(path, known, new Set(rows.map(each => each.file)), tell)
    checkApprovals(path, rows, known.policyRoot, pieces, tell)
    const summary = checkSummary(path, pieces, tell)
    if (signed) checkReport(path, signed, rows, summary, tell)
  })
  return found
}

function checkSums(path: string, tell: Tell): void {
  const lines = readFileSync(join(path, "SHA256SUMS"), "utf8").trimEnd().split("\n")
  const listed = new Map(lines.map(each => [each.slice(66), each.slice(0, 64)]))
  const files = readdirSync(path, { recursive: true, withFileTypes: true })
    .filter(each => !each.isDirectory())
    .map(each => join(each.parentPath, each.name).slice(join(path, "x").length - 1))
    .filter(each => each !== "SHA256SUMS")
  const wrong = files.filter(each => listed.get(each) !== digestOf(readFileSync(join(path, each))))
  const gone = [...listed.keys()].filter(each => !files.includes(each))
  const bad = [...wrong, ...gone]
  tell(
    bad.length === 0,
    bad.length === 0
      ? `${files.length} files are those that were written`
      : `another file, or none: ${bad.slice(0, 5).join(", ")}`,
  )
}

const digestOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

function checkCheckpoint(path: string, known: Known, tell: Tell): Signed {
  const log = known.log ?? readVerifierKey(readFileSync(join(path, "vault/log.vkey"), "utf8").trim())
  const signed = readCheckpoint(new Uint8Array(readFileSync(join(path, "vault/checkpoint"))), log)
  const { size, origin } = signed.checkpoint
  tell(
    true,
    `${origin} signed ${size} leaves${known.log ? "" : ", by the key that lies in the folder: compare it, or give --log-key"}`,
  )
  const witnesses = readFileSync(join(path, "vault/witnesses"), "utf8")
    .split("\n")
    .filter(each => each !== "")
  for (const { witness, seconds } of cosignersOf(signed.note, witnesses.map(readWitnessKey)))
    tell(true, `${witness.name} cosigned at ${new Date(seconds * 1000).toISOString()}`)
  checkStamp(path, signed.note.text, tell)
  return signed
}

/** openssl judges it, by its absolute path: no program of that name from elsewhere. */
function checkStamp(path: string, text: string, tell: Tell): void {
  if (!existsSync(join(path, "vault/checkpoint.tsr"))) return
  if (!existsSync(join(path, "vault/authority.pem")))
    return tell(false, "a time stamp is there, and no certificate of its authority: put it at vault/authority.pem")
  const files = ["-in", join(path, "vault/checkpoint.tsr"), "-CAfile", join(path, "vault/authority.pem")]
  const judged = spawnSync(
    "/usr/bin/openssl",
    ["ts", "-verify", "-digest", digestOf(Buffer.from(text, "utf8")), ...files],
    {
      encoding: "utf8",
    },
  )
  tell(
    judged.status === 0,
    judged.status === 0 ? "openssl verifies the time stamp" : "openssl does not verify the time stamp",
  )
}

/** The files that are proved to be leaves. */
async function leavesIn(path: string, { checkpoint }: Signed, tell: Tell): Promise<Row[]> {
  const { leaves } = index.parse(JSON.parse(readFileSync(join(path, "index.json"), "utf8")))
  const bad = leaves.filter(each => !isLeaf(path, checkpoint, each))
  for (const each of bad.slice(0, 5)) tell(false, `leaf ${each.position} does not prove ${each.file}`)
  if (bad.length === 0) tell(true, `${leaves.length} files are leaves of the vault, each in its place`)
  return leaves.filter(each => !bad.includes(each))
}

function isLeaf(path: string, { size, root }: Signed["checkpoint"], { position, kind, file }: Row): boolean {
  if (!/^(evidence\/[0-9a-f]{64}\/(evidence|result)\.dsse\.json|decisions\/[0-9a-z-]+)$/.test(file)) return false
  try {
    const entry = new Uint8Array(readFileSync(join(path, `vault/proofs/${position}.leaf`)))
    const proof = readFileSync(join(path, `vault/proofs/${position}.proof`), "utf8")
      .split("\n")
      .slice(0, -1)
      .map(fromHex)
    const bytes = readFileSync(join(path, file))
    const leaf = readLeaf(entry)
    const same = leaf.kind === kind && leaf.length === bytes.length && leaf.sha256 === digestOf(bytes)
    return same && includes(size, root, { index: position, leaf: leafHash(entry), proof })
  } catch {
    return false
  }
}

async function checkEvidence(
  path: string,
  known: Known,
  proven: ReadonlySet<string>,
  tell: Tell,
): Promise<readonly Piece[]> {
  const results = known.results ?? rawKey(readFileSync(join(path, "results.pem")))
  const folders = existsSync(join(path, "evidence")) ? readdirSync(join(path, "evidence")).toSorted() : []
  const enrolled = enrolledIn(path, proven)
  const pieces: Piece[] = []
  for (const name of folders) {
    const folder = join(path, "evidence", name)
    const piece = await pieceIn(folder, name, { results, enrolled, proven, now: known.now }).catch(
      (error: Error) => error.message,
    )
    if (typeof piece === "string") tell(false, `evidence ${name.slice(0, 16)}: ${piece}`)
    else pieces.push(piece)
  }
  if (pieces.length === folders.length)
    tell(
      true,
      `${pieces.length} pieces of evidence are authentic, quoted by enrolled keys, and judged by this collector`,
    )
  return pieces
}

const rawKey = (pem: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.from(createPublicKey(Buffer.from(pem)).export({ format: "jwk" }).x ?? "", "base64url"))

type Enrolled = { readonly attester: string; readonly ak: Uint8Array; readonly evidenceKey: Uint8Array }

/** Keys count as enrolled where the enrolment is a leaf. */
function enrolledIn(path: string, proven: ReadonlySet<string>): Enrolled[] {
  return [...proven]
    .filter(file => file.endsWith("-enrolment"))
    .map(file => {
      const { attester, identity: own } = enrolment.parse(JSON.parse(readFileSync(join(path, file), "utf8")))
      return { attester, ak: readPublic(fromBase64(own.akPublic)).bytes, evidenceKey: fromBase64(own.evidenceKey) }
    })
}

type Grounds = {
  readonly results: Uint8Array
  readonly enrolled: readonly Enrolled[]
  readonly proven: ReadonlySet<string>
  readonly now: number
}

/** The piece, verified; throws with the sentence that says why not. */
async function pieceIn(folder: string, name: string, { results, enrolled, proven, now }: Grounds): Promise<Piece> {
  for (const file of ["evidence", "result"])
    if (!proven.has(`evidence/${name}/${file}.dsse.json`)) throw new Error(`its ${file} is no leaf`)
  const untrusted = await readBundle(folder, undefined)
  const claims = readClaims(untrusted.envelope)
  if (claims instanceof Malformed) throw claims
  const { body } = claims
  const keys = enrolled.filter(each => each.attester === body.attester)
  if (keys.length === 0) throw new Error(`its attester has no enrolment here`)
  const expected = { asked: { kind: "nothing" }, pcrs: [], logPcr: body.logPcr, audience: "anyone", now } as const
  const outcomes = keys.map(each => verify(untrusted, { keys: each, ...expected }))
  const outcome = outcomes.find(each => each.authentic) ?? outcomes[0]
  if (!outcome?.authentic) throw new Error(`it is not authentic: ${outcome?.findings.map(each => each.id).join(", ")}`)
  const envelope = new Uint8Array(readFileSync(join(folder, "result.dsse.json")))
  if (!signedEnvelope(results, readEnvelope(envelope))) throw new Error("its result is not signed by this collector")
  const result = resultIn(envelope)
  if (result.evidence !== outcome.evidence.digest || name !== result.evidence)
    throw new Error("its result is about other evidence")
  const log = untrusted.logs.get("assay") ?? new Uint8Array(0)
  const own = body.logs.find(each => each.name === "assay")
  return { evidence: name, attester: body.attester, result, events: eventsOf(log.subarray(0, own?.length)) }
}

/** What the report tells is what the evidence gives. */
function checkSummary(path: string, pieces: readonly Piece[], tell: Tell): Summary {
  const said: unknown = JSON.parse(readFileSync(join(path, "audit.json"), "utf8"))
  const { model, from, to, staleSeconds } = question.parse(said).question
  const asked = { model, from: Date.parse(from), to: Date.parse(to), stale: staleSeconds * 1000 }
  const summary = summarise(asked, pieces)
  const same = JSON.stringify(summary) === JSON.stringify(said)
  tell(same, same ? "spans and holes are what the evidence gives" : "audit.json tells something else than the evidence")
  return summary
}

/** The page that people read is the one that these files give; only the frameworks may be edited, with the page made anew. */
function checkReport(path: string, signed: Signed, rows: readonly Row[], summary: Summary, tell: Tell): void {
  const page = readFileSync(join(path, "report.html"), "utf8")
  const made = /<p>Made (\d{4}-[0-9T:.-]+Z)\.<\/p>/.exec(page)?.[1] ?? ""
  const frameworks = frameworkTable.parse(JSON.parse(readFileSync(join(path, "frameworks.json"), "utf8")))
  const same = reportOf(summary, groundIn(path, signed, rows, made), frameworks) === page
  tell(same, same ? "report.html tells just that" : "report.html tells something else than the files beside it")
}
