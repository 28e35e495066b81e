/**
 * What are the SHA-256 digests of these files, eight at a time? For CPUs without SHA instructions, where the lanes of the core
 * are faster than one file after the other. A file that fails ends its own lane; the others go on.
 */
import { type BigIntStats, closeSync, fstatSync, readSync } from "node:fs"
import type { Core } from "../../wasm/core.ts"
import { createLanes, type Source } from "../../wasm/lanes.ts"
import type { Binary } from "./binary.ts"
import { type Answer, type Reads, stateOf } from "./job.ts"
import { attempt, isSettled, openToRead, type Reader, same } from "./pass.ts"

/** One file: opened when its first bytes are wanted, closed behind its last. */
class FileSource implements Source {
  readonly #path: Binary
  readonly #reads: Reads
  readonly #reader: Reader
  #file = -1
  #before: BigIntStats | undefined
  #began = 0n
  #size = 0
  #answer: Answer | "under way" = "under way"

  constructor(path: Binary, reads: Reads, reader: Reader) {
    this.#path = path
    this.#reads = reads
    this.#reader = reader
  }

  read(into: Uint8Array<ArrayBuffer>): number {
    let count = 0
    const answer = attempt(() => {
      if (!this.#before) this.#open()
      count = this.#before?.isFile() ? this.#more(into) : 0
      return count > 0 ? { kind: "stopped" } : this.#ended()
    })
    if (count > 0) return count
    this.#answer = answer
    this.close()
    return 0
  }

  close(): void {
    if (this.#file >= 0) closeSync(this.#file)
    this.#file = -1
  }

  /** With the digest of what was read. */
  answer(digest: Uint8Array): Answer {
    const answer = this.#answer === "under way" ? ({ kind: "stopped" } as const) : this.#answer
    return answer.kind === "hashed" ? { ...answer, sha256: Buffer.from(digest).toString("hex") } : answer
  }

  #open(): void {
    this.#began = BigInt(Date.now()) * 1_000_000n
    this.#file = openToRead(this.#path, this.#reads)
    this.#before = fstatSync(this.#file, { bigint: true })
  }

  #more(into: Uint8Array<ArrayBuffer>): number {
    const count = this.#before && BigInt(this.#size) < this.#before.size ? readSync(this.#file, into) : 0
    this.#size += count
    this.#reader.pace.spend(count)
    this.#reader.progress(count)
    return count
  }

  #ended(): Answer {
    const before = this.#before
    if (!before?.isFile()) return { kind: "failed", code: "ENODEV" }
    if (BigInt(this.#size) !== before.size || !same(before, this.#file)) return { kind: "changed" }
    const settled = isSettled(before, this.#began)
    const nothing = { sha256: "", verity: "", by: "wasm", records: "none" } as const
    return { kind: "hashed", ...nothing, size: this.#size, state: stateOf(before), settled }
  }
}

/** The answers for all, in their order. Throws {@link Stopped}. */
export function hashSideBySide(paths: readonly Binary[], reads: Reads, core: Core, reader: Reader): Answer[] {
  const sources = paths.map(path => new FileSource(path, reads, reader))
  const lanes = createLanes(sources, core)
  try {
    while (lanes.step()) reader.pace.spend(0)
    const digests = lanes.digests()
    return sources.map((source, i) => source.answer(digests[i] ?? new Uint8Array()))
  } finally {
    for (const source of sources) source.close()
  }
}
