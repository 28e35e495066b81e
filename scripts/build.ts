/**
 * How does the tree become a bundle that runs without node_modules and without type stripping? The bundle keeps the
 * folders of the tree: what looks for a file beside itself finds it there. What goes into it stands in entries.ts.
 */
import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { type OutputChunk, rolldown } from "rolldown"
import { assets, inputs, natives, placed, replaced, withoutEnding } from "./entries.ts"

const root = join(import.meta.dirname, "..")

/** What a build consists of: paths from `out`, in byte order; and the folders under node_modules that code came from. */
export type Built = { readonly out: string; readonly files: readonly string[]; readonly packages: readonly string[] }

/**
 * Bundles the tree into `out`, which must not exist or be empty, and with it `more`: programs that run what is in the bundle
 * (as the inputs of entries.ts are written). @throws Error if a part is missing or misplaced.
 */
export async function build(out: string, more: Readonly<Record<string, string>> = {}): Promise<Built> {
  if (existsSync(out) && readdirSync(out).length > 0) throw new Error(`${out} is not empty`)
  const chunks = await bundle(out, { ...inputs, ...more })
  checkPlaced(chunks)
  for (const each of chunks) {
    checkPlaces(each)
    checkStarts(each, chunks)
  }
  for (const file of assets) place(file, join(out, file))
  for (const [from, to] of natives) place(from, join(out, to))
  chmodSync(join(out, "cli/assay.js"), 0o755)
  writeFileSync(join(out, "package.json"), manifest())
  writeFileSync(join(out, "LICENSE"), readFileSync(join(root, "LICENSE")))
  const packages = packagesIn([...chunks.flatMap(modulesOf), ...natives.map(([from]) => from)])
  writeFileSync(join(out, "THIRD-PARTY"), packages.map(notice).join("\n"))
  return { out, files: filesBelow(out), packages }
}

async function bundle(out: string, input: Readonly<Record<string, string>>): Promise<OutputChunk[]> {
  const build = await rolldown({
    cwd: root,
    input,
    platform: "node",
    resolve: { alias: replaced },
    external: ["bufferutil", "utf-8-validate"], // ws tries these and does without
    onLog: (level, log) => {
      if (level === "warn") throw new Error(log.message)
    },
  })
  const { output } = await build.write({
    dir: out,
    format: "esm",
    entryFileNames: "[name].js",
    chunkFileNames: ({ name }) => (name.includes("/") ? `${name}.js` : `chunks/${name}.js`),
    codeSplitting: { groups: [{ name: ownPlace, debugName: "own place" }] },
  })
  await build.close()
  return output.filter(each => each.type === "chunk")
}

/** A module that asks where it lies gets a file of its own, in the same folder as in the tree; its path less the ending. */
function ownPlace(id: string): string | null {
  const file = relative(root, id)
  if (file in placed) return withoutEnding(placed[file] ?? file)
  const asks = inTree.test(file) && !isInput(file) && readFileSync(id, "utf8").includes("import.meta.")
  return asks ? withoutEnding(file) : null
}

/** Neither of a package nor of the bundler's own making. */
const inTree = /^(?!node_modules\/)[a-z][\w/.-]*\.m?ts$/
const isInput = (file: string): boolean => Object.values(inputs).includes(file)

/** A package that looks for its native code from where it lies must lie there: else the bundle starts, and finds none. */
function checkPlaced(chunks: readonly OutputChunk[]): void {
  const names = new Set(chunks.map(({ fileName }) => fileName))
  for (const [from, to] of Object.entries(placed))
    if (!names.has(to))
      throw new Error(`${from} did not get into the bundle as ${to}; is node_modules a link? run sh scripts/setup.sh`)
}

/** The guard of the above: no module that asks where it lies has ended up elsewhere. */
function checkPlaces({ fileName, moduleIds }: OutputChunk): void {
  for (const id of moduleIds) {
    const file = relative(root, id)
    const meant = isInput(file) ? withoutEnding(file) : ownPlace(id)
    if (meant !== null && fileName !== `${meant}.js`)
      throw new Error(`${file} asks where it lies, and was put into ${fileName} instead of ${meant}.js`)
  }
}

/** An entry point starts when it is loaded: whoever imported it for a part of it would start it too. */
function checkStarts({ fileName, imports }: OutputChunk, chunks: readonly OutputChunk[]): void {
  const started = chunks.find(each => each.isEntry && imports.includes(each.fileName))
  if (started !== undefined)
    throw new Error(
      `${fileName} imports the entry point ${started.fileName}; move what they share into a module of its own`,
    )
}

function place(from: string, to: string): void {
  const source = join(root, from)
  if (!existsSync(source)) throw new Error(`${from} is missing; run sh scripts/setup.sh`)
  mkdirSync(dirname(to), { recursive: true })
  cpSync(source, to, { dereference: true })
}

function manifest(): string {
  const { name, version, description, license, type }: Record<string, unknown> = readPackage(root)
  const engines = { node: ">=24.15" } // a checkout brings its own, so package.json says what setup.sh needs
  const own = { name, version, description, license, type, engines, bin: { assay: "cli/assay.js" } }
  return `${JSON.stringify(own, null, 2)}\n`
}

const readPackage = (folder: string): Record<string, unknown> =>
  JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))

const modulesOf = ({ moduleIds }: OutputChunk): string[] => moduleIds.map(id => relative(root, id))

const packagesIn = (files: readonly string[]): string[] =>
  [...new Set(files.flatMap(file => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0] ?? []))].toSorted()

/** The licence of a package whose code is in the bundle, as most of them ask for. */
function notice(folder: string): string {
  const { name, version, license } = readPackage(join(root, folder))
  const file = readdirSync(join(root, folder)).find(each => /^licen[cs]e/i.test(each))
  const text = file === undefined ? `${String(license)}\n` : readFileSync(join(root, folder, file), "utf8")
  return `=== ${String(name)} ${String(version)}\n\n${text}`
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted()
}

if (import.meta.main) {
  const out = join(root, "dist")
  rmSync(out, { recursive: true, force: true })
  const { files } = await build(out)
  console.error(`assay: built dist, ${files.length} files; it runs as: node dist/cli/assay.js`)
}
