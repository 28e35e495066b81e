/**
 * With which machine does a run begin? All cases: with a bare one, which is installed first and kept as it then is. Some cases:
 * with the one that was kept, if it was made of the same package, image and collector.
 */
import { execFile } from "node:child_process"
import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs"
import { join } from "node:path"
import { promisify } from "node:util"
import { bareDisk, cache, digestOf } from "./cache.ts"
import type { Case } from "./case.ts"
import { deliver, newerVersion } from "./install.ts"
import { Machine, overlay } from "./machine.ts"
import { cases, opening, type Row, runCases } from "./schedule.ts"
import { Site } from "./site.ts"

export type TrialOptions = {
  /** the package */
  readonly deb: string
  readonly soak: boolean
  readonly keep: boolean
  readonly say: (line: string) => void
}

export class Trial {
  readonly #options: TrialOptions
  readonly #folder: string
  #site: Site | undefined

  private constructor(options: TrialOptions, folder: string) {
    this.#options = options
    this.#folder = folder
  }

  static open(options: TrialOptions): Promise<Trial> {
    mkdirSync(cache, { recursive: true })
    return Promise.resolve(new Trial(options, mkdtempSync(join(cache, "run-"))))
  }

  /** Runs the chosen cases, or all. */
  async run(chosen: readonly Case[]): Promise<Row[]> {
    const some = chosen.length > 0 && !chosen.some(each => opening.includes(each))
    if (some && existsSync(this.#kept)) return this.#runKept(chosen)
    const rows = await this.#runBare()
    if (rows.some(({ result }) => result === "failed")) return rows
    const rest = chosen.length > 0 ? chosen.filter(each => !opening.includes(each)) : cases
    return [...rows, ...(await this.#cases(rest))]
  }

  /** Ends what runs; the folder goes unless it is to be kept. */
  async close(): Promise<void> {
    await this.#site?.close()
    this.#site = undefined
    if (this.#options.keep) this.#options.say(`kept: ${this.#folder}`)
    else rmSync(this.#folder, { recursive: true, force: true })
  }

  get #kept(): string {
    const here = import.meta.dirname
    const own = ["machine.ts", "patience.ts", "install.ts", "traces.ts", "cases/cold.ts"]
    const makers = ["root.sh", "image.sh", "initrd.sh", "guest", ...own]
    const inputs = [this.#options.deb, ...makers.map(name => join(here, name)), join(here, "../../collector")]
    return join(cache, `installed-${digestOf(inputs)}`)
  }

  /** Bare, installed, booted; then switched off, kept, and switched on again. */
  async #runBare(): Promise<Row[]> {
    const { deb, soak, say } = this.#options
    const disk = await bareDisk(say)
    const authority = join(this.#folder, "authority")
    const machine = await Machine.make(join(this.#folder, "machine"), disk, authority)
    deliver(machine.folder, [deb, await this.#newer()])
    await Site.configure(this.#folder)
    this.#site = new Site(machine, this.#folder, soak)
    await this.#site.collect()
    await machine.start()
    const rows = await this.#cases(opening)
    const passed = !rows.some(({ result }) => result === "failed")
    // a fresh clone has no second run
    if (passed && !process.env["CI"]) await this.#keepInstalled(this.#site)
    return rows
  }

  /** A folder with the same package under a later version, and the lists that lie beside it. */
  async #newer(): Promise<string> {
    const folder = join(this.#folder, "newer")
    const tool = join(import.meta.dirname, "../package.ts")
    await promisify(execFile)(process.execPath, [tool, "--version", newerVersion, "--out", folder])
    return folder
  }

  async #keepInstalled(site: Site): Promise<void> {
    await site.machine.powerOff()
    await site.halt()
    for (const name of this.#older()) rmSync(join(cache, name), { recursive: true, force: true })
    const fresh = join(cache, `new-installed-${process.pid}`)
    cpSync(this.#folder, fresh, { recursive: true, filter: path => !path.endsWith(".sock") })
    renameSync(fresh, this.#kept)
    await site.collect()
    await site.machine.start()
    await site.answer("quick", 600)
  }

  #older(): string[] {
    return readdirSync(cache).filter(name => name.startsWith("installed-"))
  }

  async #runKept(chosen: readonly Case[]): Promise<Row[]> {
    const { soak } = this.#options
    for (const name of readdirSync(this.#kept))
      if (name !== "machine") cpSync(join(this.#kept, name), join(this.#folder, name), { recursive: true })
    const [from, to] = [join(this.#kept, "machine"), join(this.#folder, "machine")]
    mkdirSync(to)
    for (const name of readdirSync(from)) {
      if (name === "disk.qcow2") overlay(join(from, name), join(to, name))
      else if (name === "tpm") cpSync(join(from, name), join(to, name), { recursive: true })
      else copyFileSync(join(from, name), join(to, name))
    }
    this.#site = new Site(new Machine(to), this.#folder, soak)
    await this.#site.collect()
    await this.#site.machine.start()
    await this.#site.answer("quick", 600)
    return this.#cases(chosen)
  }

  #cases(chosen: readonly Case[]): Promise<Row[]> {
    const { say } = this.#options
    const site = this.#site
    if (!site) throw new Error("there is no machine")
    return runCases(site, chosen, join(cache, "failed"), ({ name, seconds, result, remark }) =>
      say(`${result}  ${name}, ${seconds} s: ${remark}`),
    )
  }
}
