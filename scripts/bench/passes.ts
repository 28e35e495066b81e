/**
 * How is a file hashed within a process? Once by each implementation in a plain loop, reading 1 MiB at a time, and by the
 * product's hasher with its engines and threads. Other programs: programs.ts.
 */
import { createHash } from "node:crypto"
import { closeSync, openSync, readSync } from "node:fs"
import { sha256 as noble } from "@noble/hashes/sha2.js"
import { createSHA256 } from "hash-wasm"
import type { Engine } from "../../agent/hash/engine.ts"
import { asBinary } from "../../agent/hash/binary.ts"
import { Hasher } from "../../agent/hash/hasher.ts"
import { openCore } from "../../wasm/core.ts"
import { createLanes, type Source } from "../../wasm/lanes.ts"
import { createSha256 } from "../../wasm/sha256.ts"
import { createVerity } from "../../wasm/verity.ts"

/** Reads every byte of the files; returns what it made of them: digests in hex in the order of the files. */
export type Pass = {
  run(paths: readonly string[]): Promise<string>
  /** What must have happened before, once for each process and these files. */
  prepare(paths: readonly string[]): Promise<unknown>
}

export const passNames = [
  "read",
  "verity",
  "crypto",
  "stream",
  "hash-wasm",
  "noble",
  "lanes",
  "hasher-both",
  "hasher-both-2",
  "hasher-auto",
  "hasher-wasm",
  "hasher-wasm-2",
  "hasher-flat",
] as const
export type PassName = (typeof passNames)[number]

type Consumer = { update(bytes: Uint8Array): unknown; digest(): string }

const core = openCore()
const buffer = core.window
const hashers = new Map<string, Hasher>()
const never = new AbortController().signal
const asBytes = (path: string): string => asBinary(path)
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const always = (run: Pass["run"]): Pass => ({ run, prepare: () => Promise.resolve() })

export const passes: Readonly<Record<PassName, Pass>> = {
  read: loop(async () => ({ update: () => undefined, digest: () => "" })),
  crypto: loop(async () => {
    const hash = createHash("sha256")
    return { update: bytes => hash.update(bytes), digest: () => hash.digest("hex") }
  }),
  stream: loop(async () => {
    const hash = createSha256(core)
    return { update: bytes => hash.update(bytes), digest: () => hex(hash.digest()) }
  }),
  "hash-wasm": loop(async () => {
    const hash = (await createSHA256()).init()
    return { update: bytes => hash.update(bytes), digest: () => hash.digest("hex") }
  }),
  noble: loop(async () => {
    const hash = noble.create()
    return { update: bytes => hash.update(bytes), digest: () => hex(hash.digest()) }
  }),
  verity: always(async paths => paths.map(verityOf).join(" ")),
  lanes: always(async paths => lanesOf(paths)),
  "hasher-both": anew("hasher-both", 1),
  "hasher-both-2": anew("hasher-both-2", 2),
  "hasher-auto": again("hasher-auto", "auto", 1),
  "hasher-wasm": again("hasher-wasm", "wasm", 1),
  "hasher-wasm-2": again("hasher-wasm-2", "wasm", 2),
  "hasher-flat": flat(),
}

function loop(create: () => Promise<Consumer>): Pass {
  return always(async paths => {
    const digests: string[] = []
    for (const path of paths) {
      const consumer = await create()
      withFile(path, file => {
        for (let count = -1; count !== 0; ) {
          count = readSync(file, buffer)
          consumer.update(buffer.subarray(0, count))
        }
      })
      digests.push(consumer.digest())
    }
    return digests.join(" ")
  })
}

function withFile<T>(path: string, use: (file: number) => T): T {
  const file = openSync(path, "r")
  try {
    return use(file)
  } finally {
    closeSync(file)
  }
}

/** Read into the core's window, and nothing copied. */
function verityOf(path: string): string {
  const verity = createVerity(core)
  withFile(path, file => {
    for (let count = -1; count !== 0; ) {
      count = readSync(file, verity.window)
      verity.commit(count)
    }
  })
  return hex(verity.digest().digest)
}

function lanesOf(paths: readonly string[]): string {
  const files = paths.map(path => openSync(path, "r"))
  const sources = files.map((file): Source => ({ read: into => readSync(file, into) }))
  const lanes = createLanes(sources, core)
  while (lanes.step());
  for (const file of files) closeSync(file)
  return lanes.digests().map(hex).join(" ")
}

/** One hasher for each pass, whose threads stay: what one pass makes known to it another need not know. */
function hasher(of: PassName, engine: Engine, workers: number): Hasher {
  const there = hashers.get(of) ?? new Hasher({ engine, workers })
  hashers.set(of, there)
  return there
}

const files = (of: Hasher, paths: readonly string[]) => of.files(paths.map(asBytes), "full", never, () => undefined)

/** Both digests of files that are new to the hasher. */
function anew(name: PassName, workers: number): Pass {
  return always(async paths => {
    const found = await files(hasher(name, "auto", workers), paths)
    for (const { state } of found) hasher(name, "auto", workers).drop(state)
    return found.map(({ sha256, verity }) => `${sha256} ${verity}`).join(" ")
  })
}

/** Files that the hasher knows, every byte read again. */
function again(name: PassName, engine: Engine, workers: number): Pass {
  return {
    prepare: paths => files(hasher(name, engine, workers), paths),
    async run(paths) {
      const found = await files(hasher(name, engine, workers), paths)
      const other = found.find(({ how }) => how !== "again")
      if (other) throw new Error(`a file that was to be hashed again was "${other.how}"`)
      return found.map(({ sha256, verity }) => `${sha256} ${verity}`).join(" ")
    },
  }
}

/** SHA-256 alone, by what the hasher finds fastest for it; that it measures 30 ms beforehand is not part of a pass. */
function flat(): Pass {
  return {
    prepare: () => hasher("hasher-flat", "auto", 1).plan(),
    async run(paths) {
      const found = await hasher("hasher-flat", "auto", 1).flat(paths.map(asBytes), "full", never, () => undefined)
      return found.map(({ sha256 }) => sha256).join(" ")
    },
  }
}

/** Ends the threads. */
export async function closePasses(): Promise<void> {
  await Promise.all([...hashers.values()].map(each => each.close()))
}
