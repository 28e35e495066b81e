/**
 * How does the tree become a package that Debian installs? It is bundled, laid out in a folder of its own and packed by
 * dpkg-deb, without root; the same tree gives the same bytes anywhere. What lies where: package/tree.ts.
 *
 * node scripts/package.ts [--version VERSION] [--out FOLDER]
 */
import { execFileSync } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { writeControl } from "./package/control.ts"
import { lists, writeDigests } from "./package/digests.ts"
import { type Edition, fileName, layOut } from "./package/tree.ts"

const root = join(import.meta.dirname, "..")

/** Builds the package into the folder `out`, and beside it the lists of its digests; gives its path. */
export async function makePackage(out: string, edition: Edition): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), "assay-package-"))
  try {
    const tree = join(folder, "tree")
    mkdirSync(tree)
    mkdirSync(out, { recursive: true })
    await layOut(tree, edition)
    await writeDigests(tree)
    writeControl(tree, edition)
    const deb = join(out, fileName(edition))
    pack(tree, deb, edition)
    for (const list of Object.values(lists)) cpSync(join(tree, list), `${deb}.${list.replace(/^.*\//, "")}`)
    return deb
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** One thread, since the bytes that several make depend on their number; the least effort, since more saves little of Node. */
function pack(tree: string, deb: string, { epoch }: Edition): void {
  const how = ["--root-owner-group", "--threads-max=1", "-Zxz", "-z0"]
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(epoch), LC_ALL: "C" }
  execFileSync("dpkg-deb", [...how, "--build", tree, deb], { env, stdio: ["ignore", "ignore", "inherit"] })
}

/** Of package.json, and of the time of the last commit unless SOURCE_DATE_EPOCH says another. */
export function ownEdition(): Edition {
  const { version }: { version: string } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  const given = process.env["SOURCE_DATE_EPOCH"]
  const text = given ?? execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: root, encoding: "utf8" })
  const epoch = Number(text)
  if (!Number.isSafeInteger(epoch)) throw new Error(`SOURCE_DATE_EPOCH is no number of seconds: ${text}`)
  return { version, epoch }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { version: { type: "string" }, out: { type: "string" } } })
  const own = ownEdition()
  const deb = await makePackage(values.out ?? join(root, "dist"), { ...own, version: values.version ?? own.version })
  console.error(`assay: built ${deb}; it is installed by: apt install ${deb}`)
}
