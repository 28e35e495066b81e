/**
 * How does one piece of evidence lie on disk, so that a crash at any moment leaves it whole or not there? Two frames, what it
 * is and its envelope, and the SHA-256 of both behind them; written under another name, synced, then renamed.
 */
import { createHash } from "node:crypto"
import { open, readFile, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { z } from "zod"
import { Malformed } from "../attestation/wire/codec.ts"
import { frame, Unframer } from "../attestation/wire/frame.ts"
import { readJson, writeJson } from "../attestation/wire/json.ts"
import { count, decimal64, hex, instant, line, sameBytes } from "../attestation/wire/text.ts"
import { envelopeLimit } from "../attestation/protocol/dsse.ts"
import { bootLogNames, logLimits } from "../attestation/protocol/evidence.ts"
import type { Evidence } from "./attester.ts"

/** `challenge` is what the evidence answers, or null for a report. */
export type Spooled = Pick<Evidence, "digest" | "audience" | "made" | "sequence" | "envelope" | "log" | "bootLogs"> & {
  readonly challenge: string | null
}

/** How the file of a log is called: by what it begins with, and by its kind unless it is ours. */
const logFileName = z.string().regex(/^(?:(?:firmware|userspace|ima)-)?[0-9a-f]{64}$/, "not the name of a log's file")

/** How much of the file that holds a log belongs to a piece. */
const keptLog = z.strictObject({
  name: z.enum(["assay", ...bootLogNames]),
  file: logFileName,
  length: count(logLimits.ima),
  digest: hex(32),
})
export type KeptLog = z.infer<typeof keptLog>

const head = z.strictObject({
  format: z.literal("assay-spool-v2"),
  digest: hex(32),
  challenge: hex(16).nullable(),
  audience: line(128),
  made: instant,
  sequence: decimal64,
  logs: z.array(keptLog).min(1).max(4),
})

export type Piece = Omit<Spooled, "log" | "bootLogs"> & { readonly logs: readonly KeptLog[] }

/** Writes `evidence`, whose logs lie where `logs` says, to `path`; gives the bytes that it takes. */
export async function writePiece(path: string, evidence: Spooled, logs: readonly KeptLog[]): Promise<number> {
  const { digest, challenge, audience, made, sequence } = evidence
  const first = frame(writeJson({ format: "assay-spool-v2", digest, challenge, audience, made, sequence, logs }))
  const content = Buffer.concat([first, frame(evidence.envelope)])
  const bytes = Buffer.concat([content, sha256(content)])
  await replace(path, bytes)
  return bytes.length
}

/** A piece that version 0.1.0 wrote, of evidence in a format that nobody verifies any more. It is whole, and no fault of the disk. */
export class EarlierPiece extends Error {
  readonly hint = "nothing is lost that counts: this machine is asked anew; assay verify of version 0.1.0 reads them"
}
const earlierFormat = /^\{"format":"assay-spool-v1",/

/** The piece at `path`. Throws Malformed for bytes that are not as they were written, and {@link EarlierPiece}. */
export async function readPiece(path: string): Promise<Piece> {
  const bytes = await readFile(path)
  const content = bytes.subarray(0, -32)
  if (bytes.length < 32 || !sameBytes(sha256(content), bytes.subarray(-32)))
    throw new Malformed("its checksum is wrong")
  const [first, envelope, ...more] = new Unframer(envelopeLimit).push(content)
  if (!first || !envelope || more.length > 0) throw new Malformed("it is not two frames")
  if (earlierFormat.test(Buffer.from(first.subarray(0, 64)).toString("latin1")))
    throw new EarlierPiece("version 0.1.0 wrote it, and its evidence is not verified any more")
  const { digest, challenge, audience, made, sequence, logs } = readJson(head, first, 1 << 16)
  return { digest, challenge, audience, made, sequence, logs, envelope }
}

/** Puts `bytes` at `path` as a whole. */
async function replace(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(`${path}.new`, "w", 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(`${path}.new`, path)
  await syncFolder(dirname(path))
}

/** Makes the names in a folder survive a power failure. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, "r")
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest()
