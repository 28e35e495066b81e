/**
 * How does a site of one collector, one workstation and its TPM run, so that each part can be killed and started again? As the
 * product's own processes, in a folder of its own, with a model that is measured anew at each challenge.
 */
import type { ChildProcess } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { type Caller, openCaller } from "../../local/call.ts"
import { socketName, verbs } from "../../collector/verbs.ts"
import { type Done, runnerUnder, type Service, startService } from "../start/child.ts"
import { endOf, launchTpm, manufactureTpm, tctiOf } from "../swtpm.ts"

export const parts = ["agent", "broker", "collector", "tpm"] as const
export type Part = (typeof parts)[number]

const answerDeadline = 60_000

/** Seconds between challenges, and between reports while nobody asks. */
export type Pace = { readonly challenges: number; readonly reports: number }
const busy: Pace = { challenges: 2, reports: 1 }

export class Site {
  readonly folder = mkdtempSync(join(tmpdir(), "assay-soak-"))
  readonly #pace: Pace
  readonly #services = new Map<"agent" | "collector", Service>()
  #tpm: ChildProcess | undefined

  private constructor(pace: Pace) {
    this.#pace = pace
  }

  /** A site whose agent has joined its collector. */
  static async open(pace: Pace = busy): Promise<Site> {
    const site = new Site(pace)
    try {
      await site.#begin()
      return site
    } catch (error) {
      await site.close()
      throw error
    }
  }

  async #begin(): Promise<void> {
    mkdirSync(this.#path("tpm"))
    await manufactureTpm(this.#path("tpm"), { endorsed: true, banks: "sha256", authority: this.#path("authority") })
    this.#tpm = await launchTpm(this.#path("tpm"))
    this.writeModel("as it was")
    this.#configure(await freePort())
    this.#start("collector")
    await this.#untilAnswers()
    this.#start("agent")
    const config = (name: string): string[] => ["--config", this.#path(`${name}.toml`)]
    const { out } = await this.#run(["invite", "--by", "soak", ...config("collector")])
    await this.#run(["join", ...config("agent")], out)
  }

  /** What the model's only file holds from now on. */
  writeModel(text: string): void {
    mkdirSync(this.#path("model"), { recursive: true })
    writeFileSync(this.#path("model/weights.bin"), text)
  }

  /** Ends `part` by SIGKILL, and starts what no other part would start again. */
  async killAndRestart(part: Part): Promise<void> {
    if (part === "tpm") return this.#restartTpm()
    if (part === "broker") return void process.kill(this.#brokerPid(), "SIGKILL")
    await this.#services.get(part)?.kill()
    this.#start(part)
  }

  /** A verb of the collector's, as soon as it answers. */
  async ask<T>(what: (caller: Caller<typeof verbs>) => Promise<T>): Promise<T> {
    const caller = await this.#collector()
    return what(caller).finally(() => caller.close())
  }

  /** Files of the spool that a collector acknowledged. */
  get acknowledged(): readonly string[] {
    return this.#spooled("acknowledged")
  }
  get waiting(): readonly string[] {
    return this.#spooled("waiting")
  }

  /** The newest lines that `part` said. */
  said(part: "agent" | "collector"): string {
    return readFileSync(this.#path(`${part}.log`), "utf8").slice(-4000)
  }

  async close(): Promise<void> {
    await this.#services.get("agent")?.stop()
    await this.#services.get("collector")?.stop()
    this.#tpm?.kill("SIGKILL")
    if (this.#tpm) await endOf(this.#tpm)
    rmSync(this.folder, { recursive: true, force: true })
  }

  #path(name: string): string {
    return join(this.folder, name)
  }

  #spooled(folder: string): string[] {
    const path = this.#path(`agent-state/spool/${folder}`)
    return readdirSync(path).map(name => join(path, name))
  }

  #start(part: "agent" | "collector"): void {
    const log = this.#path(`${part}.log`)
    this.#services.set(part, startService(part, [part, "--config", this.#path(`${part}.toml`)], log))
  }

  #run(args: readonly string[], input = ""): Promise<Done> {
    return runnerUnder(new AbortController().signal)(args, input)
  }

  async #restartTpm(): Promise<void> {
    this.#tpm?.kill("SIGKILL")
    if (this.#tpm) await endOf(this.#tpm)
    this.#tpm = await launchTpm(this.#path("tpm"))
  }

  /** The process whose arguments name this site's broker state. */
  #brokerPid(): number {
    const state = this.#path("agent-state/broker")
    const found = readdirSync("/proc").find(name => /^\d+$/.test(name) && argumentsOf(name).includes(state))
    if (found === undefined) throw new Error("no broker runs")
    return Number(found)
  }

  #configure(port: number): void {
    const { challenges, reports } = this.#pace
    const quoted = (name: string): string => JSON.stringify(this.#path(name))
    const collector = [
      `state = ${quoted("collector-state")}`,
      `runtime = ${quoted("collector")}`,
      `listen = { host = "127.0.0.1", port = ${port} }`,
      `advertise = { host = "127.0.0.1", port = ${port} }`,
      `challenge = { every = ${challenges}, deadline = 60, stale = ${600 + 2 * challenges} }`,
      `limits = { accepts = 100000 }`,
    ]
    const agent = [
      `state = ${quoted("agent-state")}`,
      `runtime = ${quoted("agent")}`,
      `tpm = { tcti = ${JSON.stringify(tctiOf(this.#path("tpm")))}, software = true, deadline = 10 }`,
      `reports = { every = ${reports} }`,
      `[[weights]]`,
      `path = ${quoted("model")}`,
    ]
    writeFileSync(this.#path("collector.toml"), `${collector.join("\n")}\n`)
    writeFileSync(this.#path("agent.toml"), `${agent.join("\n")}\n`)
  }

  #collector(): Promise<Caller<typeof verbs>> {
    return openCaller(this.#path(`collector/${socketName}`), verbs, answerDeadline)
  }

  async #untilAnswers(): Promise<void> {
    const end = Date.now() + answerDeadline
    for (;;) {
      const caller = await this.#collector().catch(() => undefined)
      if (caller) return caller.close()
      if (Date.now() > end) throw new Error(`the collector does not answer:\n${this.said("collector")}`)
      await delay(50)
    }
  }
}

function argumentsOf(pid: string): readonly string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0")
  } catch {
    return []
  }
}

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
