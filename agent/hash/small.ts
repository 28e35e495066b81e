/**
 * What are the digests of these files of at most one block? Eight are read, then their blocks and then their descriptors are
 * hashed side by side: a folder of 100,000 such files costs opening and closing them, and little else. Larger ones: pass.ts.
 */
import { hash } from "node:crypto"
import { type BigIntStats, closeSync, fstatSync, readSync } from "node:fs"
import type { Core } from "../../wasm/core.ts"
import { CHAINS, DIGEST_BYTES, DIGESTS, INPUTS, MESSAGE_BLOCK, WINDOW } from "../../wasm/memory.ts"
import { BLOCK_BYTES } from "../../wasm/tree.ts"
import type { Binary } from "./binary.ts"
import { type Answer, type Hashed, type Reads, stateOf } from "./job.ts"
import { attempt, isSettled, openToRead, type Reader } from "./pass.ts"

const lanes = 8
/** struct fsverity_descriptor, and SHA-256's padding of it. */
const descriptorBytes = 256
const paddedBytes = descriptorBytes + MESSAGE_BLOCK
/** Behind the blocks of eight files and one byte more. */
const descriptors = WINDOW + (lanes + 1) * BLOCK_BYTES

/** Both digests of each file; one that is larger by now has changed. */
export function hashSmall(paths: readonly Binary[], reads: Reads, core: Core, reader: Reader): Answer[] {
  core.hold(core)
  const answers: Answer[] = []
  for (let at = 0; at < paths.length; at += lanes) {
    const group = paths.slice(at, at + lanes).map((path, lane) => readSmall(path, lane, reads, core, reader))
    complete(group, core)
    answers.push(...group.map(({ answer }) => answer))
  }
  return answers
}

/** An answer that lacks its fs-verity digest. */
type Half = { answer: Answer; readonly lane: number }

function readSmall(path: Binary, lane: number, reads: Reads, core: Core, reader: Reader): Half {
  const answer = attempt(() => {
    const file = openToRead(path, reads)
    try {
      const before = fstatSync(file, { bigint: true })
      if (!before.isFile()) return { kind: "failed", code: "ENODEV" }
      const began = BigInt(Date.now()) * 1_000_000n
      const room = core.memory.subarray(WINDOW + lane * BLOCK_BYTES, WINDOW + (lane + 1) * BLOCK_BYTES)
      const sha256 = before.size > BLOCK_BYTES ? "changed" : readBlock(file, room, before)
      if (sha256 === "changed" || stateOf(before) !== stateOf(fstatSync(file, { bigint: true })))
        return { kind: "changed" }
      reader.pace.spend(Number(before.size))
      reader.progress(Number(before.size))
      return half(sha256, before, began)
    } finally {
      closeSync(file)
    }
  })
  return { answer, lane }
}

const half = (sha256: string, before: BigIntStats, began: bigint): Hashed => ({
  kind: "hashed",
  sha256,
  verity: "",
  by: "wasm",
  records: "none",
  size: Number(before.size),
  state: stateOf(before),
  settled: isSettled(before, began),
})

/**
 * The block is filled up with zeroes for the core; node:crypto has the bytes alone. What says that it is empty is asked for a
 * byte all the same: files of proc(5) do.
 */
function readBlock(file: number, room: Uint8Array, { size }: BigIntStats): string {
  const wanted = Number(size)
  let filled = 0
  do {
    const count = readSync(file, room, filled, BLOCK_BYTES - filled, null)
    if (count === 0 && wanted > 0) return "changed"
    filled += count
  } while (filled < wanted)
  room.fill(0, filled)
  return filled === wanted ? hash("sha256", room.subarray(0, wanted)) : "changed"
}

/** The fs-verity digests of what was read; a lane without a file hashes what lies there, to no effect. */
function complete(group: readonly Half[], core: Core): void {
  core.leaves(WINDOW, group.length, DIGESTS)
  for (const { answer, lane } of group) if (answer.kind === "hashed") describe(answer.size, lane, core)
  for (let lane = 0; lane < lanes; lane++) {
    core.start(CHAINS + lane * DIGEST_BYTES)
    core.view.setUint32(INPUTS + lane * 4, descriptors + lane * paddedBytes, true)
  }
  core.lanes(CHAINS, INPUTS, paddedBytes / MESSAGE_BLOCK)
  for (const each of group) {
    if (each.answer.kind !== "hashed") continue
    const at = CHAINS + each.lane * DIGEST_BYTES
    each.answer = { ...each.answer, verity: hexOf(core.memory, at) }
  }
}

/** The descriptor of a file whose root hash is that of its one block; an empty file has 32 zeroes (wasm/tree.ts). */
function describe(size: number, lane: number, core: Core): void {
  const at = descriptors + lane * paddedBytes
  core.memory.fill(0, at, at + paddedBytes)
  core.view.setUint32(at, 0x01_01_0c_00)
  core.view.setBigUint64(at + 8, BigInt(size), true)
  const root = DIGESTS + lane * DIGEST_BYTES
  if (size > 0) core.memory.copyWithin(at + 16, root, root + DIGEST_BYTES)
  core.memory[at + descriptorBytes] = 0x80
  core.view.setUint16(at + paddedBytes - 2, descriptorBytes * 8)
}

const hexOf = (memory: Uint8Array<ArrayBuffer>, at: number): string =>
  Buffer.from(memory.buffer, at, DIGEST_BYTES).toString("hex")
