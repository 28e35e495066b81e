/**
 * A program for closed.test.ts, started as root: closes one file or folder after the other of the machine below the folder that it is
 * given, measures it as a user without rights, and writes what that user was told as JSON.
 */
import { chmodSync, lstatSync, readdirSync } from "node:fs"
import { join, relative } from "node:path"
import { Hasher } from "../agent/hash/hasher.ts"
import { Host } from "../agent/host.ts"
import { sources } from "../agent/sources/index.ts"
import { scanOf } from "../agent/sources/process/scan.ts"
import type { Context } from "../agent/sources/source.ts"
import { contextOf } from "./hosts.ts"

/** A user of this number need not exist. */
const nobody = 61_003
const [root = ""] = process.argv.slice(2)
const hasher = new Hasher({ workers: 1 })
const host = new Host(root)
const common = contextOf(hasher, root)

/** Each fact as "source subject", name and value, by tabs. */
async function told(): Promise<string[]> {
  const context: Context = { ...common, host, scan: scanOf(host) }
  const found: string[] = []
  for (const source of sources.filter(({ name }) => name !== "agent"))
    for (const { subject, facts } of await source.measure(context))
      found.push(...facts.map(fact => [`${source.name} ${subject}`, ...fact].join("\t")))
  return found
}

function pathsBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap(each => {
    const path = join(folder, each.name)
    if (each.isDirectory()) return [path, ...pathsBelow(path)]
    return each.isFile() ? [path] : []
  })
}

/** What is lost and what is new while this path is closed. */
async function whileClosed(path: string, before: ReadonlySet<string>): Promise<object> {
  const mode = lstatSync(path).mode & 0o777
  chmodSync(path, 0)
  process.seteuid?.(nobody)
  const now = await told()
  process.seteuid?.(0)
  chmodSync(path, mode)
  const lost = [...before].filter(each => !now.includes(each))
  return { path: relative(root, path), lost, found: now.filter(each => !before.has(each)) }
}

const paths = pathsBelow(root)
await hasher.file({ path: Buffer.from(process.execPath) }, "full", new AbortController().signal, () => undefined)
process.seteuid?.(nobody)
const before = new Set(await told())
process.seteuid?.(0)
const results: object[] = []
for (const path of paths) results.push(await whileClosed(path, before))
process.stdout.write(JSON.stringify(results))
await hasher.close()
