/** What does dpkg read of the package? Its control files, made of one table and the scripts under debian/. */
import { createHash } from "node:crypto"
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { type Edition, maintainer } from "./tree.ts"

const root = join(import.meta.dirname, "../..")

/**
 * What the package needs, named for Debian 12 and 13 alike. tpm2-tss is opened by name while the broker runs, its
 * libtss2-tcti-device by tpm2-tss itself, so nothing but this list brings them. openssl makes the certificates of TLS.
 */
const depends = [
  "libc6 (>= 2.28)",
  "libgcc-s1",
  "libstdc++6 (>= 5.2)",
  "libtss2-esys-3.0.2-0 | libtss2-esys-3.0.2-0t64",
  "libtss2-mu0 | libtss2-mu-4.0.1-0t64",
  "libtss2-rc0 | libtss2-rc0t64",
  "libtss2-tctildr0 | libtss2-tctildr0t64",
  "libtss2-tcti-device0 | libtss2-tcti-device0t64",
  "openssl",
  "tpm-udev",
  "passwd",
  "systemd (>= 252)",
]

const description = `Proves, to someone who is not in the room, what a GPU workstation runs
 An agent measures the machine (firmware, kernel, driver, CUDA, inference
 runtime and model weights) and appends what it finds to an event log; the
 machine's TPM quotes that log; a collector, or anybody with files alone,
 verifies the quote and compares the log with what was approved.
 .
 The package holds the agent with the broker that alone opens the TPM, the
 collector, which is not started unless it is enabled, and the assay command.`

/** Writes DEBIAN/ into the laid-out `folder`. */
export function writeControl(folder: string, { version }: Edition): void {
  const control = join(folder, "DEBIAN")
  const files = filesBelow(folder)
  const kibibytes = Math.ceil(files.reduce((sum, file) => sum + statSync(join(folder, file)).size, 0) / 1024)
  mkdirSync(control)
  const fields = [
    ["Package", "assay"],
    ["Version", version],
    ["Architecture", "amd64"],
    ["Maintainer", maintainer],
    ["Installed-Size", String(kibibytes)],
    ["Depends", depends.join(", ")],
    ["Recommends", "fsverity"],
    ["Section", "admin"],
    ["Priority", "optional"],
    ["Description", description],
  ]
  writeFileSync(join(control, "control"), `${fields.map(each => each.join(": ")).join("\n")}\n`)
  writeFileSync(
    join(control, "md5sums"),
    files
      .filter(file => !file.startsWith("etc/"))
      .map(md5Of(folder))
      .join(""),
  )
  writeFileSync(
    join(control, "conffiles"),
    files
      .filter(file => file.startsWith("etc/"))
      .map(file => `/${file}\n`)
      .join(""),
  )
  for (const script of ["postinst", "prerm", "postrm"]) {
    writeFileSync(join(control, script), readFileSync(join(root, "debian", script)))
    chmodSync(join(control, script), 0o755)
  }
  for (const file of ["control", "md5sums", "conffiles"]) chmodSync(join(control, file), 0o644)
  chmodSync(control, 0o755)
}

const md5Of =
  (folder: string) =>
  (file: string): string =>
    `${createHash("md5")
      .update(readFileSync(join(folder, file)))
      .digest("hex")}  ${file}\n`

/** Regular files below `folder`, as paths from it, in byte order. */
export const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => relative(folder, join(entry.parentPath, entry.name)))
    .toSorted()
