/**
 * What does this source import, and which names does it use that it did not make? Read from its syntax tree, so that
 * comments and strings do not count. What of it is allowed stands in layers.ts.
 */
import { parseAst } from "rolldown/parseAst"

/** One import or re-export, of values or of types: from where, and which names (`*`: all of them). */
export type Import = { readonly from: string; readonly names: readonly string[] }
export type Parsed = {
  readonly imports: readonly Import[]
  /** Names in places where a value is read. A local of the same name counts too: give it another. */
  readonly globals: readonly string[]
  /** `object.member`, with `*` for an object that is no plain name. */
  readonly members: readonly string[]
  /** `new Date()` and `Date()`: the clock. */
  readonly bareDates: readonly string[]
  /** Imports whose target is computed, and `import.meta`. */
  readonly computedImports: readonly string[]
  /** What is named by `new URL("…", import.meta.url)`. */
  readonly ownUrls: readonly string[]
}

type Node = { readonly type: string; readonly [key: string]: unknown }

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string"

const nodes = (value: unknown): Node[] => (Array.isArray(value) ? value.filter(isNode) : isNode(value) ? [value] : [])

/** The text of a string literal or of a template without holes. */
function text(value: unknown): string | undefined {
  if (!isNode(value)) return undefined
  if (value.type === "Literal" && typeof value["value"] === "string") return value["value"]
  const [only, ...more] = nodes(value["quasis"])
  if (value.type !== "TemplateLiteral" || more.length > 0 || only === undefined) return undefined
  const cooked: unknown = Object(only["value"])
  return typeof cooked === "object" && cooked !== null && "cooked" in cooked ? String(cooked.cooked) : undefined
}

const nameOf = (value: unknown): string => {
  if (!isNode(value)) return "*"
  return value.type === "Identifier" && typeof value["name"] === "string" ? value["name"] : (text(value) ?? "*")
}

const isMeta = (value: unknown): boolean =>
  isNode(value) && value.type === "MetaProperty" && nameOf(value["meta"]) === "import"

/** Reads a source. @throws SyntaxError if it is no TypeScript. */
export function parseSource(path: string, source: string): Parsed {
  const found = { imports: [], globals: [], members: [], bareDates: [], computedImports: [], ownUrls: [] }
  const parsed: { [K in keyof Parsed]: Parsed[K][number][] } = found
  const program: unknown = parseAst(source, { lang: path.endsWith(".ts") ? "ts" : "js" })
  const pending: Node[] = nodes(program)
  for (let node = pending.pop(); node !== undefined; node = pending.pop()) {
    collect(node, parsed)
    pending.push(...children(node))
  }
  return parsed
}

/** The nodes below, less those that only name a member, a key, or what another module calls its own. */
function children(node: Node): Node[] {
  const skipped = node["computed"] === true ? [] : (mute[node.type] ?? [])
  return Object.entries(node).flatMap(([key, value]) => (skipped.includes(key) ? [] : nodes(value)))
}

const mute: Readonly<Record<string, readonly string[]>> = {
  MemberExpression: ["property"],
  Property: ["key"],
  MethodDefinition: ["key"],
  PropertyDefinition: ["key"],
  AccessorProperty: ["key"],
  TSAbstractMethodDefinition: ["key"],
  TSAbstractPropertyDefinition: ["key"],
  TSPropertySignature: ["key"],
  TSMethodSignature: ["key"],
  TSQualifiedName: ["right"],
  ImportSpecifier: ["imported"],
  ExportSpecifier: ["exported"],
  LabeledStatement: ["label"],
  BreakStatement: ["label"],
  ContinueStatement: ["label"],
  MetaProperty: ["meta", "property"],
  TSImportType: ["qualifier"],
}

function collect(node: Node, into: { [K in keyof Parsed]: Parsed[K][number][] }): void {
  into.imports.push(...importsOf(node))
  if (node.type === "Identifier") into.globals.push(nameOf(node))
  if (node.type === "MemberExpression") into.members.push(`${plainName(node["object"])}.${nameOf(node["property"])}`)
  if (isCall(node, "Date") && nodes(node["arguments"]).length === 0) into.bareDates.push("the clock through Date()")
  if (node.type === "ImportExpression" && text(node["source"]) === undefined)
    into.computedImports.push("a computed import")
  if (isMeta(node)) into.computedImports.push("import.meta")
  if (isCall(node, "URL")) into.ownUrls.push(...ownUrl(node))
}

const plainName = (value: unknown): string => (isNode(value) && value.type === "Identifier" ? nameOf(value) : "*")

const isCall = (node: Node, name: string): boolean =>
  (node.type === "NewExpression" || node.type === "CallExpression") && plainName(node["callee"]) === name

function ownUrl(node: Node): string[] {
  const [file, base] = nodes(node["arguments"])
  const named = text(file)
  return named !== undefined && base?.type === "MemberExpression" && isMeta(base["object"]) ? [named] : []
}

function importsOf(node: Node): Import[] {
  const from = text(node["source"]) ?? text(node["expression"]) ?? text(nodes(node["arguments"])[0])
  if (from === undefined) return []
  switch (node.type) {
    case "ImportDeclaration":
    case "ExportNamedDeclaration":
      return [{ from, names: nodes(node["specifiers"]).map(specified) }]
    case "ExportAllDeclaration":
    case "ImportExpression":
    case "TSExternalModuleReference":
      return [{ from, names: ["*"] }]
    case "TSImportType":
      return [{ from, names: [nameOf(node["qualifier"])] }]
    default:
      return isCall(node, "require") ? [{ from, names: ["*"] }] : []
  }
}

/** The name by which the other module knows it. */
function specified(specifier: Node): string {
  if (specifier.type === "ImportSpecifier") return nameOf(specifier["imported"])
  if (specifier.type === "ExportSpecifier") return nameOf(specifier["local"])
  return "*"
}
