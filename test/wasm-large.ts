// Are files above 4 GiB right, where 32 bits of length no longer do? `node test/wasm-large.ts` (half a minute) compares a
// sparse file's two digests with those of `fsverity digest` and node:crypto. The test suite judges everything smaller.

import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { openCore } from "../wasm/core.ts"
import { createSha256 } from "../wasm/sha256.ts"
import { createVerity } from "../wasm/verity.ts"

const SIZE = 2 ** 32 + 3 * 2 ** 20 + 4097

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** The two digests of the core, and node:crypto's, in one pass. */
function digests(path: string): { readonly verity: string; readonly flat: string; readonly native: string } {
  const core = openCore()
  const verity = createVerity(core)
  const flat = createSha256(core)
  const native = createHash("sha256")
  const fd = openSync(path, "r")
  for (let count = -1; count !== 0; ) {
    const { window } = verity
    count = readSync(fd, window)
    flat.update(window.subarray(0, count))
    native.update(window.subarray(0, count))
    verity.commit(count)
  }
  closeSync(fd)
  return { verity: hex(verity.digest().digest), flat: hex(flat.digest()), native: native.digest("hex") }
}

const directory = mkdtempSync(join(tmpdir(), "assay-large-"))
try {
  const path = join(directory, "sparse")
  const fd = openSync(path, "w")
  for (const at of [0, 2 ** 31, 2 ** 32 - 3, SIZE - 6]) writeSync(fd, `mark ${at % 10}`.slice(0, 6), at)
  closeSync(fd)
  const seen = digests(path)
  const foreign = execFileSync("fsverity", ["digest", "--compact", path], { encoding: "utf8" }).trim()
  const right = seen.verity === foreign && seen.flat === seen.native
  console.log(
    `${SIZE} bytes: fs-verity ${seen.verity}, fsverity ${foreign}; sha256 ${seen.flat}, native ${seen.native}`,
  )
  if (!right) throw new Error("a digest differs: the core must not be used for files above 4 GiB")
} finally {
  rmSync(directory, { recursive: true })
}
