/**
 * How does evidence lie in files? As the folder that `agent/once.ts` writes, which anybody can read with their own tools.
 * Nothing in it is believed before it is verified.
 */
import { mkdir, open, readdir, stat, writeFile } from "node:fs/promises"
import { basename, dirname, join } from "node:path"
import { bootLogFiles } from "../agent/boot-logs.ts"
import { onceFiles } from "../agent/once.ts"
import { readPublic } from "../attestation/tcg/public.ts"
import { envelopeLimit, readEnvelope, toPem } from "../attestation/protocol/dsse.ts"
import { bootLogNames, logLimits, type Payload, readPayload } from "../attestation/protocol/evidence.ts"
import type { Identity } from "../attestation/protocol/message.ts"
import type { UntrustedEvidence } from "../attestation/verify/verify.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { writeJson } from "../attestation/wire/json.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { Problem } from "./exit.ts"

/** At most `limit` bytes of the file at `path`; a longer one is refused. */
export async function readBounded(path: string, limit: number): Promise<Uint8Array> {
  const file = await open(path).catch(error => {
    throw unreadable(path, error)
  })
  try {
    const parts: Uint8Array[] = []
    for (let left = limit + 1; left > 0; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(Math.min(left, 1 << 20)))
      if (bytesRead === 0) return new Uint8Array(Buffer.concat(parts))
      parts.push(buffer.subarray(0, bytesRead))
      left -= bytesRead
    }
    throw new Problem("failed", `${path} is larger than ${limit} bytes`, "this is not such a file")
  } catch (error) {
    throw error instanceof Problem ? error : unreadable(path, error)
  } finally {
    await file.close()
  }
}

function unreadable(path: string, error: unknown): Problem {
  const code = error instanceof Error && "code" in error ? error.code : undefined
  if (code === "ENOENT") return new Problem("failed", `${path} does not exist`, "name a file that is there")
  if (code === "EACCES") return new Problem("failed", `${path} may not be read`, "read it as a user who may")
  if (code === "EISDIR") return new Problem("failed", `${path} is a folder`, "name the file in it")
  return new Problem(
    "failed",
    `${path}: ${error instanceof Error ? error.message : String(error)}`,
    "name another file",
  )
}

/** The evidence at `path`, a folder or an envelope's file; its own log is at `log`, or beside it. */
export async function readBundle(path: string, log: string | undefined): Promise<UntrustedEvidence> {
  const isFolder = await stat(path).then(
    found => found.isDirectory(),
    () => false,
  )
  const envelope = await readBounded(isFolder ? join(path, onceFiles.evidence) : path, envelopeLimit)
  return { envelope, logs: await readLogs(isFolder ? path : dirname(path), log) }
}

async function readLogs(folder: string, own: string | undefined): Promise<ReadonlyMap<string, Uint8Array>> {
  const names = (await readdir(folder)).filter(name => /^[a-z][a-z0-9-]{0,31}\.cel$/.test(name)).slice(0, 8)
  const paths = new Map(names.map(name => [basename(name, ".cel"), join(folder, name)]))
  if (own !== undefined) paths.set("assay", own)
  const logs = new Map<string, Uint8Array>()
  for (const [name, each] of paths) logs.set(name, await readBounded(each, logLimits.assay))
  const there = new Set(await readdir(folder))
  for (const name of bootLogNames)
    if (there.has(bootLogFiles[name]))
      logs.set(name, await readBounded(join(folder, bootLogFiles[name]), logLimits[name]))
  return logs
}

/** What the envelope's payload claims, or why it cannot be read. */
export function readClaims(envelope: Uint8Array): Payload | Malformed {
  try {
    return readPayload(fromBase64(readEnvelope(envelope).payload))
  } catch (error) {
    if (error instanceof Malformed) return error
    throw error
  }
}

/** Writes a folder of evidence, and what its attester says of itself; files of the same names are replaced. */
export async function writeBundle(
  folder: string,
  { envelope, logs }: UntrustedEvidence,
  identity: Identity,
): Promise<void> {
  await mkdir(folder, { recursive: true })
  const write = (name: string, bytes: Uint8Array | string): Promise<void> => writeFile(join(folder, name), bytes)
  await write(onceFiles.evidence, envelope)
  for (const [name, bytes] of logs) await write(fileOf(name), bytes)
  await write(onceFiles.identity, writeJson(identity))
  await write(onceFiles.ak, fromBase64(identity.akPublic))
  await write(onceFiles.evidenceKey, toPem(fromBase64(identity.evidenceKey)))
}

/** How the file of a log is called. */
const fileOf = (name: string): string =>
  bootLogNames.flatMap(each => (each === name ? [bootLogFiles[each]] : []))[0] ?? `${name}.cel`

/** The public area in a file as tpm2_readpublic writes it (TPM2B_PUBLIC) or bare (TPMT_PUBLIC): TPMT_PUBLIC. */
export async function readPublicFile(path: string): Promise<Uint8Array> {
  const bytes = await readBounded(path, 2048)
  const counted = bytes.length > 2 && Buffer.from(bytes).readUInt16BE() === bytes.length - 2
  const area = counted ? bytes.subarray(2) : bytes
  try {
    return readPublic(area).bytes
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    const hint = "tpm2_readpublic -f tss -o FILE writes one; a PEM key does not say what the key may do"
    throw new Problem("misuse", `${path} holds no public area of a TPM's key: ${error.message}`, hint)
  }
}
