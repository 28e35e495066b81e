/**
 * What need not be made again? What is made of the same inputs lies in .cache/vm under their digest: the packages' tree, the disk,
 * the machine after its installation. The oldest of a kind goes when a newer one is made.
 */
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from "node:fs"
import { join, relative } from "node:path"
import { promisify } from "node:util"

const run = promisify(execFile)
const here = join(import.meta.dirname)

export const cache = join(here, "../../.cache/vm")

/** SHA-256 over the names and contents of files, folders whole; wherever the checkout lies. */
export function digestOf(paths: readonly string[], ...words: readonly string[]): string {
  const hash = createHash("sha256").update(JSON.stringify(words))
  for (const path of paths)
    for (const file of filesIn(path)) hash.update(`\0${relative(here, file)}\0`).update(readFileSync(file))
  return hash.digest("hex").slice(0, 16)
}

const filesIn = (path: string): string[] =>
  statSync(path).isFile()
    ? [path]
    : readdirSync(path, { recursive: true, withFileTypes: true })
        .filter(entry => entry.isFile())
        .map(entry => join(entry.parentPath, entry.name))
        .toSorted()

/** `make` writes to the path that it is given; what lies there afterwards is kept as `kind` of this digest. */
export async function kept(kind: string, digest: string, make: (path: string) => Promise<void>): Promise<string> {
  const [stem, ending = ""] = kind.split(/(?=\.)/)
  const path = join(cache, `${stem}-${digest}${ending}`)
  if (existsSync(path)) return path
  mkdirSync(cache, { recursive: true })
  const fresh = join(cache, `new-${stem}-${process.pid}${ending}`)
  rmSync(fresh, { recursive: true, force: true })
  await make(fresh)
  for (const name of readdirSync(cache))
    if (name.startsWith(`${stem}-`)) rmSync(join(cache, name), { recursive: true, force: true })
  renameSync(fresh, path)
  return path
}

const script = (name: string): string => join(here, name)

/** The disk with which every machine begins. */
export async function bareDisk(say: (line: string) => void): Promise<string> {
  const root = await kept("root", digestOf([script("root.sh")]), async path => {
    say("unpacking Debian 12: minutes, once")
    await sh("root.sh", path, join(cache, "archives"))
  })
  const inputs = [script("root.sh"), script("image.sh"), script("initrd.sh"), script("guest")]
  return kept("disk.raw", digestOf(inputs), async path => {
    say("making the disk")
    await sh("image.sh", root, path)
  })
}

/** Runs a script of this folder; what it says is told when it fails. */
async function sh(name: string, ...args: readonly string[]): Promise<void> {
  await run("nice", ["-n", "5", "sh", script(name), ...args], { maxBuffer: 1 << 26 })
}
