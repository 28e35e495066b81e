/**
 * Which files does a plain list speak of? `sha256sum`'s output, its `--tag` form, or the listing of a commit that Hugging Face's tools keep in
 * their cache. Nobody signs such lists: they are worth what the person who took them knows of where they came from.
 */
import { z } from "zod"
import { Malformed } from "../../wire/codec.ts"
import { count, hex, line } from "../../wire/text.ts"
import type { Claim, Claims } from "./claims.ts"
import { readForeign, textOf } from "./foreign.ts"

const most = 200_000

/** A list as sha256sum prints it, names escaped as it does, with or without --tag; blank lines and lines after # are passed over. Throws Malformed. */
export function readSums(bytes: Uint8Array): Claims {
  const lines = textOf(bytes, "the list")
    .split(/\r?\n/)
    .filter(each => each.trim() !== "" && !each.startsWith("#"))
  if (lines.length === 0 || lines.length > most) throw new Malformed("the list names no file, or too many")
  return named(lines.map(sumOf))
}

function sumOf(text: string): Claim {
  const [, escaped, hash, name] = /^(\\?)([0-9a-fA-F]{64}) [ *](.+)$/su.exec(text) ?? []
  if (hash !== undefined && name !== undefined) return whole(escaped === "" ? name : unescaped(name), hash)
  const [, tagged, digest] = /^SHA256 \((.+)\) = ([0-9a-fA-F]{64})$/su.exec(text) ?? []
  if (tagged !== undefined && digest !== undefined) return whole(tagged, digest)
  throw new Malformed("the list has a line that sha256sum does not write")
}

const unescaped = (name: string): string =>
  name.replace(/\\([\\nr])/g, (_, each: string) => (each === "n" ? "\n" : each === "r" ? "\r" : "\\"))

const whole = (name: string, digest: string): Claim => ({
  ...{ name: name.replace(/^\.\//, ""), digest: digest.toLowerCase() },
  ...{ kind: "sha256", range: "whole" },
})

const listing = z.object({
  format_version: z.literal(1),
  files: z.record(
    line(4096).min(1),
    z.object({ size: count(Number.MAX_SAFE_INTEGER), blob_id: hex(20), lfs_sha256: hex(32).optional() }),
  ),
})

/** The listing of one commit, `trees/<commit>.json`: SHA-256 of large files, Git's SHA-1 of small ones. Throws Malformed. */
export function readListing(bytes: Uint8Array): Claims {
  const { files } = readForeign(listing, bytes, "the listing")
  const entries = Object.entries(files)
  if (entries.length === 0 || entries.length > most) throw new Malformed("the listing names no file, or too many")
  return named(
    entries.map(([name, { blob_id: sha1, lfs_sha256: sha256 }]): Claim => {
      if (sha256 === undefined) return { name, digest: sha1, kind: "git-sha1", range: "whole" }
      return { name, digest: sha256, kind: "sha256", range: "whole" }
    }),
  )
}

function named(claims: readonly Claim[]): Claims {
  if (new Set(claims.map(({ name }) => name)).size !== claims.length) throw new Malformed("the list has a name twice")
  return { claims, ignored: [] }
}
