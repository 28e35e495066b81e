/**
 * What can a collector that lies put into an audit folder? It has every key of its own: it signs results anew, makes the tree anew over whatever
 * leaves it likes, and signs the checkpoint over it. The keys of people it has not.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Result, writeResult } from "../attestation/appraise/result.ts"
import { signNote, writeNote } from "../attestation/pins/note.ts"
import { payloadTypes, seal } from "../attestation/protocol/dsse.ts"
import { checkpointText } from "../attestation/vault/checkpoint.ts"
import { leafOf, writeLeaf } from "../attestation/vault/leaf.ts"
import { proveInclusion } from "../attestation/vault/proof.ts"
import { leafHash, rootOver } from "../attestation/vault/tree.ts"
import { toHex } from "../attestation/wire/text.ts"
import { eventsOf, resultIn } from "../cli/audit/collect.ts"
import { groundIn, type Row } from "../cli/audit/ground.ts"
import { reportOf } from "../cli/audit/report.ts"
import { summarise } from "../cli/audit/summary.ts"
import type { Configuration } from "../collector/config.ts"
import { resultKey, vaultKey } from "../collector/keys.ts"
import { logKey } from "../collector/vault/origin.ts"

export type Lie = {
  /** notes among the decisions, in the order in which they were published */
  readonly notes: readonly (readonly [kind: string, bytes: Uint8Array])[]
  readonly result: (honest: Result) => Result
}

/** Makes the audit folder at `path` tell the lie, everything signed and proved. Its SHA256SUMS is left to who calls. */
export function forge(path: string, config: Configuration, { notes, result }: Lie): void {
  for (const name of readdirSync(join(path, "evidence"))) signAnew(join(path, "evidence", name), config, result)
  const given: { leaves: Row[] } = JSON.parse(readFileSync(join(path, "index.json"), "utf8"))
  const added = notes.map(([kind, bytes], i) => {
    const file = `decisions/${String(900 + i)}-${kind}`
    writeFileSync(join(path, file), bytes)
    return { kind, file }
  })
  const leaves = [...added, ...given.leaves].map(({ kind, file }, position) => ({ position, kind, file }))
  const checkpoint = treeOver(path, config, leaves)
  writeFileSync(join(path, "index.json"), JSON.stringify({ ...given, leaves }))
  tellAnew(path, leaves, checkpoint)
}

function signAnew(folder: string, config: Configuration, change: Lie["result"]): void {
  const file = join(folder, "result.dsse.json")
  const { publicKey, sign } = resultKey(config.state)
  const told = writeResult(change(resultIn(new Uint8Array(readFileSync(file)))))
  writeFileSync(file, seal(payloadTypes.result, told, publicKey, sign))
}

function treeOver(path: string, config: Configuration, rows: readonly Row[]) {
  rmSync(join(path, "vault/proofs"), { recursive: true })
  mkdirSync(join(path, "vault/proofs"))
  const entries = rows.map(({ kind, file }) => writeLeaf(leafOf(kind, readFileSync(join(path, file)), Date.now())))
  const hashes = entries.map(leafHash)
  const read = (level: number, index: number) => rootOver(hashes.slice(index << level, (index + 1) << level))
  for (const [i, entry] of entries.entries()) {
    const proof = proveInclusion(i, entries.length, read)
    writeFileSync(join(path, `vault/proofs/${i}.leaf`), entry)
    writeFileSync(join(path, `vault/proofs/${i}.proof`), proof.map(each => `${toHex(each)}\n`).join(""))
  }
  const key = logKey(config)
  const checkpoint = { origin: key.name, size: entries.length, root: rootOver(hashes) }
  const text = checkpointText(checkpoint)
  const note = { text, signatures: [signNote(text, key, vaultKey(config.state).sign)] }
  writeFileSync(join(path, "vault/checkpoint"), writeNote(note))
  return { checkpoint, note }
}

function tellAnew(path: string, rows: readonly Row[], signed: Parameters<typeof groundIn>[1]): void {
  const { question } = JSON.parse(readFileSync(join(path, "audit.json"), "utf8"))
  const { model, from, to, staleSeconds } = question
  const asked = { model, from: Date.parse(from), to: Date.parse(to), stale: staleSeconds * 1000 }
  const pieces = readdirSync(join(path, "evidence")).map(evidence => {
    const folder = join(path, "evidence", evidence)
    const result = resultIn(new Uint8Array(readFileSync(join(folder, "result.dsse.json"))))
    const events = eventsOf(new Uint8Array(readFileSync(join(folder, "assay.cel"))))
    return { evidence, attester: result.attester, result, events }
  })
  const summary = summarise(asked, pieces)
  writeFileSync(join(path, "audit.json"), JSON.stringify(summary))
  const frameworks = JSON.parse(readFileSync(join(path, "frameworks.json"), "utf8"))
  const ground = groundIn(path, signed, rows, new Date().toISOString())
  writeFileSync(join(path, "report.html"), reportOf(summary, ground, frameworks))
}
