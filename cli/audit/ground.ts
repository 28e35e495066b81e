/**
 * What else does an audit's report show than what ran: where the tree stands, who saw it, and who decided what? Read from the folder itself,
 * so that whoever has the folder writes the same report. What ran: `summary.ts`.
 */
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { cosignersOf, readWitnessKey, type Signed } from "../../attestation/vault/checkpoint.ts"
import { readLeaf } from "../../attestation/vault/leaf.ts"
import { toHex } from "../../attestation/wire/text.ts"

export type Decided = {
  readonly at: string
  readonly kind: string
  /** what it says of itself, in a line */
  readonly about: string
  readonly file: string
}

export type Ground = {
  readonly origin: string
  readonly size: number
  readonly root: string
  readonly witnesses: readonly string[]
  readonly stamped: boolean
  readonly made: string
  readonly decisions: readonly Decided[]
}

/** A file of the folder that is a leaf. */
export type Row = { readonly position: number; readonly kind: string; readonly file: string }

/** The ground of the folder at `path`, whose leaves are `rows`, made at `made`. Throws where a file is not there. */
export function groundIn(path: string, { checkpoint, note }: Signed, rows: readonly Row[], made: string): Ground {
  const witnesses = readFileSync(join(path, "vault/witnesses"), "utf8")
    .split("\n")
    .filter(each => each !== "")
  const decisions = rows.filter(({ file }) => file.startsWith("decisions/")).toSorted((a, b) => a.position - b.position)
  return {
    ...{ origin: checkpoint.origin, size: checkpoint.size, root: toHex(checkpoint.root), made },
    stamped: existsSync(join(path, "vault/checkpoint.tsr")),
    witnesses: cosignersOf(note, witnesses.map(readWitnessKey)).map(
      ({ witness, seconds }) => `${witness.name} at ${new Date(seconds * 1000).toISOString()}`,
    ),
    decisions: decisions.map(row => decidedIn(path, row)),
  }
}

function decidedIn(path: string, { position, kind, file }: Row): Decided {
  const { at } = readLeaf(new Uint8Array(readFileSync(join(path, `vault/proofs/${position}.leaf`))))
  return { at, kind, file, about: aboutOf(readFileSync(join(path, file), "utf8")) }
}

const told = [
  "gap",
  "label",
  "name",
  "secret",
  "tier",
  "why",
  "maker",
  "owner",
  "closes",
  "before",
  "retention",
  "by",
  "reason",
] as const

/** The origin, version and change of a note; who signed an approval; the telling members of whatever is JSON. */
export function aboutOf(text: string): string {
  if (text.startsWith("{")) return aboutMembers(text)
  const [first = ""] = text.split("\n", 1)
  const field = (name: string): string => new RegExp(`^${name} (.*)$`, "m").exec(text)?.[1] ?? ""
  const signer = /^— (\S+) /m.exec(text)?.[1] ?? ""
  if (first.startsWith("sha256:")) return `${signer} signed ${first.slice(0, 23)}…`
  return [first, field("version") && `version ${field("version")}`, field("change")].filter(Boolean).join(", ")
}

function aboutMembers(text: string): string {
  try {
    const members: Record<string, unknown> = { ...JSON.parse(text) }
    return told.flatMap(name => (typeof members[name] === "string" ? [`${name} ${members[name]}`] : [])).join(", ")
  } catch {
    return ""
  }
}
