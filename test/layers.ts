/**
 * Which room may import which, and what else must every source keep to? A table and a pure function over sources;
 * architecture.test.ts gives it the tree, architecture.mutation.test.ts gives it what must not pass.
 */
import { dirname, join } from "node:path/posix"
import { parseSource, type Import, type Parsed } from "./source.ts"

/** A file of the tree: its path from the root, with slashes, and its text. */
export type SourceFile = { readonly path: string; readonly source: string }
export type Rule = "layer" | "pure" | "crypto" | "length" | "sources" | "name" | "double" | "entry"
export type Violation = { readonly rule: Rule; readonly path: string; readonly message: string }

const pure = ["node:crypto", "zod"]
const room = (...names: string[]): string[] => names.map(name => `attestation/${name}`)

/** Room → what it may import besides itself. Arrows point down only. The longest name that fits a file is its room. */
export const layers: Readonly<Record<string, readonly string[]>> = {
  "attestation/wire": pure,
  "attestation/tcg": [...room("wire"), ...pure],
  "attestation/protocol": [...room("wire", "tcg"), ...pure],
  "attestation/pins": [...room("wire", "tcg", "protocol"), ...pure],
  "attestation/vault": [...room("wire", "tcg", "protocol", "pins"), ...pure],
  // biome-ignore format: one row, two kinds
  "attestation/pins/layers": [
    ...room("wire", "tcg", "protocol"), ...pure, "@sigstore/verify", "@sigstore/bundle", "@sigstore/protobuf-specs",
  ],
  "attestation/verify": [...room("wire", "tcg", "protocol", "pins"), ...pure],
  "attestation/appraise": [...room("wire", "tcg", "protocol", "pins", "verify"), ...pure],
  "node-tpm2": ["node:", "koffi"],
  wasm: ["node:"],
  local: ["attestation/wire", "node:", "zod", "smol-toml"],
  channel: [...room("wire", "protocol"), "node:", "ws"],
  agent: [
    "attestation",
    "local",
    "channel",
    "wasm",
    "agent/broker/verbs.ts",
    "agent/broker/spawn.ts",
    "agent/reader/ask.ts",
    "agent/reader/verbs.ts",
    "node:",
    "ws",
    "zod",
    "smol-toml",
    "@noble/ed25519",
  ],
  "agent/broker": ["attestation", "local", "agent", "node-tpm2", "node:", "zod", "smol-toml", "@noble/ed25519"],
  "agent/reader": ["attestation/wire", "local", "agent", "node:", "zod"],
  collector: ["attestation", "local", "channel", "node:", "ws", "zod", "smol-toml"],
  // biome-ignore format: one row, two kinds
  cli: [
    "attestation", "agent", "agent/broker", "collector", "local", "channel", "node-tpm2", "wasm",
    "package.json", "node:", "commander", "ws", "zod", "smol-toml", "@noble/ed25519", "systeminformation",
  ],
}

/** Here files may be as long as their tables. */
const tables: ReadonlySet<string> = new Set<string>(["attestation/verify/finding.ts"])
const longest = 300

const words = (text: string): ReadonlySet<string> => new Set(text.trim().split(/\s+/))

/** What `attestation/` may take from node:crypto: it computes, it draws no lots. */
const cryptoNames = words(`
  createHash createHmac hash verify timingSafeEqual createPublicKey createPrivateKey KeyObject X509Certificate
  publicEncrypt constants createCipheriv createDecipheriv diffieHellman
`)

/** Names under which the clock, chance, the environment and the world are found without an import. */
const world = words(`
  process console performance crypto navigator globalThis global require eval Function setTimeout setInterval
  setImmediate queueMicrotask fetch WebSocket EventSource Intl Temporal WeakRef FinalizationRegistry localStorage
  sessionStorage
`)

/** Members that are the world's too: by object where there is one, on any object where the object is `*`. */
const worldly = words(`
  Date.now Math.random Buffer.allocUnsafe Buffer.allocUnsafeSlow *.localeCompare *.toLocaleString *.toLocaleDateString
  *.toLocaleTimeString *.toLocaleLowerCase *.toLocaleUpperCase *.getTimezoneOffset
`)

/** Programs of the maintainers, run by hand in a checkout, and no part of a bundle. */
const byHand: ReadonlySet<string> = new Set(["node-tpm2/generate.mjs", "wasm/build.ts", "wasm/generate.ts"])

const nameless = /(?:^|\/)(?:utils?|helpers?|common|misc|shared|managers?|services?|handlers?|types)(?:\/|\.m?[tj]s$)/

const isProduct = (path: string): boolean => roomOf(path) !== undefined
const isTheory = (path: string): boolean => path.startsWith("attestation/")

/** The room of a path: the longest row of the table that holds it. */
const roomOf = (path: string): string | undefined =>
  Object.keys(layers)
    .filter(name => path.startsWith(`${name}/`))
    .toSorted((a, b) => b.length - a.length)[0]

/** Everything that is wrong with these sources. */
export function check(files: readonly SourceFile[]): Violation[] {
  return [...files.flatMap(checkFile), ...unlistedSources(files)]
}

function checkFile(file: SourceFile): Violation[] {
  const parsed = parseSource(file.path, file.source)
  return [
    ...parsed.imports.flatMap(each => checkImport(file.path, each)),
    ...(isTheory(file.path) ? impurities(file.path, parsed) : []),
    ...misplacedEntries(file.path, parsed),
    ...tooLong(file),
    ...illNamed(file.path),
  ]
}

function checkImport(path: string, { from, names }: Import): Violation[] {
  const target = from.startsWith(".") ? join(dirname(path), from) : from
  if (isProduct(path) && /^(?:test|scripts)\//.test(target))
    return [violation("double", path, `imports ${target}; what the product needs belongs into a room of the product`)]
  return [...outOfLayer(path, target), ...(target === "node:crypto" ? beyondCrypto(path, names) : [])]
}

function outOfLayer(path: string, target: string): Violation[] {
  const own = roomOf(path)
  if (own === undefined) return isTool(path) ? [] : [strange(path)]
  const allowed = [own, ...(layers[own] ?? [])]
  if (allowed.some(name => admits(name, target))) return []
  const line = `"${own}": [… "${roomOf(target) ?? target}"]`
  return [violation("layer", path, `imports ${target}; if that is meant, this line of test/layers.ts grows: ${line}`)]
}

/**
 * Does this entry of a row let the target in? A room admits its own files, not those of a room within it; a folder of
 * rooms (`attestation`) admits them all; `node:` admits every built-in module, a package its subpaths.
 */
function admits(entry: string, target: string): boolean {
  if (entry === target || (entry.endsWith(":") && target.startsWith(entry))) return true
  const home = roomOf(target)
  if (home === undefined) return target.startsWith(`${entry}/`)
  return home === entry || (!(entry in layers) && home.startsWith(`${entry}/`))
}

const isTool = (path: string): boolean => /^(?:test|scripts)\/|^[^/]+$/.test(path)

const strange = (path: string): Violation =>
  violation("layer", path, `belongs to no room; add its folder to test/layers.ts: "${dirname(path)}": []`)

function beyondCrypto(path: string, names: readonly string[]): Violation[] {
  if (!isTheory(path)) return []
  return names
    .filter(name => !cryptoNames.has(name))
    .map(name =>
      violation("crypto", path, `takes ${name} from node:crypto; cryptoNames in test/layers.ts lists what is pure`),
    )
}

function impurities(path: string, { globals, members, bareDates, computedImports }: Parsed): Violation[] {
  const touched = [
    ...globals.filter(name => world.has(name)),
    ...members.filter(member => worldly.has(member) || worldly.has(member.replace(/^.*\./, "*."))),
    ...bareDates,
    ...computedImports,
  ]
  return [...new Set(touched)].map(name =>
    violation(
      "pure",
      path,
      `touches ${name}; take what it gives as an argument, so that the same input has one outcome`,
    ),
  )
}

function misplacedEntries(path: string, { ownUrls }: Parsed): Violation[] {
  if (!isProduct(path) || byHand.has(path)) return []
  return ownUrls
    .filter(url => /\.m?[tj]s$/.test(url))
    .map(url =>
      violation(
        "entry",
        path,
        `names ${url} by URL, which a bundle lacks; add a row to local/entry.ts: name: "${join(dirname(path), url)}"`,
      ),
    )
}

function tooLong({ path, source }: SourceFile): Violation[] {
  const lines = source.split("\n").length - 1
  if (!isProduct(path) || lines <= longest || tables.has(path) || written.test(source.slice(0, 300))) return []
  return [violation("length", path, `has ${lines} lines, more than ${longest}; split it along a noun of the domain`)]
}

/** How a generated file says so in its first lines. */
const written = /\bwritten by \S+|\bgenerated by \S+/i

function illNamed(path: string): Violation[] {
  if (!nameless.test(path)) return []
  return [
    violation(
      "name",
      path,
      "is named after no noun of the domain; a function without a home belongs beside its caller",
    ),
  ]
}

/** The order of extends is part of the evidence, so each source is written into the list, not discovered. */
function unlistedSources(files: readonly SourceFile[]): Violation[] {
  const index = "agent/sources/index.ts"
  const listed = files.filter(({ path }) => path === index).flatMap(file => parseSource(file.path, file.source).imports)
  return files
    .map(({ path }) => /^agent\/sources\/([^/]+\.ts)$/.exec(path)?.[1] ?? "index.ts")
    .filter(name => !["index.ts", "source.ts"].includes(name) && !listed.some(({ from }) => from === `./${name}`))
    .map(name =>
      violation("sources", `agent/sources/${name}`, `is measured by nobody; add to ${index}: ${lineFor(name)}`),
    )
}

const lineFor = (name: string): string =>
  `import { ${name.replace(/\.ts$/, "").replace(/-(.)/g, (_, letter: string) => letter.toUpperCase())} } from "./${name}"`

const violation = (rule: Rule, path: string, what: string): Violation => ({ rule, path, message: `${path} ${what}` })
