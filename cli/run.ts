/**
 * How is a server started so that it is known what it was started with? Everything that its command line names is hashed and
 * recorded first; then this process becomes the command (execve(2)): its number, its terminal and its signals are the
 * command's, and so is its exit status. What is hashed, and by whom: agent/run.
 */
import { accessSync, constants, statSync } from "node:fs"
import { delimiter, isAbsolute, join, resolve } from "node:path"
import { z } from "zod"
import { readyToRun } from "../agent/main.ts"
import type { Ready } from "../agent/run/ready.ts"
import { isTelling } from "../agent/sources/process/setting.ts"
import { command } from "./command.ts"
import { agentConfiguration, configOf } from "./configuration.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { noProgress, showProgress, size } from "./progress.ts"
import { remark, type Terminal, untilInterrupted } from "./terminal.ts"

const given = z.object({
  command: z.array(text).min(1, "name the command to start, after --"),
  model: z.array(text).default([]),
  quick: flag,
  quiet: flag,
  config: text.optional(),
})
type Given = z.infer<typeof given>

export const run = command({
  name: "run",
  says: "hash what a server is given, record it, then start the server",
  teaches:
    "Hashes the program, the files and the models that the command names, and appends that to the event log; only then is the " +
    "command started, in place of this process: signals, terminal and exit status are its own. If anything cannot be " +
    "hashed or recorded, nothing is started. Evidence then says of its weights: started by us after hashing.",
  takes: [["<command...>", "after --: the command and its arguments"]],
  options: [
    [
      "--model <path...>",
      "a model that the command uses and does not name by a path: a file, a folder, or ollama:<store>/<name>:<tag>",
    ],
    ["--quick", "files that nobody has written to since the agent hashed them last are not read again"],
    ["--quiet", "say nothing unless it fails"],
    configOf("agent"),
  ],
  examples: [
    "assay run -- llama-server -m /srv/models/llama.gguf",
    "assay run --model /srv/models/qwen -- vllm serve Qwen/Qwen3-8B",
  ],
  exits: ["good", "failed", "misuse", "missing", "configuration"],
  reads: given,
  run: startAfterHashing,
})

async function startAfterHashing(options: Given, terminal: Terminal): Promise<Exit> {
  const [name = "", ...rest] = options.command
  const program = find(name)
  const configuration = await agentConfiguration(options.config)
  const progress = options.quiet ? noProgress : showProgress(terminal, "hashing")
  const request = {
    process: process.pid,
    program,
    given: options.command.map(each => Buffer.from(each).toString("latin1")),
    cwd: process.cwd(),
    path: process.env["PATH"] ?? "",
    environment: telling(),
    alsoModels: options.model.map(each => (each.startsWith("ollama:") ? each : resolve(each))),
    depth: options.quick ? ("quick" as const) : ("full" as const),
  }
  const ready = await readyToRun(configuration, request, {
    signal: untilInterrupted(terminal),
    now: terminal.now,
    progress: hashing => {
      if (hashing !== "nothing") progress.at(hashing.done, hashing.total, hashing.file)
    },
  }).finally(() => progress.end())
  if (!options.quiet) for (const line of summary(ready)) remark(terminal, line)
  return become(program, [name, ...rest])
}

/** As a shell finds it. */
function find(name: string): string {
  const places = name.includes("/")
    ? [resolve(name)]
    : (process.env["PATH"] ?? "")
        .split(delimiter)
        .filter(isAbsolute)
        .map(folder => join(folder, name))
  const found = places.find(isProgram)
  if (found !== undefined) return found
  throw new Problem("missing", `there is no program ${name}`, "name one that is on the PATH, or by its path")
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** Variables that change how models are run, as the agent reads them of a server. */
const telling = (): string[] =>
  Object.entries(process.env).flatMap(([name, value]) =>
    isTelling(name) ? [Buffer.from(`${name}=${value ?? ""}`).toString("latin1")] : [],
  )

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

function summary({ files, models, bytes, record }: Ready): string[] {
  const hashed = models.map(({ path, digest, files: count }) => `sha256:${digest}  ${path} (${counted(count, "file")})`)
  const none = [
    "no weights are named by the command: name them with --model, or nothing shows which it was started with",
  ]
  return [
    ...(hashed.length === 0 ? none : hashed),
    `hashed ${counted(files.length, "file")} and ${counted(models.length, "model")}, ${size(bytes)}, as record ${record} of the log says; starting`,
  ]
}

/**
 * This process becomes the program. Signals that Node ignores would stay ignored: one that has a handler is as it was by
 * default again (execve(2)).
 */
function become(program: string, given: readonly string[]): never {
  for (const signal of ["SIGPIPE", "SIGXFSZ"] as const) process.on(signal, () => undefined)
  if (!process.execve) throw new Problem("missing", "this Node cannot become another program", "run it with Node 24")
  return process.execve(program, given, process.env)
}
