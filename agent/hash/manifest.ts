/**
 * What is a model called? SHA-256 of its manifest, and the manifest is to the byte what `sha256sum` prints over its files
 * in byte order of their relative paths: anyone can make it with coreutils. How the files are read: `hasher.ts`.
 */
import { createHash } from "node:crypto"
import { type Binary, fromBinary } from "./binary.ts"

/** One line's worth: a path, and the file's SHA-256 in hex. */
export type ManifestEntry = { readonly name: Binary; readonly sha256: string }

/** The order of the lines: byte by byte over the whole path, as `LC_ALL=C sort` has it. */
export const byName = (a: { readonly name: Binary }, b: { readonly name: Binary }): number =>
  a.name < b.name ? -1 : a.name > b.name ? 1 : 0

/** The manifest of files that are in order. */
export const manifestOf = (files: readonly ManifestEntry[]): Uint8Array =>
  new Uint8Array(fromBinary(files.map(manifestLine).join("")))

export const digestOf = (manifest: Uint8Array): string => createHash("sha256").update(manifest).digest("hex")

/** A name with a backslash or an end of line is escaped, and the line says so by a backslash in front (coreutils, sha256sum). */
function manifestLine({ name, sha256 }: ManifestEntry): Binary {
  const written = name.replace(/[\\\n\r]/g, each => escapes[each] ?? each)
  return `${written === name ? "" : "\\"}${sha256}  ${written}\n`
}

const escapes: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r" }
