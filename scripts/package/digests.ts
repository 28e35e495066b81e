/**
 * Which files are the package's own, byte for byte? Two lists of every installed file, by both digests that Assay knows, and the
 * manifest of its code, of which the SHA-256 is what the agent reports of itself.
 */
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Hasher } from "../../agent/hash/hasher.ts"
import { hashModelWith } from "../../agent/hash/model.ts"
import { codeFolder } from "./tree.ts"

/** The lists, from the root of the package; and how each is checked by hand. */
export const lists = {
  /** `sha256sum --check` */
  sha256: "usr/share/assay/files.sha256",
  /** `fsverity digest`, or `fsverity measure` where it is switched on */
  verity: "usr/share/assay/files.verity",
  /** `assay hash /usr/lib/assay/code --check`; its own SHA-256 is the fact `code/.` */
  code: "usr/share/assay/code.sha256",
} as const

/** Writes the lists into the laid-out `folder`, of all that lies there now but what an operator changes. */
export async function writeDigests(folder: string): Promise<void> {
  const hasher = new Hasher({ workers: 2 })
  try {
    const signal = new AbortController().signal
    const options = { signal, progress: () => undefined, links: "own" } as const
    const { files } = await hashModelWith(hasher, "full", folder, options)
    const kept = files.filter(({ name }) => !name.startsWith("etc/"))
    const code = await hashModelWith(hasher, "quick", join(folder, codeFolder), options)
    write(join(folder, lists.code), code.manifest)
    write(join(folder, lists.sha256), kept.map(({ name, sha256 }) => `${sha256}  /${name}\n`).join(""))
    write(join(folder, lists.verity), kept.map(({ name, verity }) => `sha256:${verity} /${name}\n`).join(""))
  } finally {
    await hasher.close()
  }
}

function write(path: string, content: string | Uint8Array): void {
  writeFileSync(path, content)
  chmodSync(path, 0o644) // whatever the umask is
}
