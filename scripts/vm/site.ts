/**
 * Who asks the machine, and what does it say of it? A collector on this machine, as the product's own process; its verdicts are read
 * as an operator would read them. What is done to the machine is left to the cases.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { setTimeout as delay } from "node:timers/promises"
import type { z } from "zod"
import { resultOf } from "../../cli/challenge.ts"
import type { Result } from "../../attestation/appraise/result.ts"
import type { Finding } from "../../attestation/verify/finding.ts"
import { type CollectorVerbs, socketName, verbs } from "../../collector/verbs.ts"
import { type Caller, openCaller } from "../../local/call.ts"
import { type Done, runnerUnder, type Service, startService } from "../start/child.ts"
import type { Machine } from "./machine.ts"
import { Late } from "./patience.ts"

export const person = "Ada Lovelace"

/** How the collector asks: seconds. */
export type Asking = { readonly every: number; readonly deadline: number; readonly stale: number }
const seldom: Asking = { every: 3600, deadline: 600, stale: 7200 }

/** An answer that was judged, or why there is none. */
export type Verdict = {
  readonly tier: Result["tier"] | "refused" | "unanswered"
  readonly findings: readonly Finding[]
  readonly components: Result["components"]
  readonly why: string
}

type Status = z.infer<CollectorVerbs["status"]["answer"]>

export class Site {
  readonly machine: Machine
  readonly folder: string
  /** how long things are tried: a minute offline and idle in the short form */
  readonly soak: boolean
  #collector: Service | undefined

  /** A collector whose state is, or will be, in `folder`/collector. */
  constructor(machine: Machine, folder: string, soak: boolean) {
    this.machine = machine
    this.folder = folder
    this.soak = soak
  }

  /** A port is drawn once: the machine keeps the one that it joined at. */
  static async configure(folder: string): Promise<void> {
    mkdirSync(join(folder, "collector"), { recursive: true })
    writeFileSync(join(folder, "port"), String(await freePort()))
  }

  /** Starts the collector, or starts it anew to ask otherwise. */
  async collect(asking: Asking = seldom): Promise<void> {
    await this.#collector?.stop()
    const { every, deadline, stale } = asking
    const port = readFileSync(join(this.folder, "port"), "utf8")
    const lines = [
      `state = ${JSON.stringify(join(this.folder, "collector"))}`,
      `runtime = ${JSON.stringify(this.machine.sockets)}`,
      `listen = { host = "127.0.0.1", port = ${port} }`,
      `advertise = { host = "10.0.2.2", port = ${port} }`,
      `challenge = { every = ${every}, deadline = ${deadline}, stale = ${stale} }`,
      "limits = { accepts = 100000 }",
    ]
    writeFileSync(this.configuration, `${lines.join("\n")}\n`)
    this.#collector = startService("collector", ["collector", "--config", this.configuration], this.log)
    await this.#answers()
  }

  get configuration(): string {
    return join(this.folder, "collector.toml")
  }
  get log(): string {
    return join(this.folder, "collector.log")
  }

  /** Runs `assay ARGS` here, with the collector's configuration. */
  assay(args: readonly string[], input = "", good: readonly number[] = [0]): Promise<Done> {
    return runnerUnder(new AbortController().signal)([...args, "--config", this.configuration], input, good)
  }

  /** A verb of the collector's. */
  async ask<T>(what: (collector: Caller<CollectorVerbs>) => Promise<T>): Promise<T> {
    const caller = await openCaller(join(this.machine.sockets, socketName), verbs, 900_000)
    return what(caller).finally(() => caller.close())
  }

  /** The only attester that is not retired. */
  async attester(): Promise<string> {
    const { attesters } = await this.ask(collector => collector.call("attesters", { after: "" }))
    const found = attesters.find(({ retired }) => !retired)
    if (!found) throw new Error("nobody has joined the collector")
    return found.attester
  }

  async status(): Promise<Status> {
    const attester = await this.attester()
    return this.ask(collector => collector.call("status", { attester }))
  }

  /** Asks the machine now. */
  async verdict(depth: "quick" | "full" = "quick"): Promise<Verdict> {
    const attester = await this.attester()
    const ended = await this.ask(collector => collector.call("challenge", { attester, depth }))
    if (ended.kind === "unanswered") return { tier: "unanswered", findings: [], components: [], why: ended.reason }
    if (ended.kind === "refused") return { tier: "refused", findings: ended.findings, components: [], why: "refused" }
    const { tier, findings, components } = resultOf(ended.result)
    return { tier, findings, components, why: "" }
  }

  /** Asks until the machine answers: it may be starting still. */
  async answer(depth: "quick" | "full" = "quick", seconds = 600): Promise<Verdict> {
    const end = Date.now() + seconds * 1000
    for (;;) {
      const verdict = await this.verdict(depth)
      if (verdict.tier !== "unanswered" && verdict.tier !== "refused") return verdict
      if (Date.now() > end) throw new Late(`no answer was judged within ${seconds} s: ${describe(verdict)}`)
      await delay(1000)
    }
  }

  /** Rows of the collector's store, read as an auditor would: while it runs, and without a word from it. */
  rows(query: string): Record<string, unknown>[] {
    const db = new DatabaseSync(join(this.folder, "collector/collector.db"), { readOnly: true })
    try {
      return db.prepare(query).all()
    } finally {
      db.close()
    }
  }

  /** Stops the collector. */
  async halt(): Promise<void> {
    await this.#collector?.stop()
    this.#collector = undefined
  }

  async close(): Promise<void> {
    await this.halt()
    await this.machine.close()
  }

  async #answers(): Promise<void> {
    for (const end = Date.now() + 60_000; ; await delay(200)) {
      const said = await this.ask(collector => collector.call("identity", {})).catch(() => undefined)
      if (said) return
      if (Date.now() > end) throw new Error(`the collector does not answer:\n${readFileSync(this.log, "utf8")}`)
    }
  }
}

/** A verdict in one line and a line for each finding: what a failing case shows. */
export const describe = ({ tier, why, findings }: Verdict): string =>
  [
    `${tier} ${why}`.trim(),
    ...findings.map(each => `  ${each.id}  ${each.component}: ${each.seen}; ${each.wanted}`),
  ].join("\n")

/** A port of this machine's that nobody listens on now. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once("error", reject)
    server.listen(0, "127.0.0.1", () => {
      const address = server.address()
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0))
    })
  })
}
