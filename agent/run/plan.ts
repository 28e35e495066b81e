/**
 * What must be hashed before a command is started? Its executable, the interpreter of a script, every file that its arguments
 * name, and folders that hold weights. What a command finds by other ways (a repository's name, a variable) must be named to us.
 */
import { posix } from "node:path"
import type { Host } from "../host.ts"
import { candidates, looksLikeWeights } from "../sources/process/named.ts"
import { Trouble } from "../trouble.ts"

/** What is to be started: the program as it was found on the caller's PATH, its arguments with its own name first, and where. */
export type Command = {
  readonly program: string
  readonly given: readonly string[]
  readonly cwd: string
  /** the caller's PATH, for a script that is started by env(1) */
  readonly path: string
  /** further files, folders and models that the command is known to use */
  readonly alsoModels: readonly string[]
}

/** Paths, every link followed. `executables` are also among `files`. */
export type RunPlan = {
  readonly executables: readonly string[]
  readonly files: readonly string[]
  /** files and folders of models as they were named, and where they are */
  readonly models: readonly string[]
}

/** Scripts that name scripts: as many as the kernel follows (execve(2)). */
const scripts = 4

/** Throws Trouble if there is no such program. */
export async function planFor(host: Host, command: Command): Promise<RunPlan> {
  const { given, cwd, alsoModels } = command
  const executables = await executablesOf(host, command)
  const files = new Set(executables)
  const models = new Set(alsoModels.map(each => (each.startsWith("ollama:") ? each : posix.resolve(cwd, each))))
  for (const [value] of candidates(given)) {
    if (value === "" || value.length > 4096 || value.includes("\0")) continue
    const real = await host.realpath(posix.resolve(cwd, value))
    if (real.state !== "present") continue
    const stat = await host.stat(real.value)
    if (stat.state !== "present") continue
    if (stat.value.kind === "folder" && (await holdsWeights(host, real.value))) models.add(real.value)
    if (stat.value.kind === "file" && !isOfTheKernel(real.value))
      (looksLikeWeights(real.value) ? models : files).add(real.value)
  }
  return { executables, files: [...files], models: [...models] }
}

const isOfTheKernel = (path: string): boolean => /^\/(?:dev|proc|sys)\//.test(path)

async function executablesOf(host: Host, { program, path: searched }: Command): Promise<string[]> {
  const found: string[] = []
  for (let path = program; found.length < scripts; ) {
    const real = await host.realpath(path)
    if (real.state !== "present") throw new Trouble(`there is no program ${path}`, "name one that is there")
    found.push(real.value)
    const next = await interpreterOf(host, real.value, searched)
    if (next === "none") return found
    path = next
  }
  return found
}

/** The program in a script's first line; where that is env(1), the one that it finds. */
async function interpreterOf(host: Host, path: string, searched: string): Promise<string> {
  const start = await host.readPart(path, 0, 256)
  const text = start.state === "present" ? Buffer.from(start.value).toString("latin1") : ""
  const [, program = "none", name = ""] = /^#![ \t]*(\/\S+)(?:[ \t]+(?:-S[ \t]+)?(\S+))?/.exec(text) ?? []
  return posix.basename(program) === "env" ? programOn(host, name, searched) : program
}

/** The first file of this name in the folders of a PATH, or "none". */
async function programOn(host: Host, name: string, searched: string): Promise<string> {
  for (const folder of searched.split(":").slice(0, 256)) {
    if (!posix.isAbsolute(folder)) continue
    const stat = await host.stat(posix.join(folder, name))
    if (stat.state === "present" && stat.value.kind === "file") return posix.join(folder, name)
  }
  return "none"
}

/** Weights, or what says how they are to be read. */
async function holdsWeights(host: Host, folder: string): Promise<boolean> {
  const listed = await host.list(folder)
  if (listed.state !== "present") return false
  return listed.value.some(name => looksLikeWeights(`/${name}`) || name === "config.pbtxt")
}
