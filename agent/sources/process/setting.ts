/**
 * How was a server started? Its command line, the variables that change what it does, its unit and its container. Secrets are
 * told by their digest alone: a change is seen, the secret is not.
 */
import { createHash } from "node:crypto"
import { posix } from "node:path"
import type { Found } from "../../found.ts"
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Host } from "../../host.ts"
import { contentDigest, fact, known } from "../source.ts"
import { imageOf } from "./container.ts"
import { type Server, wordsOf } from "./server.ts"

const secret = /(?:api[-_]?key|token|secret|passw|credential|auth)/i
/** Options whose names hold such a word and whose values are no secrets. */
const plain = /(?:tokenizer|tokens|token[-_]ids|author)/i

const told = (value: string): string => `sha256:${createHash("sha256").update(value, "latin1").digest("hex")}`
const isSecret = (name: string): boolean => secret.test(name) && !plain.test(name)

/** The command line as one fact. A port that Ollama draws anew for each of its runners is left out. */
export function commandFact({ given }: Pick<Server, "given">): Fact {
  const runner = given[1] === "runner"
  const words = given.map((word, i) => {
    const before = given[i - 1] ?? ""
    const [, name, value] = /^(--?[\w-]{1,64})=(.*)$/s.exec(word) ?? []
    if (name !== undefined && value !== undefined && isSecret(name)) return `${name}=${told(value)}`
    if (/^--?[\w-]{1,64}$/.test(before) && isSecret(before)) return told(word)
    return runner && before === "--port" ? "any" : word
  })
  return known("command", Buffer.from(words.map(quoted).join(" "), "latin1"))
}

const quoted = (word: string): string => (/^[\w%+,./:=@^-]+$/.test(word) ? word : JSON.stringify(word))

const telling =
  /^(?:LD_(?:PRELOAD|AUDIT|LIBRARY_PATH)|PYTHON(?:PATH|HOME|STARTUP|HASHSEED)|OPENSSL_(?:CONF|MODULES|ENGINES)|SSL_CERT_(?:FILE|DIR)|OMP_NUM_THREADS|(?:CUDA|CUBLAS|CUDNN|NVIDIA|NCCL|TORCH|PYTORCH|VLLM|SGLANG|OLLAMA|GGML|LLAMA|HF|HUGGING_FACE|TRANSFORMERS|TOKENIZERS|TRITON|TRT|TENSORRT|HIP|HSA|ROCR|ROCM|ROCBLAS|AMD|FLASHINFER|XFORMERS)_\w{1,64})$/

/** Whether a variable of this name changes how models are run. */
export const isTelling = (name: string): boolean => telling.test(name)

/** The variables of an environment that change how models are run, secrets by their digest. */
export const tellingVariables = (read: Found<Uint8Array>): readonly Variable[] => tellingOf(wordsOf(read))

type Variable = readonly [name: string, value: Uint8Array]

/** The same of "NAME=value" pairs. */
export const tellingOf = (words: readonly string[]): readonly Variable[] =>
  words.flatMap(word => {
    const at = word.indexOf("=")
    const [name, value] = [word.slice(0, Math.max(at, 0)), word.slice(at + 1)]
    return isTelling(name) ? [[name, Buffer.from(isSecret(name) ? told(value) : value, "latin1")] as const] : []
  })

/** Of the environment, what changes how models are run. */
export async function environmentFacts(host: Host, { folder }: Server): Promise<Fact[]> {
  const read = await host.readBytes(`${folder}/environ`, 1 << 20)
  const own = read.state === "present" ? ({ state: "present", value: tellingVariables(read) } as const) : read
  const found = await host.orReader(own, reader => reader.environment(folder))
  if (found.state !== "present") return found.state === "absent" ? [] : [fact("environment", found)]
  return found.value.map(environmentFact)
}

export const environmentFact = ([name, value]: Variable): Fact => known(`environment/${name}`, value)

const unitFolders = ["/etc/systemd/system", "/run/systemd/system", "/usr/lib/systemd/system"]

/** The unit that started it with the digests of its files, or the container with its image (cgroup v2: one line, "0::/path"). */
export async function unitFacts(host: Host, { folder }: Server): Promise<Fact[]> {
  const read = await host.readLine(`${folder}/cgroup`)
  if (read.state !== "present") return read.state === "absent" ? [] : [fact("unit", read)]
  const parts = Buffer.from(read.value).toString("latin1").split("\n").at(-1)?.split("/") ?? []
  const container = parts.flatMap(each => /(?:^|-)([0-9a-f]{64})(?:\.scope)?$/.exec(each)?.[1] ?? []).at(-1)
  if (container !== undefined) return containerFacts(host, container)
  const unit = parts.findLast(each => /^[\w.@:\\-]{1,200}\.service$/.test(each))
  return unit === undefined ? [] : [known("unit", unit), ...(await unitFileFacts(host, unit))]
}

async function unitFileFacts(host: Host, unit: string): Promise<Fact[]> {
  const template = unit.replace(/@.*(?=\.service$)/, "@")
  const facts: Fact[] = []
  for (const base of unitFolders)
    for (const name of new Set([unit, template])) {
      const dropIns = await host.list(`${base}/${name}.d`)
      if (dropIns.state === "unreadable") facts.push(fact(`unit${base}/${name}.d`, dropIns))
      const more = dropIns.state === "present" ? dropIns.value.filter(each => each.endsWith(".conf")).slice(0, 32) : []
      for (const path of [name, ...more.map(each => posix.join(`${name}.d`, each))]) {
        const digest = contentDigest(await host.readBytes(`${base}/${path}`))
        if (digest.state !== "absent") facts.push(fact(`unit${base}/${path}`, digest))
      }
    }
  return facts
}

async function containerFacts(host: Host, id: string): Promise<Fact[]> {
  const image = await imageOf(host, id)
  return [known("container", image.state === "present" ? "docker" : "yes"), fact("container/image", image)]
}
