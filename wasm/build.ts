// Does build/release.wasm come from the sources as they are? If not, the AssemblyScript compiler writes it again (two
// seconds). `node wasm/build.ts` is safe to run at any time, also twice at once: files appear whole or not at all.

import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { argv, execPath, pid, stderr } from "node:process"
import { fileURLToPath } from "node:url"

const here = dirname(fileURLToPath(import.meta.url))
const root = dirname(here)
const output = join(here, "build", "release.wasm")
/** Beside the module, the digest of what it was compiled from: a checkout may give older content a newer date. */
const origin = join(here, "build", "release.sources")

/** One digest over the sources, the settings and the compiler's version. */
function sourcesDigest(): string {
  const assembly = join(here, "assembly")
  const sources = readdirSync(assembly)
    .toSorted()
    .map(name => join(assembly, name))
  const compiler = createRequire(import.meta.url).resolve("assemblyscript/package.json")
  const hash = createHash("sha256")
  for (const path of [...sources, join(root, "asconfig.json"), compiler]) {
    const content = readFileSync(path)
    hash.update(`${content.length} `).update(content)
  }
  return hash.digest("hex")
}

function compile(): void {
  const compiler = createRequire(import.meta.url).resolve("assemblyscript/bin/asc.js")
  const fresh = `${output}.${pid}`
  const options = ["--config", "asconfig.json", "--target", "release", "--outFile", fresh]
  execFileSync(execPath, [compiler, ...options], { cwd: root, stdio: "inherit" })
  renameSync(fresh, output)
}

/** Brings build/release.wasm up to date. @throws when the compiler is missing (run `npm ci`) or refuses the sources. */
export function build(): void {
  const wanted = sourcesDigest()
  if (existsSync(output) && existsSync(origin) && readFileSync(origin, "utf8") === wanted) return
  stderr.write("assay: compiling the hashing core\n")
  mkdirSync(dirname(output), { recursive: true })
  compile()
  writeFileSync(`${origin}.${pid}`, wanted)
  renameSync(`${origin}.${pid}`, origin)
}

if (argv[1] === fileURLToPath(import.meta.url)) build()
