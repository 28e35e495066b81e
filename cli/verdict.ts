/**
 * How does a person read a verdict? Each part with its tier, then each finding with what was seen, what was wanted and what
 * to do. Judging is done in `attestation/appraise`; every string here may come from an attester and is shown as plain text.
 */
import type { Authority } from "../attestation/appraise/authority.ts"
import type { Component, Tier } from "../attestation/appraise/appraise.ts"
import type { LoadedFile } from "../attestation/appraise/loaded.ts"
import { type Effect, type Finding, findings } from "../attestation/verify/finding.ts"
import { type Look, type Output, plain, wrapped } from "./terminal.ts"

export const lookOf: Readonly<Record<Tier, Look>> = {
  affirming: "good",
  warning: "doubtful",
  none: "faint",
  contraindicated: "bad",
}

const marks: Readonly<Record<Effect, readonly [mark: string, look: Look]>> = {
  refuses: ["✗", "bad"],
  contraindicates: ["✗", "bad"],
  warns: ["!", "doubtful"],
  notes: ["·", "faint"],
}
const order: readonly Effect[] = ["refuses", "contraindicates", "warns", "notes"]

/** The column in which values stand. */
const column = 14

/** "  name        value", the value as it is given. */
export const row = (out: Output, name: string, value: string): void =>
  out.write(`  ${out.style("faint", name.padEnd(column - 2))}${value}\n`)

/** A line for each component, then the overall tier. */
export function writeComponents(out: Output, tier: Tier, components: readonly Component[]): void {
  for (const each of components) {
    const name = out.style("faint", plain(each.name, 32).padEnd(column - 2))
    const says = wrapped(plain(each.says), out.width - column - 17, column + 17)
    out.write(`  ${name}${out.style(lookOf[each.tier], each.tier.padEnd(17))}${says}\n`)
  }
  row(out, "overall", out.style("strong", out.style(lookOf[tier], tier)))
}

/** Which weights servers had loaded: each file with the evidence of its use, whose word that is, and its digest. */
export function writeLoaded(out: Output, files: readonly LoadedFile[]): void {
  for (const [server, own] of Map.groupBy(files, each => each.server)) {
    out.write("\n")
    row(out, "loaded", plain(server, 200))
    for (const { path, by, grade, digest, says } of own.slice(0, most)) {
      row(out, "", plain(path, 200))
      const role = says.startsWith("measured") || says.startsWith("sha256:") ? "" : `, ${says.split(", ")[0] ?? ""}`
      row(out, "", `  ${out.style("strong", by.join(", ") || "by nothing that holds")}${plain(role, 200)}`)
      row(out, "", `  ${grade}  ${digest === "unknown" ? "no digest: measured by nobody" : digest}`)
    }
    if (own.length > most) row(out, "", `… and ${own.length - most} more (--json lists all)`)
  }
}

/** Whose hash, whose key, whose pin: a name and its word, or that there is none. */
export function writeAuthority(out: Output, authority: Authority): void {
  for (const question of ["hash", "key", "pin"] as const) {
    const { name, word } = authority[question] ?? {}
    const said = name === undefined ? out.style("doubtful", "nobody") : `${plain(name, 100)}: ${plain(word ?? "", 300)}`
    row(out, `whose ${question}`, wrapped(said, out.width - column, column))
  }
}

/** Every finding, the gravest first; findings of one id stand under one heading. */
export function writeFindings(out: Output, found: readonly Finding[]): void {
  const ids = [...new Set(found.map(each => each.id))]
  const byGravity = ids.toSorted((a, b) => gravity(a) - gravity(b))
  for (const id of byGravity)
    writeGroup(
      out,
      id,
      found.filter(each => each.id === id),
    )
}

const gravity = (id: Finding["id"]): number => order.indexOf(findings[id].effect)

function writeGroup(out: Output, id: Finding["id"], found: readonly Finding[]): void {
  const { effect, means, fix } = findings[id]
  const [mark, look] = marks[effect]
  const head = `${out.style(look, `${mark} ${id}`)}  `
  out.write(`\n  ${head}${wrapped(means, out.width - id.length - 6, 4)}\n`)
  for (const each of found.slice(0, most)) writeFinding(out, each)
  if (found.length > most) out.write(`      … and ${found.length - most} more (--json lists all)\n`)
  out.write(`    ${out.style("strong", "→")} ${wrapped(fix, out.width - 8, 6)}\n`)
}

/** How many findings of one id a person is shown. */
const most = 12

function writeFinding(out: Output, { component, seen, wanted }: Finding): void {
  const name = plain(component, 200)
  const line = `${name}: ${plain(seen, 200)}; wanted: ${plain(wanted, 200)}`
  if (line.length + 6 <= out.width) return out.write(`      ${line}\n`)
  const value = (text: string): string => wrapped(plain(text, 500), out.width - 16, 16)
  out.write(`      ${name}\n        ${out.style("faint", "seen")}    ${value(seen)}\n`)
  out.write(`        ${out.style("faint", "wanted")}  ${value(wanted)}\n`)
}

/** A finding with what the table says about it, for scripts. */
export const told = (each: Finding): Finding & { effect: Effect; means: string; fix: string } => ({
  ...each,
  effect: findings[each.id].effect,
  means: findings[each.id].means,
  fix: findings[each.id].fix,
})
