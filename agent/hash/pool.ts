/**
 * Who carries out the jobs? A few threads that are started when they are needed, each with one job at a time; a queue feeds
 * whoever is free. What the jobs are: job.ts; which are given: hasher.ts.
 */
import { availableParallelism } from "node:os"
import { Worker } from "node:worker_threads"
import { entryPoint } from "../../local/entry.ts"
import type { Answer, Manner, Report, Task } from "./job.ts"

/** Called with bytes that were read since it was called last. */
export type Read = (bytes: number) => void

type Waiting = {
  readonly id: number
  readonly task: Task
  readonly stop: Int32Array
  readonly read: Read
  readonly resolve: (answers: readonly Answer[]) => void
  readonly reject: (reason: unknown) => void
}

/** Threads beside whatever else this machine does: two where there are more than two cores, else one. */
export const modestWorkers = (): number => Math.max(1, Math.min(2, availableParallelism() - 1))
/** The most threads of a pool. */
export const mostWorkers = 64

/** Threads that hash. {@link close} it. */
export class Pool {
  readonly workers: number
  /** whether every thread has a core that works */
  readonly hasCore: boolean
  readonly #manner: Manner
  readonly #idle: Worker[] = []
  readonly #busy = new Map<Worker, Waiting>()
  readonly #queue: Waiting[] = []
  #jobs = 0

  constructor(workers: number, manner: Manner) {
    this.workers = workers
    this.hasCore = manner.core === "needed"
    this.#manner = { ...manner, bytesPerSecond: manner.bytesPerSecond / workers }
  }

  /** The answers to a task. Rejects with the signal's reason when it is aborted; then the thread stops within 1 MiB. */
  run(task: Task, signal: AbortSignal, read: Read): Promise<readonly Answer[]> {
    const { promise, resolve, reject } = Promise.withResolvers<readonly Answer[]>()
    if (signal.aborted) return Promise.reject(reasonOf(signal))
    const stop = new Int32Array(new SharedArrayBuffer(4))
    const waiting: Waiting = { id: this.#jobs++, task, stop, read, resolve, reject }
    const aborted = (): void => {
      Atomics.store(stop, 0, 1)
      Atomics.notify(stop, 0)
      const place = this.#queue.indexOf(waiting)
      if (place >= 0) this.#queue.splice(place, 1)
      reject(reasonOf(signal))
    }
    signal.addEventListener("abort", aborted, { once: true })
    // a look is short, and whoever wants it asks what needs no reading
    if (task.kind === "look") this.#queue.unshift(waiting)
    else this.#queue.push(waiting)
    this.#feed()
    return promise.finally(() => signal.removeEventListener("abort", aborted))
  }

  /** Ends the threads; who still waits for them is told. */
  async close(): Promise<void> {
    const workers = [...this.#idle.splice(0), ...this.#busy.keys()]
    for (const { reject } of [...this.#queue.splice(0), ...this.#busy.values()])
      reject(new Error("the hasher is closed"))
    this.#busy.clear()
    await Promise.all(workers.map(worker => worker.terminate()))
  }

  #feed(): void {
    while (this.#queue.length > 0) {
      const worker = this.#idle.pop() ?? (this.#busy.size < this.workers ? this.#start() : undefined)
      if (!worker) return
      const next = this.#queue.shift()
      if (!next) return
      this.#busy.set(worker, next)
      worker.ref()
      const { id, stop, task } = next
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a rule for windows
      worker.postMessage({ id, stop, task })
    }
  }

  #start(): Worker {
    const worker = new Worker(entryPoint("hashWorker"), {
      workerData: this.#manner,
      resourceLimits: { maxYoungGenerationSizeMb: 4 },
    })
    worker.on("message", (report: Report) => this.#hear(worker, report))
    worker.on("error", error => this.#lost(worker, error))
    worker.on("exit", () => this.#lost(worker, new Error("a hashing thread ended")))
    return worker
  }

  #hear(worker: Worker, report: Report): void {
    const waiting = this.#busy.get(worker)
    if (waiting?.id !== report.id) return
    if (report.kind === "progress") {
      waiting.read(report.bytes)
      return
    }
    this.#busy.delete(worker)
    worker.unref()
    this.#idle.push(worker)
    if (report.kind === "answers") waiting.resolve(report.answers)
    else waiting.reject(new Error(report.message))
    this.#feed()
  }

  #lost(worker: Worker, error: unknown): void {
    this.#busy.get(worker)?.reject(error)
    this.#busy.delete(worker)
    const place = this.#idle.indexOf(worker)
    if (place >= 0) this.#idle.splice(place, 1)
    this.#feed()
  }
}

function reasonOf(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error("stopped")
}
