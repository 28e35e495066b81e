/**
 * What is known of files that were hashed before? By their state, which any write changes. Whether a file may be taken for
 * what is known of it depends on who found that, and on how thorough a look is asked for.
 */

/** Both digests in hex; `state` as job.ts has it. */
export type FileDigests = {
  readonly sha256: string
  readonly verity: string
  readonly size: number
  readonly state: string
}

/** quick: a file that nobody wrote to since it was hashed is not read again; full: every file is read. */
export type Depth = "quick" | "full"

/** `own`: both digests were found by this process; else they were kept on disk. */
type Entry = { readonly digests: FileDigests; readonly own: boolean; fresh: boolean }

/** The most files that are remembered: a model's worth, and as many again. */
const memoryLimit = 250_000

/** What a process knows of files. */
export class Known {
  readonly #entries = new Map<string, Entry>()

  /** What this process itself has found. */
  learn({ sha256, verity, size, state }: FileDigests): void {
    const digests = { sha256, verity, size, state }
    if (this.#entries.size < memoryLimit) this.#entries.set(state, { digests, own: true, fresh: true })
  }

  /** What was kept on disk; what this process has found goes before it. */
  trust(digests: FileDigests): void {
    if (this.#entries.size >= memoryLimit || this.#entries.has(digests.state)) return
    this.#entries.set(digests.state, { digests, own: false, fresh: true })
  }

  /** The digests of a file in this state, for a look of this depth. */
  get(state: string, depth: Depth): FileDigests | "unknown" {
    const entry = this.#entries.get(state)
    return entry?.fresh && depth === "quick" ? entry.digests : "unknown"
  }

  /** A pair of digests of which one is enough to tell that a file is still the same: only our own. */
  pair(state: string): FileDigests | "unknown" {
    const entry = this.#entries.get(state)
    return entry?.own ? entry.digests : "unknown"
  }

  /** From now on every file is read again, and nothing on disk counts. */
  doubt(): void {
    for (const [state, entry] of this.#entries) {
      if (entry.own) entry.fresh = false
      else this.#entries.delete(state)
    }
  }

  /** Forgets a file in this state altogether. */
  drop(state: string): void {
    this.#entries.delete(state)
  }
}
