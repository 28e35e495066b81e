/**
 * Which processes serve models? Those whose executable, script or title is a runtime that is known here, or that have its
 * library in their memory. What each has loaded: maps.ts; how it was started: setting.ts.
 */
import { posix } from "node:path"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { deletedMark, mapped, mayHaveMapped } from "./maps.ts"
import type { Process } from "./scan.ts"

/** Names of executables, and of the scripts that Python runs. */
const executables = new Set([
  "ollama",
  "llama-server",
  "llama-cli",
  "vllm",
  "tritonserver",
  "text-generation-launcher",
  "text-generation-router",
  "text-generation-server",
  "sglang",
  "lmdeploy",
  "koboldcpp",
  "trtllm-serve",
])
/** Packages that Python runs with -m, and under which names they count. */
const packages: Readonly<Record<string, string>> = {
  vllm: "vllm",
  sglang: "sglang",
  lmdeploy: "lmdeploy",
  llama_cpp: "llama-cpp-python",
  text_generation_server: "text-generation-server",
  tensorrt_llm: "trtllm-serve",
}
const titles = /^(vllm|sglang)::/i

/** `folder` is the process's in proc, `executable` its path as it sees it, `replaced` whether that is another file now. */
export type Server = {
  readonly kind: string
  readonly folder: string
  readonly executable: string
  readonly replaced: boolean
  readonly given: readonly string[]
}
/** `hidden` are the names of processes that are called as runtimes are and show nothing else, or show no name either. */
export type Servers = { readonly servers: readonly Server[]; readonly hidden: readonly string[] }

/** The servers among these processes. */
export async function serversAmong(host: Host, processes: readonly Process[]): Promise<Servers> {
  const servers: Server[] = []
  const hidden = new Set<string>()
  for (const { folder, exe } of processes) {
    if (exe.state === "present") servers.push(...(await serverAt(host, folder, exe.value)))
    else if (exe.state === "unreadable") for (const name of await hiddenName(host, folder)) hidden.add(name)
  }
  return { servers, hidden: [...hidden].toSorted() }
}

/** proc may be mounted so that other users' processes show no name (hidepid, proc(5)). */
async function hiddenName(host: Host, folder: string): Promise<string[]> {
  const shown = await host.readLine(`${folder}/comm`)
  return shown.state === "unreadable" ? ["of an unknown name"] : nameOf(host, folder)
}

/** The server in this folder of proc, if it is one. */
export async function serverIn(host: Host, folder: string): Promise<Server[]> {
  const exe = await host.link(`${folder}/exe`)
  return exe.state === "present" ? serverAt(host, folder, exe.value) : []
}

async function serverAt(host: Host, folder: string, exe: string): Promise<Server[]> {
  const replaced = exe.endsWith(deletedMark)
  const executable = replaced ? exe.slice(0, -deletedMark.length) : exe
  const name = posix.basename(executable)
  const python = /^(?:python|pypy)[\d.]*$/.test(name)
  const given = wordsOf(await host.readBytes(`${folder}/cmdline`, 1 << 20))
  const called = python ? await pythonKind(host, folder, given) : executableKind(name, given)
  const kind = called === "none" ? await kindByLibrary(host, folder) : called
  return kind === "none" ? [] : [{ kind, folder, executable, replaced, given }]
}

/** Ollama starts a process of its own for each model: it comes and goes, and must not make the server look changed. */
const executableKind = (name: string, given: readonly string[]): string => {
  if (!executables.has(name)) return "none"
  return given[1] === "runner" ? `${name} runner` : name
}

/** Libraries whose presence in its memory tells a runtime, whatever the process is called. */
const libraries: readonly (readonly [RegExp, string])[] = [
  [/\/libllama(?:[.-][\w.-]+)?\.so(?:[.\d]*)$/, "llama.cpp"],
  [/\/libtritonserver\.so(?:[.\d]*)$/, "tritonserver"],
  [/\/libnvinfer_plugin_tensorrt_llm\.so(?:[.\d]*)$/, "tensorrt-llm"],
]
const libraryWords = ["libllama", "libtritonserver", "libnvinfer_plugin_tensorrt_llm"]

/** What cannot be read shows no library: then the process is none that is known. */
async function kindByLibrary(host: Host, folder: string): Promise<string> {
  if (!(await mayHaveMapped(host, folder, libraryWords))) return "none"
  const maps = await mapped(host, folder)
  const code = maps.state === "present" ? maps.value.filter(each => each.code) : []
  return libraries.find(([name]) => code.some(each => name.test(each.path)))?.[1] ?? "none"
}

/** Arguments, and the environment, end with a zero byte each. */
export const wordsOf = (found: Found<Uint8Array>): readonly string[] =>
  found.state === "present"
    ? Buffer.from(found.value)
        .toString("latin1")
        .replace(/\0$/, "")
        .split("\0")
        .filter((each, i) => i > 0 || each !== "")
    : []

async function pythonKind(host: Host, folder: string, given: readonly string[]): Promise<string> {
  const title = titles.exec((await nameOf(host, folder))[0] ?? given[0] ?? "")?.[1]
  if (title !== undefined) return title.toLowerCase()
  const script = given.slice(1, 6).find(each => !each.startsWith("-"))
  const at = given.indexOf("-m")
  const called = at > 0 && at < 6 ? (given[at + 1] ?? "").split(".")[0] : ""
  const byPackage = Object.hasOwn(packages, called ?? "") ? packages[called ?? ""] : undefined
  if (byPackage !== undefined) return byPackage
  return script !== undefined && executables.has(posix.basename(script)) ? posix.basename(script) : "none"
}

/** What the process calls itself, if that is a runtime's name: /proc/<pid>/comm holds 15 bytes of it. */
async function nameOf(host: Host, folder: string): Promise<string[]> {
  const read = await host.readLine(`${folder}/comm`)
  const name = read.state === "present" ? Buffer.from(read.value).toString("latin1") : ""
  const known = titles.test(name) || [...executables].some(each => each.slice(0, 15) === name)
  return known ? [name] : []
}
