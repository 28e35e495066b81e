/**
 * Who hashes files, and which need not be read again? A hasher: one thread, and what it remembers of files that nobody has
 * written to since. What a model is made of: `tree.ts`; what it is called: `model.ts`.
 */
import { stat } from "node:fs/promises"
import { Worker } from "node:worker_threads"
import { entryPoint } from "../../local/entry.ts"
import { CannotHash, type ModelFile, refusal, refuse } from "./tree.ts"
import { type Digests, type Job, type Report, stateOf } from "./job.ts"
import { escaped } from "../escape.ts"

/** quick: a file that nobody wrote to since it was hashed is not read again; full: every file is read. */
export type Depth = "quick" | "full"
export type FileDigests = Pick<Digests, "sha256" | "verity" | "size">
/** Called with the bytes of the present file that are hashed so far. */
export type FileProgress = (bytes: number) => void

/** The most files that are remembered. */
const memoryLimit = 100_000

/** Hashes files one at a time in a thread. {@link close} it. */
export class Hasher {
  readonly #known = new Map<string, FileDigests>()
  #worker: Worker | undefined
  #last: Promise<unknown> = Promise.resolve()

  /**
   * Both digests of one file. Throws {@link CannotHash}, and the signal's reason when it is aborted: then the thread is
   * stopped in the middle of the file.
   */
  file(file: Pick<ModelFile, "path">, depth: Depth, signal: AbortSignal, progress: FileProgress): Promise<FileDigests> {
    const turn = this.#last.then(() => this.#file(file, depth, signal, progress))
    this.#last = turn.catch(() => undefined)
    return turn
  }

  /** Forgets every file: the next measurement reads them all. */
  forget(): void {
    this.#known.clear()
  }

  async close(): Promise<void> {
    const worker = this.#worker
    this.#worker = undefined
    await worker?.terminate()
  }

  async #file(
    { path }: Pick<ModelFile, "path">,
    depth: Depth,
    signal: AbortSignal,
    progress: FileProgress,
  ): Promise<FileDigests> {
    signal.throwIfAborted()
    const status = await stat(Buffer.from(path), { bigint: true }).catch(error => refuse(path, error))
    const known = this.#known.get(stateOf(status))
    if (known && depth === "quick") return known
    const { state, settled, ...digests } = await this.#read(path, signal, progress)
    if (settled && this.#known.size < memoryLimit) this.#known.set(state, digests)
    return digests
  }

  async #read(path: Uint8Array, signal: AbortSignal, progress: FileProgress): Promise<Digests> {
    const worker = (this.#worker ??= startWorker())
    worker.ref()
    try {
      return await outcome(worker, { path }, signal, progress)
    } catch (error) {
      if (!(error instanceof CannotHash)) await this.close()
      throw error
    } finally {
      worker.unref()
    }
  }
}

const startWorker = (): Worker => new Worker(entryPoint("hashWorker"))

function outcome(worker: Worker, job: Job, signal: AbortSignal, progress: FileProgress): Promise<Digests> {
  const { promise, resolve, reject } = Promise.withResolvers<Digests>()
  const aborted = (): void => reject(signal.reason)
  const listen = (report: Report): void => {
    if (report.kind === "progress") progress(report.bytes)
    else if (report.kind === "hashed") resolve(report.digests)
    else reject(obstacle(job.path, report))
  }
  signal.addEventListener("abort", aborted)
  worker.on("message", listen).once("error", reject)
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows
  worker.postMessage(job)
  return promise.finally(() => {
    signal.removeEventListener("abort", aborted)
    worker.off("message", listen).off("error", reject)
  })
}

function obstacle(path: Uint8Array, report: Exclude<Report, { kind: "progress" | "hashed" }>): Error {
  if (report.kind === "failed") return refusal(path, report.code)
  const hint = "wait until whatever writes it is done"
  return new CannotHash("changed", `${escaped(path, 512)} changed while it was read`, hint)
}
