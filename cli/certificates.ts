/** Which certificates are in a file or a folder? PEM and DER, as TPM makers publish them. What they are for: `collector/roots.ts`. */
import { readdir, stat } from "node:fs/promises"
import { join } from "node:path"
import { certificateLimit, readCertificate } from "../attestation/tcg/certificate.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { sameBytes } from "../attestation/wire/text.ts"
import { readBounded } from "./bundle.ts"
import { Problem } from "./exit.ts"

/** A certificate's DER, and the file that it stood in. */
export type Found = { readonly path: string; readonly bytes: Uint8Array }

/** The most files of a folder, and bytes of one of them. */
const filesMost = 1000
const fileLimit = 1 << 20
const endings = /\.(pem|crt|cer|der)$/i
const pem = /-----BEGIN (?:TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END/g

/** Every certificate at `path`; those that sign themselves come first, since others lead to them. Throws Problem. */
export async function certificatesAt(path: string): Promise<Found[]> {
  const paths = await filesAt(path)
  const found = (await Promise.all(paths.map(certificatesIn))).flat()
  if (found.length === 0)
    throw new Problem("failed", `${path} holds no certificate`, "name a file in PEM or DER, or a folder of such files")
  return [...found.filter(each => signsItself(each)), ...found.filter(each => !signsItself(each))]
}

async function filesAt(path: string): Promise<string[]> {
  const folder = await stat(path).then(
    each => each.isDirectory(),
    () => false,
  )
  if (!folder) return [path]
  const names = (await readdir(path)).filter(name => endings.test(name)).toSorted()
  if (names.length <= filesMost) return names.map(name => join(path, name))
  throw new Problem("failed", `${path} holds more than ${filesMost} certificates`, "name a folder of one maker")
}

async function certificatesIn(path: string): Promise<Found[]> {
  const bytes = await readBounded(path, fileLimit)
  const blocks = [...Buffer.from(bytes).toString("latin1").matchAll(pem)]
  if (blocks.length > 0)
    return blocks.map(([, base64 = ""]) => ({ path, bytes: new Uint8Array(Buffer.from(base64, "base64")) }))
  return bytes[0] === 0x30 && bytes.length <= certificateLimit ? [{ path, bytes }] : []
}

function signsItself({ bytes }: Found): boolean {
  try {
    const { issuer, subject } = readCertificate(bytes)
    return sameBytes(issuer, subject)
  } catch (error) {
    if (error instanceof Malformed) return false
    throw error
  }
}
