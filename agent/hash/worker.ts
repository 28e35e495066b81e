/**
 * What are the two digests of this file? A thread of its own reads each file once and gives the same buffers to two
 * independent implementations: node:crypto makes the flat SHA-256, the WebAssembly core the fs-verity digest.
 */
import { createHash } from "node:crypto"
import { closeSync, constants, fstatSync, openSync, readSync } from "node:fs"
import { parentPort } from "node:worker_threads"
import { openCore } from "../../wasm/core.ts"
import { createVerity } from "../../wasm/verity.ts"
import { type Digests, type Job, type Report, stateOf } from "./job.ts"

/** Bytes between two reports of progress. */
const stride = 1 << 24
/** Nanoseconds: file systems keep time in steps, so a write soon after another may leave the same time behind. */
const settling = 2_000_000_000n

const core = openCore()

function hash(path: Uint8Array): Report {
  const file = openSync(Buffer.from(path), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY)
  try {
    const before = fstatSync(file, { bigint: true })
    if (!before.isFile()) return { kind: "failed", code: "not a regular file" }
    const began = BigInt(Date.now()) * 1_000_000n
    const digests = read(file)
    const after = fstatSync(file, { bigint: true })
    if (stateOf(before) !== stateOf(after) || BigInt(digests.size) !== after.size) return { kind: "changed" }
    const youngest = after.mtimeNs > after.ctimeNs ? after.mtimeNs : after.ctimeNs
    return { kind: "hashed", digests: { ...digests, state: stateOf(after), settled: began - youngest > settling } }
  } finally {
    closeSync(file)
  }
}

function read(file: number): Pick<Digests, "sha256" | "verity" | "size"> {
  const flat = createHash("sha256")
  const verity = createVerity(core)
  let size = 0
  for (let count = -1; count !== 0; ) {
    const { window } = verity
    count = readSync(file, window)
    flat.update(window.subarray(0, count))
    verity.commit(count)
    if (Math.floor(size / stride) !== Math.floor((size + count) / stride))
      report({ kind: "progress", bytes: size + count })
    size += count
  }
  return { sha256: flat.digest("hex"), verity: Buffer.from(verity.digest().digest).toString("hex"), size }
}

function report(message: Report): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows
  parentPort?.postMessage(message)
}

parentPort?.on("message", ({ path }: Job) => {
  try {
    report(hash(path))
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error
    report({ kind: "failed", code: String(error.code) })
  }
})
