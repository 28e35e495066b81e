/**
 * Which files of weights does a command line name, and as what: the model itself, a draft model, an adapter? Whether a process
 * really uses them: used.ts. What a name that is no path leads to (a repository, a tag) is not told here.
 */
import { posix } from "node:path"
import type { Host } from "../../host.ts"

/** What a file of weights is to the server that is given it. */
export type Role = "model" | "draft model" | "adapter" | "projector"
/** `path` is absolute, every link followed where it exists. */
export type Named = { readonly path: string; readonly role: Role }

const weightsName = /\.(?:gguf|ggml|safetensors|bin|pt|pth|ckpt|onnx|engine|plan|npz)$|\/blobs\/sha256-[0-9a-f]{64}$/

/** Whether a path is called as files of weights are. */
export const looksLikeWeights = (path: string): boolean => weightsName.test(path)

/** Options of llama.cpp, vLLM, SGLang and TGI; of any other option the value is a model's if it looks like one. */
const roles: readonly (readonly [RegExp, Role])[] = [
  [
    /^(?:-md|--model-draft|--spec-draft-model|--spec-draft-m|--speculative[-_](?:draft[-_])?model(?:[-_]path)?)$/,
    "draft model",
  ],
  [/^--(?:lora(?:[-_](?:scaled|base|modules|adapters|paths))?|control-vector(?:-scaled)?)$/, "adapter"],
  [/^(?:-mm|--mmproj)$/, "projector"],
]
const role = (option: string): Role => roles.find(([name]) => name.test(option))?.[1] ?? "model"

/** The words of a command line that may be paths of weights, each with the option before it; JSON values are looked into. */
export function candidates(given: readonly string[]): readonly (readonly [value: string, role: Role])[] {
  const found: (readonly [string, Role])[] = []
  let option = ""
  for (const raw of given.slice(1)) {
    const word = Buffer.from(raw, "latin1").toString("utf8")
    const [, inline, value] = /^(--?[\w-]{1,64})=(.*)$/s.exec(word) ?? []
    if (inline === undefined && /^--?[a-zA-Z][\w-]{0,63}$/.test(word)) {
      option = word
      continue
    }
    for (const each of pathsIn(value ?? word)) found.push([each, role(inline ?? option)])
  }
  return [...found, ...speculative(given)]
}

/** `name=path` (adapters), `path:scale`, and lists of them. */
const pathsIn = (value: string): string[] =>
  value.startsWith("{")
    ? []
    : value.split(",").map(each => each.replace(/^[\w.-]{1,128}=(?=.)/, "").replace(/:-?\d+(?:\.\d+)?$/, ""))

/** vLLM's draft model stands in a JSON value. */
function speculative(given: readonly string[]): (readonly [string, Role])[] {
  return given.flatMap(each => {
    const model = /^(?:--[\w-]+=)?\{.*"model"\s*:\s*"([^"\\]{1,4096})".*\}$/s.exec(each)?.[1]
    return model === undefined ? [] : [[model, "draft model"] as const]
  })
}

/** Files and folders of weights that `given` names, seen from `cwd` ("none": nobody may see it). */
export async function namedIn(host: Host, given: readonly string[], cwd: string): Promise<readonly Named[]> {
  const found = new Map<string, Named>()
  for (const [value, role] of candidates(given)) {
    if (value.includes("\0") || (!posix.isAbsolute(value) && (cwd === "none" || !looksLikeWeights(value)))) continue
    const path = posix.resolve("/", cwd === "none" ? "/" : cwd, value)
    const real = await host.realpath(path)
    const named = { path: real.state === "present" ? real.value : path, role }
    if (!found.has(named.path)) found.set(named.path, named)
  }
  return [...found.values()]
}
