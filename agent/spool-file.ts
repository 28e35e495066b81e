/**
 * How does one piece of evidence lie on disk, so that a crash at any moment leaves it whole or not there? Two frames, what it
 * is and its envelope, and the SHA-256 of both behind them; written under another name, synced, then renamed.
 */
import { createHash } from "node:crypto"
import { open, readFile, rename } from "node:fs/promises"
import { dirname } from "node:path"
import { z } from "zod"
import { celLimits } from "../attestation/tcg/cel.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { frame, Unframer } from "../attestation/wire/frame.ts"
import { readJson, writeJson } from "../attestation/wire/json.ts"
import { count, decimal64, hex, instant, line, sameBytes } from "../attestation/wire/text.ts"
import { envelopeLimit } from "../attestation/protocol/dsse.ts"
import type { Spooled } from "./spool.ts"

const head = z.strictObject({
  format: z.literal("assay-spool-v1"),
  digest: hex(32),
  challenge: hex(16).nullable(),
  audience: line(128),
  made: instant,
  sequence: decimal64,
  /** the file with the log, and how much of it belongs to this */
  log: z.strictObject({ name: hex(32), length: count(celLimits.log), digest: hex(32) }),
})

export type Piece = Omit<Spooled, "log"> & { readonly log: z.infer<typeof head>["log"] }

/** Writes `evidence`, whose log lies in the file `log`, to `path`; gives the bytes that it takes. */
export async function writePiece(path: string, evidence: Spooled, log: string): Promise<number> {
  const { digest, challenge, audience, made, sequence } = evidence
  const named = { name: log, length: evidence.log.length, digest: sha256(evidence.log).toString("hex") }
  const first = frame(writeJson({ format: "assay-spool-v1", digest, challenge, audience, made, sequence, log: named }))
  const content = Buffer.concat([first, frame(evidence.envelope)])
  const bytes = Buffer.concat([content, sha256(content)])
  await replace(path, bytes)
  return bytes.length
}

/** The piece at `path`. Throws Malformed for bytes that are not as they were written. */
export async function readPiece(path: string): Promise<Piece> {
  const bytes = await readFile(path)
  const content = bytes.subarray(0, -32)
  if (bytes.length < 32 || !sameBytes(sha256(content), bytes.subarray(-32)))
    throw new Malformed("its checksum is wrong")
  const [first, envelope, ...more] = new Unframer(envelopeLimit).push(content)
  if (!first || !envelope || more.length > 0) throw new Malformed("it is not two frames")
  const { digest, challenge, audience, made, sequence, log } = readJson(head, first, 1 << 16)
  return { digest, challenge, audience, made, sequence, log, envelope }
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
