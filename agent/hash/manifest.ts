/**
 * What is a model called? SHA-256 of its manifest, and the manifest is to the byte what `sha256sum` prints over its files
 * in byte order of their relative paths: anyone can make it with coreutils. How the files are read: `hasher.ts`.
 */
import { createHash } from "node:crypto"

/** One line's worth: a path as bytes, and the file's SHA-256 in hex. */
export type ManifestEntry = { readonly name: Uint8Array; readonly sha256: string }

/** The order of the lines: byte by byte over the whole path, as `LC_ALL=C sort` has it. */
export const byName = (a: { readonly name: Uint8Array }, b: { readonly name: Uint8Array }): number =>
  Buffer.compare(a.name, b.name)

/** The manifest of files that are in order. */
export const manifestOf = (files: readonly ManifestEntry[]): Uint8Array =>
  new Uint8Array(Buffer.concat(files.flatMap(manifestLine)))

export const digestOf = (manifest: Uint8Array): string => createHash("sha256").update(manifest).digest("hex")

/** A name with a backslash or an end of line is escaped, and the line says so by a backslash in front (coreutils, sha256sum). */
function manifestLine({ name, sha256 }: ManifestEntry): Uint8Array[] {
  const escapes = new Map([
    [0x5c, "\\\\"],
    [0x0a, "\\n"],
    [0x0d, "\\r"],
  ])
  const needed = name.some(byte => escapes.has(byte))
  const written = needed ? Buffer.concat([...name].map(byte => Buffer.from(escapes.get(byte) ?? [byte]))) : name
  return [Buffer.from(`${needed ? "\\" : ""}${sha256}  `), written, Buffer.from("\n")]
}
