// How does the hashing core come into a process, and who may use its memory? The core is one small WebAssembly module
// (assembly/) with 1 MiB of input window. What is computed with it is for sha256.ts, lanes.ts and verity.ts.

import { readFileSync } from "node:fs"
import { DIGEST_BYTES, WINDOW, WINDOW_BYTES, WORK } from "./memory.ts"
import { selfTest } from "./selftest.ts"

/** What assembly/index.ts exports; addresses and counts are unsigned integers. */
interface Kernels {
  readonly memory: { readonly buffer: ArrayBuffer }
  prepare(work: number): void
  stream(work: number, chain: number, input: number, blocks: number): void
  lanes(work: number, chains: number, inputs: number, blocks: number): void
  leaves(work: number, input: number, count: number, digests: number): void
}

/** The part of the JavaScript API that is used here; the types of Node leave it to those of browsers. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object, imports: object) => { readonly exports: Kernels }
}

/** SHA-256 of nothing has this chaining value before its first block (FIPS 180-4 §5.3.3). */
const INITIAL = new Uint8Array([
  0x6a, 0x09, 0xe6, 0x67, 0xbb, 0x67, 0xae, 0x85, 0x3c, 0x6e, 0xf3, 0x72, 0xa5, 0x4f, 0xf5, 0x3a, 0x51, 0x0e, 0x52,
  0x7f, 0x9b, 0x05, 0x68, 0x8c, 0x1f, 0x83, 0xd9, 0xab, 0x5b, 0xe0, 0xcd, 0x19,
])

/**
 * One instance of the kernels with its memory. A thread needs one for all its small hashes and one more for each file
 * that is read while another is: the window has one holder at a time.
 */
export class Core {
  /** The whole memory, laid out in memory.ts. */
  readonly memory: Uint8Array<ArrayBuffer>
  readonly view: DataView<ArrayBuffer>
  /** The input window, 1 MiB. */
  readonly window: Uint8Array<ArrayBuffer>
  readonly #kernels: Kernels
  #holder: object | undefined

  /** @throws when the bytes are not the module, or when it does not compute SHA-256 on this machine. */
  constructor(module: Uint8Array) {
    this.#kernels = new WebAssembly.Instance(new WebAssembly.Module(module), {}).exports
    const { buffer } = this.#kernels.memory
    this.memory = new Uint8Array(buffer)
    this.view = new DataView(buffer)
    this.window = this.memory.subarray(WINDOW, WINDOW + WINDOW_BYTES)
    this.#kernels.prepare(WORK)
    selfTest(this)
  }

  /** Puts the initial value at an address. */
  start(chain: number): void {
    this.memory.set(INITIAL, chain)
  }

  /** Carries the chaining value at `chain` over `blocks` (≥ 0) 64-byte blocks at `input`. */
  stream(chain: number, input: number, blocks: number): void {
    this.#kernels.stream(WORK, chain, input, blocks)
  }

  /** Carries the eight chaining values at `chains` over `blocks` (≥ 1) blocks at the eight addresses in the table `inputs`. */
  lanes(chains: number, inputs: number, blocks: number): void {
    this.#kernels.lanes(WORK, chains, inputs, blocks)
  }

  /** Writes the digests of `count` consecutive 4096-byte messages at `input` to `digests`. */
  leaves(input: number, count: number, digests: number): void {
    this.#kernels.leaves(WORK, input, count, digests)
  }

  /** A copy of the 32 bytes at an address. */
  digestAt(address: number): Uint8Array<ArrayBuffer> {
    return this.memory.slice(address, address + DIGEST_BYTES)
  }

  /** Takes the window, the digests and the chains; whoever had them before can no longer go on. */
  hold(holder: object): void {
    this.#holder = holder
  }

  /** @throws when another took the window since: what this holder had in it is gone. */
  assertHeldBy(holder: object): void {
    if (this.#holder !== holder) {
      throw new Error("another hash took this core's window: give each hash that goes on at the same time its own core")
    }
  }
}

let shared: Core | undefined

/** A core from the module that `node wasm/build.ts` wrote, which a bundle keeps as build/release.wasm beside its script. */
export function openCore(): Core {
  return new Core(readFileSync(new URL("./build/release.wasm", import.meta.url)))
}

/** The core of this thread for hashes that do not overlap, opened at the first call. */
export function sharedCore(): Core {
  shared ??= openCore()
  return shared
}
