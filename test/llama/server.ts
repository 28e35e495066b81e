/**
 * A server of models for tests: llama.cpp itself, as a module for Node brings it, behind as much HTTP as its own server has:
 * /health, /props, /v1/models, and /completion, which computes. Started as llama-server is, and says its port when it is ready:
 *
 *     node test/llama/server.ts -m MODEL [-md DRAFT] [--lora ADAPTER] [--port PORT] [--no-mmap]
 */
import { createServer, type IncomingMessage } from "node:http"
import { createRequire } from "node:module"
import { join } from "node:path"
import { parseArgs } from "node:util"
import { getBinsDir } from "@node-llama-cpp/linux-x64"
import { z } from "zod"

type Model = {
  init(): Promise<boolean>
  loadLora(adapter: object): Promise<void>
  tokenize(text: string, special: boolean): Uint32Array
  getModelDescription(): string
  getTrainContextSize(): number
}
type Running = {
  init(): Promise<boolean>
  setLoras(adapters: readonly object[], scales: readonly number[]): void
  initBatch(size: number): void
  addToBatch(sequence: number, first: number, tokens: Uint32Array, wanted: Uint32Array): Uint32Array
  decodeBatch(): Promise<void>
  sampleToken(at: number, sampler: object): Promise<number>
  removeTokenCellsFromSequence(sequence: number, from: number, to: number): boolean
}
/** As much of the module as is used here. */
type Llama = {
  setLoggerLogLevel(level: number): void
  loadBackends(folder?: string): void
  init(): Promise<void>
  AddonModel: new (path: string, options: object) => Model
  AddonModelLora: new (model: Model, path: string) => object
  AddonContext: new (model: Model, options: object) => Running
  AddonSampler: new (model: Model) => { applyConfig(config: object): void }
}

const { binsDir, packageVersion } = getBinsDir()
const folder = join(binsDir, "linux-x64")

async function openLlama(): Promise<Llama> {
  const llama = createRequire(import.meta.url)(join(folder, "llama-addon.node")) as Llama
  llama.setLoggerLogLevel(0)
  llama.loadBackends()
  llama.loadBackends(folder)
  await llama.init()
  return llama
}

/** llama.cpp's own options have names of several letters behind one hyphen. */
const spelt = (word: string): string => ({ "-m": "--model", "-md": "--model-draft" })[word] ?? word

const { values: given } = parseArgs({
  args: process.argv.slice(2).map(spelt),
  options: {
    model: { type: "string", default: "" },
    "model-draft": { type: "string" },
    lora: { type: "string" },
    port: { type: "string", default: "0" },
    "no-mmap": { type: "boolean", default: false },
    "api-key": { type: "string" },
    /** a server that lies about its model */
    says: { type: "string" },
  },
})

async function load(llama: Llama, path: string): Promise<Model> {
  const model = new llama.AddonModel(path, { addonExports: llama, gpuLayers: 0, useMmap: !given["no-mmap"] })
  if (!(await model.init())) throw new Error(`${path} cannot be loaded`)
  return model
}

const llama = await openLlama()
const model = await load(llama, given.model)
const draft = given["model-draft"] === undefined ? undefined : await load(llama, given["model-draft"])
const running = new llama.AddonContext(model, {
  addonExports: llama,
  contextSize: 256,
  batchSize: 64,
  sequences: 1,
  threads: 1,
})
await running.init()
if (given.lora !== undefined) {
  const adapter = new llama.AddonModelLora(model, given.lora)
  await model.loadLora(adapter)
  running.setLoras([adapter], [1])
}

/** The likeliest tokens that follow a text. */
async function complete(prompt: string, count: number): Promise<number[]> {
  const sampler = new llama.AddonSampler(model)
  sampler.applyConfig({ temperature: 0 })
  const made: number[] = []
  running.removeTokenCellsFromSequence(0, -1, -1)
  let [next, at] = [Uint32Array.from([1, ...model.tokenize(prompt, false)]), 0]
  while (made.length < count) {
    running.initBatch(next.length)
    const [place = 0] = running.addToBatch(0, at, next, Uint32Array.from([next.length - 1]))
    await running.decodeBatch()
    at += next.length
    const token = await running.sampleToken(place, sampler)
    made.push(token)
    next = Uint32Array.from([token])
  }
  return made
}

const asked = z.object({ prompt: z.string(), n_predict: z.number().int().min(1).max(64) })

const answers: Readonly<Record<string, (body: string) => unknown>> = {
  "/health": () => ({ status: "ok" }),
  "/props": () => ({
    model_path: given.says ?? given.model,
    build_info: `${packageVersion} ${model.getModelDescription()}`,
    default_generation_settings: { n_ctx: 256 },
  }),
  "/v1/models": () => ({ object: "list", data: [{ id: given.model, object: "model" }] }),
  "/completion": async body => {
    const { prompt, n_predict: count } = asked.parse(JSON.parse(body))
    return { tokens: await complete(prompt, count), draft: draft?.getModelDescription() ?? null }
  },
}

async function answer({ url = "", headers }: IncomingMessage, body: string): Promise<readonly [number, unknown]> {
  const key = given["api-key"]
  if (key !== undefined && url !== "/health" && headers.authorization !== `Bearer ${key}`)
    return [401, { error: "key" }]
  const found = answers[url]
  return found ? [200, await found(body)] : [404, { error: "not found" }]
}

const server = createServer((request, response) => {
  let body = ""
  request.on("data", (chunk: Buffer) => (body += chunk.toString()))
  request.on("end", () => {
    void answer(request, body).then(([status, value]) => {
      response.statusCode = status
      response.end(JSON.stringify(value))
    })
  })
})
server.listen(Number(given.port), "127.0.0.1", () => {
  const address = server.address()
  process.stdout.write(`listening on ${typeof address === "object" ? address?.port : ""}\n`)
})
