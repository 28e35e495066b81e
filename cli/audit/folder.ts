/** How is an audit written so that a stranger can check it? As a folder of plain files, every one of them under one signed root. */
import { createHash } from "node:crypto"
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { type NoteKey, readNote, writeVerifierKey } from "../../attestation/pins/note.ts"
import { toPem } from "../../attestation/protocol/dsse.ts"
import { readCheckpointText, type Signed } from "../../attestation/vault/checkpoint.ts"
import { writeLeaf } from "../../attestation/vault/leaf.ts"
import { toHex } from "../../attestation/wire/text.ts"
import type { Configuration } from "../../collector/config.ts"
import { resultKey } from "../../collector/keys.ts"
import type { Store } from "../../collector/store.ts"
import { logKey } from "../../collector/vault/origin.ts"
import type { Anchor } from "../../collector/vault/vault.ts"
import { writeBundle } from "../bundle.ts"
import { type Collected, type Decision, decisions } from "./collect.ts"
import type { Framework } from "./frameworks.ts"
import { groundIn, type Row } from "./ground.ts"
import { reportOf } from "./report.ts"
import { readme, script } from "./script.ts"
import { type Question, summarise, type Summary } from "./summary.ts"

/** What is written, and from what. */
export type Writing = {
  readonly store: Store
  readonly config: Configuration
  readonly anchor: Anchor
  readonly question: Question
  readonly pieces: readonly Collected[]
  /** whose controls this is mapped to */
  readonly frameworks: readonly Framework[]
  readonly now: number
}

/** Writes the folder, which must not be there yet. */
export async function writeFolder(out: string, writing: Writing): Promise<Summary> {
  const { store, anchor, question, pieces, frameworks, now } = writing
  const rows: Row[] = []
  for (const piece of pieces) rows.push(...(await writePiece(out, piece)))
  const decided = await decisions(store, anchor.size)
  for (const each of decided) rows.push(writeDecision(out, each))
  const within = rows.filter(each => each.position < anchor.size)
  for (const each of within) await writeProof(out, store, anchor, each.position)
  const ground = groundIn(out, writeVault(out, writing), within, new Date(now).toISOString())
  const summary = summarise(question, pieces)
  put(out, "index.json", json({ origin: ground.origin, size: anchor.size, root: ground.root, leaves: within }))
  put(out, "audit.json", json(summary))
  put(out, "frameworks.json", json(frameworks))
  put(out, "report.html", reportOf(summary, ground, frameworks))
  put(out, "README.md", readme(question.model.replace(/[^\w .:/-]/g, "?")))
  put(out, "verify.sh", script)
  chmodSync(join(out, "verify.sh"), 0o755)
  put(out, "SHA256SUMS", sums(out))
  return summary
}

const json = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`

function put(out: string, path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(join(out, path)), { recursive: true })
  writeFileSync(join(out, path), bytes)
}

async function writePiece(
  out: string,
  { evidence, envelope, logs, identity, resultBytes, leaf }: Collected,
): Promise<Row[]> {
  const folder = `evidence/${evidence}`
  await writeBundle(join(out, folder), { envelope, logs }, identity)
  put(out, `${folder}/result.dsse.json`, resultBytes)
  return [
    { position: leaf, kind: "evidence", file: `${folder}/evidence.dsse.json` },
    { position: leaf + 1, kind: "result", file: `${folder}/result.dsse.json` },
  ]
}

const decisionFile = ({ position, leaf }: Omit<Decision, "bytes">): string =>
  `decisions/${String(position).padStart(9, "0")}-${leaf.kind}`

function writeDecision(out: string, decision: Decision): Row {
  const file = decisionFile(decision)
  put(out, file, decision.bytes)
  return { position: decision.position, kind: decision.leaf.kind, file }
}

async function writeProof(out: string, store: Store, anchor: Anchor, position: number): Promise<void> {
  const [kept] = await store.leaves(position, 1)
  if (!kept) throw new Error(`leaf ${position} is not there`)
  const proof = await store.inclusion(position, anchor.size)
  put(out, `vault/proofs/${position}.leaf`, writeLeaf(kept.leaf))
  put(out, `vault/proofs/${position}.proof`, proof.map(each => `${toHex(each)}\n`).join(""))
}

function writeVault(out: string, { config, anchor }: Writing): Signed {
  const key: NoteKey = logKey(config)
  const note = readNote(anchor.checkpoint)
  put(out, "vault/checkpoint", anchor.checkpoint)
  put(out, "vault/log.vkey", `${writeVerifierKey(key)}\n`)
  put(out, "vault/log.pem", toPem(key.publicKey))
  put(out, "vault/witnesses", config.vault.witnesses.map(each => `${each.split(" ")[1]}\n`).join(""))
  put(out, "results.pem", toPem(resultKey(config.state).publicKey))
  if (anchor.timestamp) put(out, "vault/checkpoint.tsr", anchor.timestamp)
  if (anchor.timestamp && config.vault.authority !== "")
    cpSync(config.vault.authority, join(out, "vault/authority.pem"))
  return { note, checkpoint: readCheckpointText(note.text) }
}

/** As sha256sum writes it, over every file but itself. */
function sums(out: string): string {
  const files = readdirSync(out, { recursive: true, withFileTypes: true })
    .filter(each => each.isFile())
    .map(each => relative(out, join(each.parentPath, each.name)))
  const line = (file: string): string =>
    `${createHash("sha256")
      .update(readFileSync(join(out, file)))
      .digest("hex")}  ${file}\n`
  return files.toSorted().map(line).join("")
}
