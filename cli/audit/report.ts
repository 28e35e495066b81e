/** How does a supervisor read an audit? One page without scripts. Every string may come from a hostile machine: all are escaped (C39). */
import { plainLine } from "../../attestation/wire/text.ts"
import type { Framework } from "./frameworks.ts"
import { parts, type Span, type Summary } from "./summary.ts"

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}
/** Text as HTML shows it: nothing in it is markup, nothing hides. */
export const escaped = (text: string, max = 400): string =>
  plainLine(text, max).replace(/[&<>"']/g, character => entities[character] ?? "")

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
h1{font-size:1.6rem}h2{font-size:1.2rem;margin-top:2.2rem;border-bottom:1px solid #ccc}table{border-collapse:collapse;width:100%}
th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid #e3e3e3;font-size:.9rem}
code{font:.8rem ui-monospace,monospace;overflow-wrap:anywhere}.affirming{color:#12652f}.warning{color:#8a5a00}
.contraindicated{color:#a01818}.hole{background:#fff1f0}dt{font-weight:600}dd{margin:0 0 .6rem 0}
@media print{body{margin:0;max-width:none}}`

/** What else the report shows: where the tree stands, and who stands behind it. */
export type Ground = {
  readonly origin: string
  readonly size: number
  readonly root: string
  readonly witnesses: readonly string[]
  readonly stamped: boolean
  readonly made: string
  readonly decisions: readonly {
    readonly position: number
    readonly kind: string
    readonly at: string
    readonly file: string
  }[]
}

export function reportOf(summary: Summary, ground: Ground, frameworks: readonly Framework[]): string {
  const { question, attesters, pieces, spans, holes } = summary
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Audit of ${escaped(question.model)}</title><style>${style}</style></head><body>
<h1>What ran: ${escaped(question.model)}</h1>
<p>From <b>${escaped(question.from)}</b> to <b>${escaped(question.to)}</b>, on ${attesters.length} machine${attesters.length === 1 ? "" : "s"},
from ${pieces} pieces of evidence. Check this folder before you read on: <code>sh verify.sh</code>, or <code>assay audit verify .</code></p>
<h2>What ran when, and who stood behind it</h2>
${table(["from – to", "machine", "verdict", "what ran (digest)", "whose hash", "whose key", "whose pin, approved by"], spans.map(spanRow))}
<h2>Holes</h2>
<p>An answer counts for ${question.staleSeconds} seconds. Here none did. What ran in a hole is not known.</p>
${
  holes.length === 0
    ? "<p>None.</p>"
    : table(
        ["from", "to", "machine"],
        holes.map(each => [escaped(each.from), escaped(each.to), code(each.attester)]),
        "hole",
      )
}
<h2>Who decided what</h2>
${table(
  ["when", "what", "file"],
  ground.decisions.map(each => [escaped(each.at), escaped(each.kind), code(each.file)]),
)}
<h2>What holds this together</h2>
<dl><dt>The vault</dt><dd>${escaped(ground.origin)}, ${ground.size} leaves, root <code>${escaped(ground.root)}</code></dd>
<dt>Witnesses</dt><dd>${ground.witnesses.length === 0 ? "none: the vault's owner alone signed. Nobody else would have seen it rewritten." : ground.witnesses.map(each => escaped(each)).join(", ")}</dd>
<dt>Time stamp</dt><dd>${ground.stamped ? "RFC 3161, in vault/checkpoint.tsr" : "none: when this existed is the collector's word"}</dd></dl>
<h2>What each statement asserts, and what it does not</h2>
${assertions}
<h2>Frameworks</h2>
<p>A table of which controls people map this to, with the day on which each row was written. It is data to edit, and claims no compliance.</p>
${table(
  ["framework", "control", "what here speaks to it", "as of"],
  frameworks.map(each => [each.framework, each.control, each.evidence, each.asOf].map(text => escaped(text))),
)}
<p>Made ${escaped(ground.made)}.</p></body></html>
`
}

const assertions = `<dl>
<dt>Evidence</dt><dd>A TPM with this attestation key quoted these PCRs, and the log replays to one of them. It does not say that the
agent told the truth about what it measured, unless the kernel measured it too.</dd>
<dt>A verdict</dt><dd>This verifier compared it with that reference or pin and found so much. It does not say that the model behaves well.</dd>
<dt>An approval</dt><dd>The holder of this key signed this text. Which person that is, the policy says.</dd>
<dt>A leaf with its proof</dt><dd>These bytes were in the vault when the checkpoint was signed. It does not say that they are true.</dd>
<dt>A cosignature</dt><dd>Somebody else saw that the vault only grew. It does not say that anything was put into it.</dd>
<dt>A hole</dt><dd>Nobody answered. It does not say that anything else ran.</dd></dl>`

function spanRow({ from, to, attester, tier, runs, authority, pin, pieces }: Span): string[] {
  const ran = parts.flatMap(part =>
    runs
      .filter(each => each.part === part)
      .slice(0, 8)
      .map(each => `${part} ${escaped(each.subject, 60)} ${code(each.digest)}`),
  )
  const word = (of: { readonly name: string; readonly word: string } | null): string =>
    of === null ? "<b>nobody's</b>" : `${escaped(of.name, 80)}<br>${escaped(of.word, 120)}`
  const approved = pin === null ? "" : `<br>version ${pin.version}, approved by ${escaped(pin.approved.join(", "))}`
  return [
    `${escaped(from)}<br>${escaped(to)}<br>${pieces} pieces`,
    code(attester.slice(0, 20)),
    `<span class="${tier}">${tier}</span>`,
    ran.join("<br>"),
    word(authority.hash),
    word(authority.key),
    `${word(authority.pin)}${approved}`,
  ]
}

const code = (text: string): string => `<code>${escaped(text)}</code>`

/** Cells are HTML already. */
function table(heads: readonly string[], rows: readonly (readonly string[])[], look = ""): string {
  const cells = (row: readonly string[], tag: "td" | "th"): string =>
    row.map(each => `<${tag}>${each}</${tag}>`).join("")
  const body = rows.map(row => `<tr${look === "" ? "" : ` class="${look}"`}>${cells(row, "td")}</tr>`).join("\n")
  return `<table><thead><tr>${cells(heads, "th")}</tr></thead><tbody>\n${body}\n</tbody></table>`
}
