/**
 * How does this machine answer? It measures itself, appends what is new, has the broker quote, and takes evidence and log
 * together. One after another: two challenges never measure at the same time; only the weights of a full reading, which may take
 * hours, are read beside. Where evidence goes: `session.ts`.
 */
import type { z } from "zod"
import { readEnvelope } from "../attestation/protocol/dsse.ts"
import { type BootLogName, readPayload } from "../attestation/protocol/evidence.ts"
import { writeEvent } from "../attestation/protocol/event.ts"
import { fromBase64 } from "../attestation/wire/text.ts"
import { BootLogs, type Remark } from "./boot-logs.ts"
import type { LogState, verbs } from "./broker/verbs.ts"
import type { Configuration } from "./config.ts"
import { type Depth, Hasher } from "./hash/hasher.ts"
import type { Progress } from "./hash/model.ts"
import type { Host } from "./host.ts"
import { measure, type Measured, sameEpoch } from "./measure.ts"
import { type Broker, digestOf, type LogCopy, type Recorded, readLog, recordedIn } from "./record.ts"
import { makeReady, type Ready, type RunRequest } from "./run/ready.ts"
import { Runs } from "./run/runs.ts"
import { ownSelf } from "./self.ts"
import { sources } from "./sources/index.ts"
import { scanOf } from "./sources/process/scan.ts"
import type { Means, Source } from "./sources/source.ts"
import { weights } from "./sources/weights.ts"
import { Trouble } from "./trouble.ts"

/**
 * `digest` is what the evidence is called, in hex; `log` the bytes of ours that it covers, `bootLogs` those that others wrote;
 * `remarks` is what is new to say to whoever runs the agent.
 */
export type Evidence = {
  readonly digest: string
  readonly kind: "answer" | "report"
  readonly audience: string
  readonly sequence: string
  readonly made: string
  readonly envelope: Uint8Array
  readonly log: Uint8Array
  readonly bootLogs: ReadonlyMap<BootLogName, Uint8Array>
  readonly remarks: readonly Remark[]
}

type Asked = z.infer<typeof verbs.attest.request>["asked"]
export type Question = { readonly asked: Asked; readonly audience: string; readonly depth: Depth }

/** What is hashed now: which model, and how far. */
export type Hashing = ({ readonly model: string } & Progress) | "nothing"

export type AttesterParts = {
  readonly broker: Broker
  readonly host: Host
  readonly configuration: Pick<Configuration, "weights" | "tpm" | "state">
  /** milliseconds since 1970 */
  readonly now: () => number
}

/** Everything is read again but the weights, which were read just now. */
const sourcesAfterReading: readonly Source[] = sources.map(each =>
  each === weights ? { name: each.name, measure: context => each.measure({ ...context, depth: "quick" }) } : each,
)

/** How often evidence is made anew when an epoch opens under it. */
const mostEpochs = 5

/** Measures and attests. {@link close} it. */
export class Attester {
  readonly #parts: AttesterParts
  readonly #hasher: Hasher
  readonly #self = ownSelf()
  readonly #runs: Runs
  readonly #bootLogs: BootLogs
  #log: LogCopy | "nothing" = "nothing"
  #hashing: Hashing = "nothing"
  #asked = 0
  #moved = performance.now()
  #last: Promise<unknown> = Promise.resolve()

  /** @param hasher is closed with the attester; the usual one knows files only as long as it lives */
  constructor(parts: AttesterParts, hasher = new Hasher()) {
    this.#parts = parts
    this.#hasher = hasher
    this.#bootLogs = new BootLogs(parts.host)
    this.#runs = new Runs(parts.configuration.state, parts.host)
  }

  get hashing(): Hashing {
    return this.#hashing
  }

  /** Whether nothing is asked of it, or it began, read or ended something within the last `milliseconds`. */
  moves(milliseconds: number): boolean {
    return this.#asked === 0 || performance.now() - this.#moved < milliseconds
  }

  /** What the log held when it was measured last. */
  get recorded(): Recorded {
    return this.#log === "nothing" ? new Map() : recordedIn(this.#log.bytes)
  }

  /** Brings the log up to date. Throws CallFailed, Trouble, and the signal's reason. */
  measure(depth: Depth, signal: AbortSignal): Promise<Measured> {
    return this.#inTurn(() => this.#measure(depth, signal))
  }

  /**
   * Reads every weight file again, between two records that carry `nonce`: what is quoted after shows that it was read after it was
   * asked, however long that took. What else is asked meanwhile is answered meanwhile. Again when an epoch opened in between.
   * Throws as {@link measure} does.
   */
  async hashAll(nonce: string, signal: AbortSignal): Promise<void> {
    for (let attempt = 0; attempt < mostEpochs; attempt++) {
      const begun = await this.#inTurn(() => this.#record("assay.hash-begun.v1", nonce))
      await this.#readWeights(signal)
      const done = await this.#inTurn(async () => {
        await this.#measure("full", signal, sourcesAfterReading)
        return this.#record("assay.hash-done.v1", nonce)
      })
      if (sameEpoch(begun, done)) return
    }
    throw new Trouble("epochs open faster than everything can be read", "find out what suspends or resets the machine")
  }

  /** Measures, then makes evidence; again when an epoch opened in between. Throws as {@link measure} does. */
  answer(question: Question, signal: AbortSignal): Promise<Evidence> {
    return this.#inTurn(() => this.#answer(question, signal))
  }

  /** Hashes what a command names and records it; afterwards it may be started. Throws Trouble, CannotHash, CallFailed. */
  ready(request: RunRequest, depth: Depth, signal: AbortSignal): Promise<Ready> {
    return this.#inTurn(async () => {
      try {
        return await makeReady(this.#parts.broker, await this.#context(depth, signal), this.#runs, request)
      } finally {
        this.#hashing = "nothing"
      }
    })
  }

  async close(): Promise<void> {
    await this.#hasher.close()
    await this.#last
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    this.#moved = this.#asked++ === 0 ? performance.now() : this.#moved
    const turn = this.#last.then(work).finally(() => {
      this.#asked--
      this.#moved = performance.now()
    })
    this.#last = turn.catch(() => undefined)
    return turn
  }

  async #measure(depth: Depth, signal: AbortSignal, which = sources): Promise<Measured> {
    const { broker } = this.#parts
    try {
      const measuring = this.#context(depth, signal).then(means => measure(broker, which, means, this.#log))
      const measured = await unlessAborted(measuring, signal)
      this.#log = measured.log
      return measured
    } finally {
      this.#hashing = "nothing"
    }
  }

  /** What the hasher finds it knows afterwards; what that says of the machine is measured in its turn. */
  async #readWeights(signal: AbortSignal): Promise<void> {
    try {
      const means = await this.#context("full", signal)
      await weights.measure({ ...means, scan: scanOf(means.host) })
    } finally {
      this.#hashing = "nothing"
    }
  }

  async #record(type: "assay.hash-begun.v1" | "assay.hash-done.v1", nonce: string): Promise<LogState> {
    return (await this.#parts.broker.call("append", { event: writeEvent({ type, nonce }) })).log
  }

  async #context(depth: Depth, signal: AbortSignal): Promise<Means> {
    const { broker, host, configuration } = this.#parts
    const { tpm, banks } = await broker.call("identity", {})
    const progress: Means["progress"] = (model, each) => {
      this.#moved = performance.now()
      this.#hashing = { model, ...each }
    }
    const gate = (): void => {
      signal.throwIfAborted()
      this.#moved = performance.now()
    }
    const common = {
      host: host.behind(gate),
      hasher: this.#hasher,
      self: this.#self,
      weights: configuration.weights,
      runs: this.#runs,
    }
    return { ...common, depth, signal, progress, tpm: { ...tpm, banks } }
  }

  async #answer({ asked, audience, depth }: Question, signal: AbortSignal): Promise<Evidence> {
    const { broker, configuration, now } = this.#parts
    for (let attempt = 0; attempt < mostEpochs; attempt++) {
      if (depth === "full" && asked.kind === "answer") await this.#record("assay.hash-begun.v1", asked.nonce)
      await this.#measure(depth, signal)
      if (depth === "full" && asked.kind === "answer") await this.#record("assay.hash-done.v1", asked.nonce)
      const made = new Date(now()).toISOString()
      const pcrs = [...configuration.tpm.pcrs]
      const quoted = await broker.call("attest", { asked, audience, made, pcrs })
      if (!quoted.opened) return this.#sealed(quoted)
      this.#hasher.forget()
    }
    throw new Trouble("epochs open faster than evidence can be made", "find out what suspends or resets the machine")
  }

  /** The logs that belong to the quote are read now that it is made. */
  async #sealed({ ticket, pcrs }: z.infer<typeof verbs.attest.answer>): Promise<Evidence> {
    const { named, bytes, remarks } = await this.#bootLogs.read(pcrs)
    const { envelope } = await this.#parts.broker.call("seal", { ticket, logs: [...named] })
    return { ...(await this.#complete(fromBase64(envelope))), bootLogs: bytes, remarks }
  }

  /** Evidence with our log, as it names it. */
  async #complete(envelope: Uint8Array): Promise<Omit<Evidence, "bootLogs" | "remarks">> {
    const payload = fromBase64(readEnvelope(envelope).payload)
    const { body } = readPayload(payload)
    const named = body.logs.find(log => log.name === "assay")
    this.#log = await readLog(this.#parts.broker, this.#log)
    const log = this.#log.bytes.subarray(0, named?.length ?? 0)
    if (!named || digestOf(log) !== named.digest)
      throw new Trouble("the log is not the one that was quoted", "ask again; if it repeats, look at the broker's log")
    const { kind, audience, made, chain } = body
    return {
      digest: digestOf(payload),
      kind,
      audience,
      made,
      sequence: chain.sequence,
      envelope,
      log: new Uint8Array(log),
    }
  }
}

/** Whoever is told to end does not wait for what a driver, a disk or another process keeps back: that ends by itself. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>()
  const aborted = (): void => reject(reasonOf(signal))
  work.catch(() => undefined) // nobody may listen any more
  signal.addEventListener("abort", aborted, { once: true })
  try {
    signal.throwIfAborted()
    return await Promise.race([work, promise])
  } finally {
    signal.removeEventListener("abort", aborted)
  }
}

const reasonOf = ({ reason }: AbortSignal): Error => (reason instanceof Error ? reason : new Error("stopped"))
