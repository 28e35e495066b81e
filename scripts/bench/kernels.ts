/**
 * What is hashed in memory? 1 MiB that stays in the second-level cache, by each implementation in the way that suits it best.
 * Who times them, and when: sampler.ts.
 */
import { createHash, hash, randomFillSync } from "node:crypto"
import { sha256 as noble } from "@noble/hashes/sha2.js"
import { createSHA256 } from "hash-wasm"
import { type Core, openCore } from "../../wasm/core.ts"
import { CHAINS, DIGEST_BYTES, DIGESTS, INPUTS, MESSAGE_BLOCK, WINDOW, WINDOW_BYTES } from "../../wasm/memory.ts"
import { createSha256, padding } from "../../wasm/sha256.ts"
import { BLOCK_BYTES } from "../../wasm/tree.ts"

/** One pass over the memory, and the digests that passes give, in hex: to be compared with `wanted`. */
export type Kernel = { pass(): void; digests(): readonly string[]; readonly wanted: readonly string[] }
export const kernelBytes = WINDOW_BYTES

export const kernelNames = [
  "leaves",
  "lanes",
  "stream",
  "hash-wasm",
  "noble",
  "crypto",
  "crypto-blocks",
  "crypto-blocks-hex",
] as const
export type KernelName = (typeof kernelNames)[number]

const LANES = 8
const native = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex")
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const cut = (bytes: Uint8Array, length: number): Uint8Array[] =>
  Array.from({ length: bytes.length / length }, (_, i) => bytes.subarray(i * length, (i + 1) * length))

/** How to open each: over `bytes`, which are the window of `core`. */
const openers: Readonly<Record<KernelName, (core: Core, bytes: Uint8Array) => Kernel | Promise<Kernel>>> = {
  leaves,
  lanes,
  stream: (core, bytes) => whole(bytes, () => createSha256(core).update(bytes).digest()),
  "hash-wasm": async (_, bytes) => {
    const hasher = await createSHA256()
    return whole(bytes, () => hasher.init().update(bytes).digest("binary"))
  },
  noble: (_, bytes) => whole(bytes, () => noble(bytes)),
  crypto: (_, bytes) => whole(bytes, () => hash("sha256", bytes, "buffer")),
  "crypto-blocks": (_, bytes) => inBlocks(bytes, block => hash("sha256", block, "buffer")),
  "crypto-blocks-hex": (_, bytes) => inBlocks(bytes, block => hash("sha256", block)),
}

/** The kernel of this name over random bytes, ready to pass. */
export async function openKernel(name: KernelName): Promise<Kernel> {
  const core = openCore()
  return openers[name](core, randomFillSync(core.window))
}

function whole(bytes: Uint8Array, digest: () => Uint8Array): Kernel {
  let last: Uint8Array = new Uint8Array()
  const pass = (): void => {
    last = digest()
  }
  return { pass, digests: () => [hex(last)], wanted: [native(bytes)] }
}

function inBlocks(bytes: Uint8Array, digest: (block: Uint8Array) => Uint8Array | string): Kernel {
  const blocks = cut(bytes, BLOCK_BYTES)
  let last: (Uint8Array | string)[] = []
  const pass = (): void => {
    last = blocks.map(digest)
  }
  const digests = (): string[] => last.map(each => (typeof each === "string" ? each : hex(each)))
  return { pass, digests, wanted: blocks.map(native) }
}

function leaves(core: Core, bytes: Uint8Array): Kernel {
  const count = WINDOW_BYTES / BLOCK_BYTES
  return {
    pass: () => core.leaves(WINDOW, count, DIGESTS),
    digests: () => digestsAt(core, DIGESTS, count),
    wanted: cut(bytes, BLOCK_BYTES).map(native),
  }
}

/** Eight messages of whole blocks; their padding is not part of a pass, it is what the digests end with. */
function lanes(core: Core, bytes: Uint8Array): Kernel {
  const length = WINDOW_BYTES / LANES
  const lane = Array.from({ length: LANES }, (_, i) => i)
  return {
    pass() {
      for (const i of lane) {
        core.start(CHAINS + i * DIGEST_BYTES)
        core.view.setUint32(INPUTS + i * 4, WINDOW + i * length, true)
      }
      core.lanes(CHAINS, INPUTS, length / MESSAGE_BLOCK)
    },
    digests() {
      const end = core.window.slice(0, MESSAGE_BLOCK)
      core.window.set(padding(length))
      for (const i of lane) core.stream(CHAINS + i * DIGEST_BYTES, WINDOW, 1)
      core.window.set(end)
      return digestsAt(core, CHAINS, LANES)
    },
    wanted: cut(bytes, length).map(native),
  }
}

const digestsAt = (core: Core, address: number, count: number): string[] =>
  Array.from({ length: count }, (_, i) => hex(core.digestAt(address + i * DIGEST_BYTES)))
