/**
 * Which processes were started by us, and what was hashed before? A list in the state folder, so that an agent that is started
 * anew still knows. A process is its number and the tick of its start, within one boot. How a run is made ready: run.ts.
 */
import { open, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import { z } from "zod"
import { Malformed } from "../../attestation/wire/codec.ts"
import { readJson, writeJson } from "../../attestation/wire/json.ts"
import { count, hex, line } from "../../attestation/wire/text.ts"
import type { Host } from "../host.ts"

/** `state` as hash/job.ts has it: it changes when anybody writes to the file. */
const file = z.strictObject({ path: z.string().max(4096), state: line(256), sha256: hex(32) })
const run = z.strictObject({
  boot: line(64),
  process: count(1 << 30),
  /** clock ticks from boot to the start of the process: proc_pid_stat(5), field 22 */
  ticks: count(Number.MAX_SAFE_INTEGER),
  /** what the process executes, every link followed; an interpreter too, where the command is a script */
  executables: z.array(z.string().max(4096)).max(4),
  files: z.array(file).max(100_000),
})
export type Run = z.infer<typeof run>

const list = z.strictObject({ format: z.literal("assay-runs-v1"), runs: z.array(run).max(256) })
const limits = Object.freeze({ bytes: 1 << 26, runs: 256, ancestors: 32 })

/** Runs of this boot whose processes live. */
export class Runs {
  readonly #path: string
  readonly #host: Host
  #known: readonly Run[] | "not read" = "not read"

  constructor(state: string, host: Host) {
    this.#path = join(state, "runs.json")
    this.#host = host
  }

  /** Keeps a run; those that are over are forgotten. */
  async add(added: Run): Promise<void> {
    const living: Run[] = []
    for (const each of await this.#all()) if (await isAlive(this.#host, each)) living.push(each)
    this.#known = [...living.slice(-limits.runs + 1), added]
    const fresh = `${this.#path}.new`
    const target = await open(fresh, "w", 0o600)
    try {
      await target.writeFile(writeJson({ format: "assay-runs-v1", runs: this.#known }))
      await target.sync()
    } finally {
      await target.close()
    }
    await rename(fresh, this.#path)
  }

  /** The run that started the process with this folder in proc, or one that it descends from; "none" if nobody did. */
  async of(folder: string): Promise<Run | "none"> {
    const runs = await this.#all()
    if (runs.length === 0) return "none"
    const boot = await bootOf(this.#host)
    let at = folder
    for (let i = 0; i < limits.ancestors; i++) {
      const stat = await statOf(this.#host, at)
      if (stat === "unknown") return "none"
      const found = runs.find(each => each.boot === boot && each.process === stat.process && each.ticks === stat.ticks)
      if (found) return (await runsAs(this.#host, found)) ? found : "none"
      at = `/proc/${stat.parent}`
    }
    return "none"
  }

  /** A list that is not as it was written says nothing of any process. */
  async #all(): Promise<readonly Run[]> {
    if (this.#known !== "not read") return this.#known
    try {
      this.#known = readJson(list, await readFile(this.#path), limits.bytes).runs
    } catch (error) {
      const missing = error instanceof Error && "code" in error && error.code === "ENOENT"
      if (!missing && !(error instanceof Malformed)) throw error
      this.#known = []
    }
    return this.#known
  }
}

/** For who does not look at what was started. */
export const noRuns: Pick<Runs, "of"> = { of: async () => "none" }

/** Whether the process executes what was hashed: until it does, it is ours. */
async function runsAs(host: Host, { process, executables }: Run): Promise<boolean> {
  const exe = await host.link(`/proc/${process}/exe`)
  return exe.state === "present" && executables.includes(exe.value)
}

async function isAlive(host: Host, { boot, process, ticks }: Run): Promise<boolean> {
  const stat = await statOf(host, `/proc/${process}`)
  return stat !== "unknown" && stat.ticks === ticks && boot === (await bootOf(host))
}

/** The kernel's name for this boot. */
export async function bootOf(host: Host): Promise<string> {
  const read = await host.readLine("/proc/sys/kernel/random/boot_id")
  return read.state === "present" ? Buffer.from(read.value).toString("latin1").slice(0, 64) : ""
}

export type ProcessStat = { readonly process: number; readonly parent: number; readonly ticks: number }

/** Number, parent and start of a process: proc_pid_stat(5). Its name, in brackets, may hold anything. */
export async function statOf(host: Host, folder: string): Promise<ProcessStat | "unknown"> {
  const read = await host.readLine(`${folder}/stat`)
  if (read.state !== "present") return "unknown"
  const text = Buffer.from(read.value).toString("latin1")
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const [process, parent, ticks] = [text.split(" ", 1)[0], fields[1], fields[19]].map(Number)
  const known = [process, parent, ticks].every(each => Number.isSafeInteger(each))
  return known ? { process: process ?? 0, parent: parent ?? 0, ticks: ticks ?? 0 } : "unknown"
}
