/** Which verifier is this? Its version, and the digest of its own code, as every result names them. */
import { createHash } from "node:crypto"
import { readdirSync, readFileSync } from "node:fs"
import { extname, join } from "node:path"

/** The version of the package, which a test holds to package.json. */
export const version = "0.1.0"

/** In a checkout the two rooms that judge, in a bundle every file of it. */
const folders: Readonly<Record<string, readonly string[]>> = { ".ts": ["attestation", "collector"], ".js": [""] }

/**
 * SHA-256, in hex, of what `sha256sum` prints over the files of code in byte order of their paths from `root`; `extension` says
 * whether that is a checkout (.ts) or a bundle (.js).
 */
export function buildDigest(root: string, extension: string): string {
  const files = (folders[extension] ?? []).flatMap(folder =>
    readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
      .filter(name => extname(name) === extension)
      .map(name => join(folder, name)),
  )
  const lines = files.toSorted(byBytes).map(name => `${sha256(readFileSync(join(root, name)))}  ${name}\n`)
  return sha256(Buffer.from(lines.join("")))
}

/** The digest of the code that runs. */
export const ownBuild = (): string => buildDigest(join(import.meta.dirname, ".."), extname(import.meta.filename))

const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
