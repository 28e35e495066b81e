/**
 * How does the record of a model lie in a folder, and how does a person read it? Layer by layer, each with its three verdicts. How it comes about:
 * `model.ts`; what the verdicts mean: `attestation/pins/layers`.
 */
import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { HashedModel } from "../agent/hash/model.ts"
import {
  isSound,
  type Layer,
  missingLayers,
  type Provenance,
  provenanceDigest,
  readProvenance,
  writeProvenance,
} from "../attestation/pins/layers/provenance.ts"
import type { Moved, Upstream } from "../attestation/pins/layers/upstream.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { readBounded } from "./bundle.ts"
import { Problem } from "./exit.ts"
import { size } from "./progress.ts"
import { plain, remark, type Terminal, wrapped, writeJsonLine } from "./terminal.ts"
import { row } from "./verdict.ts"

/** What the files of such a folder are called. */
export const recordFiles = { manifest: "MANIFEST", record: "provenance.json" } as const

/** A document as it was given, and what it is called in the folder. */
export type Kept = { readonly name: string; readonly bytes: Uint8Array }

/** Writes manifest, documents and record. */
export async function keepRecord(
  folder: string,
  model: HashedModel,
  record: Provenance,
  documents: readonly Kept[],
): Promise<void> {
  await mkdir(folder).catch(error => {
    const why = error instanceof Error ? error.message : String(error)
    throw new Problem("failed", `${folder} cannot be made: ${why}`, "name a new folder with --out")
  })
  await writeFile(join(folder, recordFiles.manifest), model.manifest)
  for (const { name, bytes } of documents) await writeFile(join(folder, name), bytes)
  await writeFile(join(folder, recordFiles.record), writeProvenance(record))
}

/** What was found, layer by layer, and which layers are missing. */
export function showRecord(record: Provenance, terminal: Terminal, json: boolean): void {
  const missing = missingLayers(record)
  if (json)
    return writeJsonLine(terminal, { ...record, digest: provenanceDigest(record), sound: isSound(record), missing })
  const { out } = terminal
  row(out, "model", `${plain(record.model, 128)}  sha256:${record.manifest}`)
  row(
    out,
    "",
    `${record.files} ${record.files === 1 ? "file" : "files"}, ${size(record.bytes)}; added by ${plain(record.by)}, ${record.at}`,
  )
  if (record.upstream) row(out, "upstream", wrapped(upstreamLine(record.upstream), out.width - 16, 16))
  for (const layer of record.layers)
    for (const [i, line] of linesOf(layer).entries())
      row(out, i === 0 ? layer.layer : "", wrapped(line, out.width - 16, 16))
  for (const { layer, means } of missing) row(out, layer, wrapped(`missing: ${means}`, out.width - 16, 16))
}

const upstreamLine = ({ place, revision, tags }: Upstream): string =>
  `${plain(place)} at ${plain(revision)}, called ${tags.length === 0 ? "by no tag" : plain(tags.join(", "))} then`

/** Tags that lead elsewhere than on the day that the model was added: an observation, which decides nothing. */
export function remarkMoved(moved: readonly Moved[], terminal: Terminal): void {
  for (const { tag, was, is } of moved)
    remark(
      terminal,
      `upstream's ${plain(tag, 100)} moved: was ${plain(was, 100)}, is ${plain(is, 100)}; what is pinned stays`,
    )
}

function linesOf({ from, signature, authority, bytes, strength }: Layer): string[] {
  const weak = bytes.weak > 0 ? `, ${bytes.weak} by git's SHA-1 only` : ""
  const ignored = bytes.ignored > 0 ? `, ${bytes.ignored} left out by the list's own word` : ""
  return [
    plain(from, 512),
    `signature ${signature.verdict}: ${plain(signature.why, 512)}`,
    `authority ${authority.verdict}: ${plain(authority.why, 512)}`,
    `bytes ${bytes.verdict}: ${bytes.covered} of ${bytes.of} covered${strength === "none" ? "" : ` by ${strength}`}${weak}${ignored}`,
    ...bytes.differences.slice(0, 8).map(([how, name]) => `  ${how} ${plain(name, 512)}`),
    ...(bytes.differences.length + bytes.more > 8 ? [`  and ${bytes.differences.length + bytes.more - 8} more`] : []),
  ]
}

/** The record in a folder, and its manifest. */
export async function recordIn(folder: string): Promise<{ record: Provenance; manifest: Uint8Array }> {
  const bytes = await readBounded(join(folder, recordFiles.record), 1 << 22)
  const manifest = await readBounded(join(folder, recordFiles.manifest), 1 << 26)
  try {
    return { record: readProvenance(bytes), manifest }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new Problem(
      "failed",
      `${folder} holds no record: ${error.message}`,
      "name a folder that assay model add wrote",
    )
  }
}
