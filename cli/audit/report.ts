/** How does a supervisor read an audit? One page without scripts. Every string may come from a hostile machine: all are escaped (C39). */
import { type FindingId, findings } from "../../attestation/verify/finding.ts"
import { plainLine } from "../../attestation/wire/text.ts"
import type { Framework } from "./frameworks.ts"
import type { Ground } from "./ground.ts"
import type { Run, Span, Summary } from "./summary.ts"

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

const style = `body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1.2rem;color:#1b1b1b}
h1{font-size:1.7rem;margin-bottom:.3rem}h2{font-size:1.25rem;margin-top:2.6rem;border-bottom:1px solid #ccc}h3{font-size:1rem;margin:0}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25rem .9rem .25rem 0;font-size:.9rem}
thead th{border-bottom:1px solid #ccc;color:#555;font-weight:600}code{font:.75rem ui-monospace,monospace;overflow-wrap:anywhere}
section{border-left:5px solid #bbb;padding:.1rem 0 .1rem 1rem;margin:1.6rem 0;break-inside:avoid}.who th{width:6rem;color:#555;font-weight:600}
section.affirming{border-color:#12652f}section.warning{border-color:#c98a12}section.contraindicated{border-color:#a01818}
.affirming b{color:#12652f}.warning b{color:#8a5a00}.contraindicated b{color:#a01818}.hole td{background:#fff1f0}.faint{color:#666}
.changed td{background:#fff8e1}dt{font-weight:600}dd{margin:0 0 .6rem 0}ul{margin:.3rem 0;padding-left:1.2rem;font-size:.9rem}
@media print{body{margin:0;max-width:none}}`

export function reportOf(summary: Summary, ground: Ground, frameworks: readonly Framework[]): string {
  const { question, attesters, pieces, spans, holes } = summary
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Audit of ${escaped(question.model)}</title><style>${style}</style></head><body>
<h1>What ran: ${escaped(question.model)}</h1>
<p>From <b>${time(question.from)}</b> to <b>${time(question.to)}</b>, on ${attesters.length} machine${attesters.length === 1 ? "" : "s"},
from ${pieces} piece${pieces === 1 ? "" : "s"} of evidence. Check this folder before you read on: <code>sh verify.sh</code>, or <code>assay audit verify .</code></p>
<h2>What ran when, and who stood behind it</h2>
<p class="faint">Times are UTC. Where something else ran than in the span before, on the same machine, it is marked.</p>
${spans.map((each, i) => section(each, before(spans, i))).join("\n")}
<h2>Holes</h2>
<p>An answer counts for ${question.staleSeconds} seconds. Here none did. What ran in a hole is not known.</p>
${
  holes.length === 0
    ? "<p>None.</p>"
    : table(
        ["from", "to", "machine"],
        holes.map(each => [time(each.from), time(each.to), code(each.attester)]),
        "hole",
      )
}
<h2>Who decided what</h2>
${table(
  ["when", "what", "says", "file"],
  ground.decisions.map(each => [time(each.at), escaped(each.kind), escaped(each.about, 200), code(each.file)]),
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

/** The span before `spans[i]` on the same machine. */
const before = (spans: readonly Span[], i: number): Span | undefined => {
  const last = spans[i - 1]
  return last?.attester === spans[i]?.attester ? last : undefined
}

function section(span: Span, last: Span | undefined): string {
  const { from, to, attester, tier, pieces, runs } = span
  const when = from === to ? time(from) : `${time(from)} – ${time(to)}`
  return `<section class="${tier}"><h3>${when} <b>${tier}</b></h3>
<p class="faint">${pieces} piece${pieces === 1 ? "" : "s"} of evidence of machine ${code(attester)}</p>
${who(span)}
${reasons(span.findings)}
${runs.length === 0 ? "<p>None of what is asked for was measured.</p>" : ran(runs, last)}</section>`
}

function who({ authority, pin }: Span): string {
  const word = (of: { readonly name: string; readonly word: string } | null): string =>
    of === null ? "<b>nobody's</b>" : `${escaped(of.name, 80)}<br><span class="faint">${escaped(of.word, 300)}</span>`
  const judged =
    pin === null
      ? ""
      : `<br>version ${pin.version}, proposed by ${escaped(pin.proposed)}, approved by ${escaped(pin.approved.join(", "))}`
  return `<table class="who"><tbody><tr><th>whose hash</th><td>${word(authority.hash)}</td></tr>
<tr><th>whose key</th><td>${word(authority.key)}</td></tr>
<tr><th>whose pin</th><td>${word(authority.pin)}${judged}</td></tr></tbody></table>`
}

/** What holds the verdict down, or is to be known with it. */
function reasons(ids: readonly string[]): string {
  const known = ids.filter((id): id is FindingId => Object.hasOwn(findings, id))
  if (known.length === 0) return ""
  return `<ul>${known.map(id => `<li>${escaped(findings[id].means)} ${code(id)}</li>`).join("")}</ul>`
}

function ran(runs: readonly Run[], last: Span | undefined): string {
  const known = new Set(last?.runs.map(each => JSON.stringify(each)))
  if (last && JSON.stringify(last.runs) === JSON.stringify(runs)) return "<p>What ran is what ran before.</p>"
  const rows = runs.map(each => {
    const look = last && !known.has(JSON.stringify(each)) ? ' class="changed"' : ""
    const cells = [escaped(each.part), escaped(each.subject, 80), escaped(each.version ?? "", 80), code(each.digest)]
    return `<tr${look}>${cells.map(cell => `<td>${cell}</td>`).join("")}</tr>`
  })
  return `<table><thead><tr><th>part</th><th>what</th><th>version</th><th>digest (SHA-256)</th></tr></thead><tbody>
${rows.join("\n")}
</tbody></table>`
}

/** A moment as people read it, in UTC. */
const time = (text: string): string => escaped(text).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d).*$/, "$1 $2")

const code = (text: string): string => `<code>${escaped(text)}</code>`

/** Cells are HTML already. */
function table(heads: readonly string[], rows: readonly (readonly string[])[], look = ""): string {
  const cells = (row: readonly string[], tag: "td" | "th"): string =>
    row.map(each => `<${tag}>${each}</${tag}>`).join("")
  const body = rows.map(row => `<tr${look === "" ? "" : ` class="${look}"`}>${cells(row, "td")}</tr>`).join("\n")
  return `<table><thead><tr>${cells(heads, "th")}</tr></thead><tbody>\n${body}\n</tbody></table>`
}
