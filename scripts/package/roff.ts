/** How is text set as a manual page? man(7) macros, with every character that roff would take for its own escaped. */

/** A page: its name in lower case, its section, one line of what it is, and the body in macros. */
export type Page = {
  readonly name: string
  readonly section: 1 | 5 | 8
  readonly says: string
  readonly body: readonly string[]
}

/** The page's source. `date` (like 2026-01-31) and `source` (like assay 0.1.0) stand in its margins. */
export const pageOf = ({ name, section, says, body }: Page, date: string, source: string): string =>
  [
    `.TH "${name.toUpperCase()}" "${section}" "${date}" "${source}" "Assay"`,
    ".SH NAME",
    `${set(name)} \\- ${set(says)}`,
    ...body,
    "",
  ].join("\n")

/** Plain text on a line of its own: no request, no escape. */
export const set = (text: string): string =>
  text
    .replaceAll("\\", "\\e")
    .replaceAll("-", "\\-")
    .replaceAll(/[^\n -~]/gu, each => `\\[u${(each.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0")}]`)
    .replace(/^([.'])/gm, "\\&$1")

export const bold = (text: string): string => `\\fB${set(text)}\\fR`

/** Markdown of one line, as the pages under docs use it: code in bold, a link as its text. */
export const inline = (markdown: string): string =>
  markdown
    .replace(/\[([^\]]+)\]\([^)]+\)/g, "$1")
    .split(/(`[^`]+`)/)
    .map(part => (part.startsWith("`") && part.length > 1 ? bold(part.slice(1, -1)) : set(part)))
    .join("")
    .replace(/^([.'])/, "\\&$1")

/** A tagged paragraph. */
export const tagged = (tag: string, text: string): string[] => [".TP", bold(tag), text]

/** Lines as they are, indented. */
export const verbatim = (lines: readonly string[]): string[] => [".RS 4", ".nf", ...lines.map(set), ".fi", ".RE"]
