// Is build/release.wasm as new as its sources? If not, the AssemblyScript compiler writes it again (two seconds).
// `node wasm/build.ts` is safe to run at any time, also twice at once: the file appears whole or not at all.

import { execFileSync } from "node:child_process"
import { mkdirSync, readdirSync, renameSync, statSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { argv, execPath, pid, stderr } from "node:process"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(here)
const output = join(here, "build", "release.wasm")

const modified = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0

/** Whether a source, the settings or the compiler changed since the module was written. */
function stale(compiler: string): boolean {
  const assembly = join(here, "assembly")
  const sources = readdirSync(assembly).map(name => join(assembly, name))
  const built = modified(output)
  return [...sources, join(root, "asconfig.json"), compiler].some(path => modified(path) >= built)
}

function compile(compiler: string): void {
  mkdirSync(dirname(output), { recursive: true })
  const fresh = `${output}.${pid}`
  const options = ["--config", "asconfig.json", "--target", "release", "--outFile", fresh]
  execFileSync(execPath, [compiler, ...options], { cwd: root, stdio: "inherit" })
  renameSync(fresh, output)
}

/** Brings build/release.wasm up to date. @throws when the compiler is missing (run `npm ci`) or refuses the sources. */
export function build(): void {
  const compiler = createRequire(import.meta.url).resolve("assemblyscript/bin/asc.js")
  if (!stale(compiler)) return
  stderr.write("assay: compiling the hashing core\n")
  compile(compiler)
}

if (argv[1] === fileURLToPath(import.meta.url)) build()
