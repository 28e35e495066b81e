/**
 * Which bytes does a layer speak of? Each layer of provenance (publisher, ecosystem, firm) comes down to a list: this digest
 * belongs to this name, or to this range of it. Here such a list is compared with the files of a model. Who says so, and
 * whether anybody signed it, are two other questions: `signature.ts`, `layer.ts`.
 */

/** What somebody says of bytes: all of a file, or the bytes from `from` up to `to`. Digests in hex. */
export type Claim = {
  readonly name: string
  readonly digest: string
  readonly kind: "sha256" | "git-sha1"
  readonly range: "whole" | { readonly from: number; readonly to: number }
}

/** All that one source says: its claims, and the names (files, or folders with what is below) of which it says to say nothing. */
export type Claims = { readonly claims: readonly Claim[]; readonly ignored: readonly string[] }

/** A file of the model as it was hashed; `name` is its path within the model. */
export type File = { readonly name: string; readonly size: number; readonly sha256: string }

/** Digests that were made of the bytes besides the SHA-256 of whole files: {@link keyOf} a claim → hex. */
export type Digests = ReadonlyMap<string, string>

/** What a digest besides the whole file's SHA-256 is kept under. */
export const keyOf = ({ name, kind, range }: Claim): string =>
  range === "whole" ? `${kind} ${name}` : `${kind} ${range.from}-${range.to} ${name}`

/** The claims that the SHA-256 of whole files does not settle: somebody must read these bytes. */
export const toRead = ({ claims }: Claims, files: readonly File[]): Claim[] => {
  const there = new Set(files.map(({ name }) => name))
  return claims.filter(claim => there.has(claim.name) && (claim.kind !== "sha256" || claim.range !== "whole"))
}

/** differs: the bytes are others; missing: no such file; uncovered: a file, or a part of it, of which nothing is said. */
export type Difference = { readonly how: "differs" | "missing" | "uncovered"; readonly name: string }

/**
 * match: every file is covered, and each digest is right. partly: what is covered is right. differ: something is not.
 * `weak` counts the files that only a SHA-1 covers; `ignored` those that the source says to leave out.
 */
export type Compared = {
  readonly verdict: "match" | "partly" | "differ" | "not checked"
  readonly covered: number
  readonly of: number
  readonly weak: number
  readonly ignored: number
  readonly differences: readonly Difference[]
}

/** The comparison of a source whose claims cannot be read. */
export const notChecked = (files: readonly File[]): Compared => ({
  ...{ verdict: "not checked", covered: 0, of: files.length, weak: 0, ignored: 0 },
  differences: [],
})

/** How the claims fit the files. A claim without a digest in `digests` that needs one counts as a difference, never as a match. */
export function compareClaims(source: Claims, files: readonly File[], digests: Digests): Compared {
  const about = Map.groupBy(source.claims, ({ name }) => name)
  const found = files.map(file => ({ file, how: compareFile(file, about.get(file.name) ?? [], digests) }))
  const ignored = found.filter(({ file, how }) => how === "uncovered" && isIgnored(file.name, source.ignored))
  const uncovered = found.filter(each => each.how === "uncovered" && !ignored.includes(each))
  const differ = found.filter(({ how }) => how === "differs")
  const names = new Set(files.map(({ name }) => name))
  const missing = [...about.keys()].filter(name => !names.has(name))
  const covered = found.filter(({ how }) => how === "match" || how === "weak").length
  return {
    verdict: verdictOf(differ.length + missing.length, uncovered.length, covered),
    covered,
    of: files.length,
    weak: found.filter(({ how }) => how === "weak").length,
    ignored: ignored.length,
    differences: [
      ...differ.map(({ file }): Difference => ({ how: "differs", name: file.name })),
      ...missing.map((name): Difference => ({ how: "missing", name })),
      ...uncovered.map(({ file }): Difference => ({ how: "uncovered", name: file.name })),
    ],
  }
}

function verdictOf(wrong: number, uncovered: number, covered: number): Compared["verdict"] {
  if (wrong > 0) return "differ"
  if (covered === 0) return "not checked"
  return uncovered > 0 ? "partly" : "match"
}

type How = "match" | "weak" | "differs" | "uncovered"

function compareFile(file: File, claims: readonly Claim[], digests: Digests): How {
  if (claims.length === 0) return "uncovered"
  const right = claims.every(claim => digestOf(claim, file, digests) === claim.digest)
  if (!right) return "differs"
  if (!coversAll(file, claims)) return "uncovered"
  return claims.some(({ kind }) => kind === "sha256") ? "match" : "weak"
}

const digestOf = (claim: Claim, file: File, digests: Digests): string | undefined =>
  claim.kind === "sha256" && claim.range === "whole" ? file.sha256 : digests.get(keyOf(claim))

/** Ranges follow one another from the first byte to the last. */
function coversAll({ size }: File, claims: readonly Claim[]): boolean {
  if (claims.some(({ range }) => range === "whole")) return true
  const ranges = claims.flatMap(({ range }) => (range === "whole" ? [] : [range])).toSorted((a, b) => a.from - b.from)
  let end = 0
  for (const { from, to } of ranges) {
    if (from > end) return false
    end = Math.max(end, to)
  }
  return end >= size
}

/** A file that is named, or lies below a folder that is. */
const isIgnored = (name: string, ignored: readonly string[]): boolean =>
  ignored.some(each => each === name || name.startsWith(`${each.replace(/\/+$/, "")}/`))
