// Does the core compute SHA-256 on this machine, with the code that V8 runs right now? Every exported kernel, every
// lane with data of its own, against the answers of FIPS 180-4's examples and of node:crypto on fresh random bytes.
// Run when a core is opened, and again by whoever trusts it once it is hot: V8 compiles a function anew after some
// hundred calls, and a miscompilation has been seen that was right before and wrong in every digest after.

import { createHash, randomFillSync } from "node:crypto"
import type { Core } from "./core.ts"
import { CHAINS, DIGEST_BYTES, DIGESTS, INPUTS, MESSAGE_BLOCK, STAGE } from "./memory.ts"

const LANES = 8
const LEAF = 4096
/** SHA-256("abc"), from the examples that belong to FIPS 180-4. */
const ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")
const native = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")

function demand(what: string, seen: string, wanted: string): void {
  if (seen === wanted) return
  throw new Error(`the wasm hashing core is wrong on this machine (${what}): use the native engine and report this CPU`)
}

/** The padding (§5.1.1) of a message of whole blocks. */
function padding(bytes: number): Uint8Array {
  const block = Buffer.alloc(MESSAGE_BLOCK)
  block[0] = 0x80
  block.writeUInt32BE(bytes * 8, 60)
  return block
}

function testStream(core: Core): void {
  const abc = padding(0)
  abc.set([0x61, 0x62, 0x63, 0x80])
  abc[63] = 24
  core.memory.set(abc, STAGE)
  core.start(CHAINS)
  core.stream(CHAINS, STAGE, 1)
  demand("one stream, abc", hex(core.digestAt(CHAINS)), ABC)
  const message = core.memory.subarray(STAGE, STAGE + 5 * MESSAGE_BLOCK)
  randomFillSync(message)
  const wanted = native(message.subarray(0, 4 * MESSAGE_BLOCK))
  message.set(padding(4 * MESSAGE_BLOCK), 4 * MESSAGE_BLOCK)
  core.start(CHAINS)
  core.stream(CHAINS, STAGE, 3)
  core.stream(CHAINS, STAGE + 3 * MESSAGE_BLOCK, 2)
  demand("one stream", hex(core.digestAt(CHAINS)), wanted)
}

/** Three blocks and their padding in every lane: both halves of the kernel's double buffer. */
function testLanes(core: Core): void {
  const length = 3 * MESSAGE_BLOCK
  const wanted: string[] = []
  for (let lane = 0; lane < LANES; lane++) {
    const at = STAGE + lane * 4 * MESSAGE_BLOCK
    const message = randomFillSync(core.memory.subarray(at, at + length))
    wanted.push(native(message))
    core.memory.set(padding(length), at + length)
    core.start(CHAINS + lane * DIGEST_BYTES)
    core.view.setUint32(INPUTS + lane * 4, at, true)
  }
  core.lanes(CHAINS, INPUTS, 4)
  for (const [lane, digest] of wanted.entries()) {
    demand(`lane ${lane} of eight`, hex(core.digestAt(CHAINS + lane * DIGEST_BYTES)), digest)
  }
}

/** Eight leaves side by side, then six with two idle lanes, then three one by one. */
function testLeaves(core: Core): void {
  for (const count of [14, 3]) {
    const blocks = randomFillSync(core.window.subarray(0, count * LEAF))
    core.leaves(core.window.byteOffset, count, DIGESTS)
    for (let i = 0; i < count; i++) {
      const wanted = native(blocks.subarray(i * LEAF, (i + 1) * LEAF))
      demand(`leaf ${i} of ${count}`, hex(core.digestAt(DIGESTS + i * DIGEST_BYTES)), wanted)
    }
  }
}

/**
 * Tests every kernel of a core; whoever held its window loses it.
 * @throws an error that names the first kernel and lane with a wrong digest.
 */
export function selfTest(core: Core): void {
  core.hold(core)
  testStream(core)
  testLanes(core)
  testLeaves(core)
}
