/**
 * What is measured, and side by side with what? One row each. How a row is carried out: measure.ts; what is wanted of it:
 * targets.ts.
 */
import type { KernelName } from "./kernels.ts"
import type { PassName } from "./passes.ts"

/** In which process: one as it is, or one whose OpenSSL is told that the CPU has no SHA instructions. */
export type Place = "plain" | "masked"

/** weights: one file; shards: as many bytes in eight files. */
export type Files = "weights" | "shards"

export type Work =
  | { readonly kind: "kernel"; readonly name: KernelName }
  | { readonly kind: "pass"; readonly name: PassName; readonly on: Files }
  | { readonly kind: "program"; readonly line: readonly [string, ...string[]] }

/** `gives`: what the digests of this row must be equal to those of. */
export type Case = {
  readonly id: string
  readonly says: string
  readonly place: Place
  readonly work: Work
  readonly gives: "nothing" | "sha256" | "verity" | "both" | "sha256 of shards" | "both of shards"
}

const kernel = (id: string, name: KernelName, says: string, place: Place = "plain"): Case => ({
  id,
  says,
  place,
  work: { kind: "kernel", name },
  gives: "nothing",
})
const pass = (id: string, name: PassName, gives: Case["gives"], says: string, place: Place = "plain"): Case => ({
  id,
  says,
  place,
  work: { kind: "pass", name, on: gives.endsWith("shards") ? "shards" : "weights" },
  gives,
})
const program = (id: string, line: readonly [string, ...string[]], gives: Case["gives"], place: Place): Case => ({
  id,
  says: `${line.join(" ")}${place === "masked" ? ", masked" : ""}`,
  place,
  work: { kind: "program", line },
  gives,
})

export const kernelCases: readonly Case[] = [
  kernel("leaves", "leaves", "our leaf kernel: fs-verity blocks, eight lanes"),
  kernel("lanes", "lanes", "our eight lanes, eight messages"),
  kernel("stream", "stream", "our single stream"),
  kernel("hash-wasm", "hash-wasm", "hash-wasm"),
  kernel("noble", "noble", "@noble/hashes"),
  kernel("crypto", "crypto", "node:crypto, flat"),
  kernel("crypto-blocks", "crypto-blocks-hex", "node:crypto, a call per 4 KiB, digests as hex"),
  kernel("crypto-blocks-bytes", "crypto-blocks", "node:crypto, a call per 4 KiB, digests as bytes"),
  kernel("crypto-masked", "crypto", "node:crypto, flat, masked", "masked"),
  kernel("crypto-blocks-masked", "crypto-blocks-hex", "node:crypto, a call per 4 KiB, hex, masked", "masked"),
]

export const fileCases: readonly Case[] = [
  pass("read", "read", "nothing", "plain reading, 1 MiB at a time"),
  pass("verity", "verity", "verity", "our fs-verity digest"),
  pass("file-stream", "stream", "sha256", "our single stream"),
  pass("both", "hasher-both", "both", "hasher: both digests in one read"),
  pass("auto", "hasher-auto", "both", "hasher: known file again, engine auto"),
  pass("wasm", "hasher-wasm", "both", "hasher: known file again, engine wasm"),
  pass("wasm-2", "hasher-wasm-2", "both", "hasher: the same by two threads"),
  pass("auto-masked", "hasher-auto", "both", "hasher: known file again, engine auto, masked", "masked"),
  pass("file-crypto", "crypto", "sha256", "node:crypto in a plain loop"),
  pass("file-crypto-masked", "crypto", "sha256", "node:crypto in a plain loop, masked", "masked"),
  pass("file-hash-wasm", "hash-wasm", "sha256", "hash-wasm in a plain loop"),
  pass("file-noble", "noble", "sha256", "@noble/hashes in a plain loop"),
  program("sha256sum", ["sha256sum"], "sha256", "plain"),
  program("openssl", ["openssl", "dgst", "-sha256", "-r"], "sha256", "plain"),
  program("openssl-masked", ["openssl", "dgst", "-sha256", "-r"], "sha256", "masked"),
  program("fsverity", ["fsverity", "digest", "--compact"], "verity", "plain"),
  program("fsverity-masked", ["fsverity", "digest", "--compact"], "verity", "masked"),
]

export const shardCases: readonly Case[] = [
  pass("shards-lanes", "lanes", "sha256 of shards", "our eight lanes"),
  pass("shards-flat", "hasher-flat", "sha256 of shards", "hasher: SHA-256 alone, engine auto"),
  pass("shards-flat-masked", "hasher-flat", "sha256 of shards", "hasher: SHA-256 alone, engine auto, masked", "masked"),
  pass("shards-crypto", "crypto", "sha256 of shards", "node:crypto, one after the other"),
  pass("shards-crypto-masked", "crypto", "sha256 of shards", "node:crypto, one after the other, masked", "masked"),
  pass("shards-both", "hasher-both", "both of shards", "hasher: both digests, one thread"),
  pass("shards-both-2", "hasher-both-2", "both of shards", "hasher: both digests, two threads"),
]
