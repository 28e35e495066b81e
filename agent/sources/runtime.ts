/**
 * Which inference runtimes are on this machine? Those in the places where they are installed, and those that run now from
 * anywhere else, each by the digest of its executable; packages of Python by what their installer recorded. What a running one
 * has loaded: loaded.ts.
 */
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import { posix } from "node:path"
import type { Host } from "../host.ts"
import { closedFacts, type Folders, foldersOn } from "./cuda/folders.ts"
import type { Process } from "./process/scan.ts"
import { packageFacts, packagesIn } from "./python/package.ts"
import { besideDigest, type Context, digestFacts, fact, known, lookedAt, measurements, type Source } from "./source.ts"

const runtimes = [
  "ollama",
  "llama-server",
  "llama-cli",
  "vllm",
  "tritonserver",
  "text-generation-launcher",
  "sglang",
  "lmdeploy",
  "koboldcpp",
]
const folders = [
  "/usr/bin",
  "/usr/local/bin",
  "/opt/ollama/bin",
  "/opt/llama.cpp/bin",
  "/opt/llama.cpp/build/bin",
  "/opt/tritonserver/bin",
  "/opt/vllm/bin",
]
/** /proc/<pid>/comm holds 15 bytes of the name. */
const commandNames = new Set(runtimes.map(name => name.slice(0, 15)))

export const runtime: Source = {
  name: "runtime",
  measure: async context => {
    const looked = foldersOn(context.host)
    const installed = await installedPaths(looked)
    const { paths, replaced, hidden } = await runningPaths(context)
    const found: Measurement[] = []
    for (const path of [...new Set([...installed, ...paths])].toSorted()) {
      const stale = replaced.has(path) ? [known("running", "another file than the one at this path")] : []
      const beside = [known("name", posix.basename(path)), ...(await versionFact(context.host, path))]
      const digest = besideDigest(await digestFacts(context, path), beside)
      found.push(...measurements("runtime", path, [...digest, ...stale]))
    }
    for (const name of hidden)
      found.push(
        ...measurements("runtime", `process/${name}`, [["unreadable", "its executable is hidden from the agent"]]),
      )
    found.push(...(await packages(context)))
    const closed = closedFacts([...looked.closed(), ...(await context.scan.sites()).closed])
    if (closed.length > 0) found.push(...measurements("runtime", "closed folders", closed))
    return found.length > 0
      ? found
      : measurements(
          "runtime",
          "",
          lookedAt([...folders.map(folder => `${folder}/{${runtimes.join(",")}}`), "/proc/*/exe"]),
        )
  },
}

/** Runtimes that are packages of Python, wherever environments are found. */
async function packages(context: Context): Promise<Measurement[]> {
  const found: Measurement[] = []
  for (const site of (await context.scan.sites()).folders)
    for (const each of await packagesIn(context.host, site))
      found.push(...measurements("runtime", each.folder, await packageFacts(context, each)))
  return found
}

/** A runtime that says its version in a file beside it. */
async function versionFact(host: Host, path: string): Promise<Fact[]> {
  if (posix.basename(path) !== "tritonserver") return []
  const said = await host.readLine(posix.join(path, "../../TRITON_VERSION"))
  return said.state === "absent" ? [] : [fact("TRITON_VERSION", said)]
}

async function installedPaths({ names, real }: Folders): Promise<string[]> {
  const found: string[] = []
  for (const folder of folders)
    for (const name of (await names(folder)).filter(each => runtimes.includes(each)))
      found.push(...(await real(`${folder}/${name}`)))
  return found
}

type Running = { readonly paths: Set<string>; readonly replaced: Set<string>; readonly hidden: Set<string> }

/** Of the processes that run now: executables, those whose file is no longer at its path, and names without a path. */
async function runningPaths({ host, scan }: Context): Promise<Running> {
  const running: Running = { paths: new Set(), replaced: new Set(), hidden: new Set() }
  for (const each of await scan.processes()) await note(host, each, running)
  return running
}

const deleted = " (deleted)"

async function note(host: Host, { folder, exe }: Process, { paths, replaced, hidden }: Running): Promise<void> {
  if (exe.state === "present") {
    const gone = exe.value.endsWith(deleted)
    const path = gone ? exe.value.slice(0, -deleted.length) : exe.value
    if (!runtimes.includes(posix.basename(path))) return
    paths.add(path)
    if (gone) replaced.add(path)
  } else if (exe.state === "unreadable") {
    const name = await host.readLine(`${folder}/comm`)
    const text = name.state === "present" ? Buffer.from(name.value).toString("latin1") : ""
    if (commandNames.has(text)) hidden.add(text)
  }
}
