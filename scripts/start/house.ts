/**
 * Where does the main job live? In folders of its own: sockets, keys and stores in the temporary folder, the model's copy in
 * .cache, where it may share blocks with the original. All of it goes when the job ends; what a killed one left goes at the next.
 */
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { tctiOf } from "../swtpm.ts"

const cache = join(import.meta.dirname, "../../.cache")

export type House = {
  /** folder of the software TPM */
  readonly tpm: string
  /** folder of the authority that endorses software TPMs */
  readonly authority: string
  /** folder for the model as it is measured */
  readonly stage: string
  /** configuration files */
  readonly agent: string
  readonly collector: string
  /** runtime folders, with the sockets */
  readonly runtime: { readonly agent: string; readonly collector: string }
  /** room for logs and bundles */
  readonly room: string
  readonly remove: () => void
}

/** Socket paths are short: sun_path holds 108 bytes. */
const longest = 60

export function openHouse(): House {
  clearStale()
  const base = tmpdir().length > longest ? "/tmp" : tmpdir()
  const room = mkdtempSync(join(base, "assay-"))
  const stage = join(cache, `start-${process.pid}`)
  const tpm = join(room, "tpm")
  for (const folder of [stage, tpm]) mkdirSync(folder, { recursive: true, mode: 0o700 })
  return {
    room,
    tpm,
    stage,
    authority: join(room, "authority"),
    agent: join(room, "agent.toml"),
    collector: join(room, "collector.toml"),
    runtime: { agent: join(room, "agent"), collector: join(room, "collector") },
    remove: () => {
      for (const folder of [room, stage]) rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Copies of models that a killed job left. */
function clearStale(): void {
  for (const name of existsSync(cache) ? readdirSync(cache) : []) {
    const pid = /^start-(\d+)$/.exec(name)?.[1]
    if (pid !== undefined && !existsSync(`/proc/${pid}`)) rmSync(join(cache, name), { recursive: true, force: true })
  }
}

/** The model that is made from a seed, kept for the next time. */
export const demoModel = (mebibytes: number): string => join(cache, `demo-model-${mebibytes}`)

const quoted = (text: string): string => JSON.stringify(text)

/** Writes both configurations: a collector on this machine only, and an agent that is allowed its software TPM. */
export function writeConfigurations(house: House, model: { readonly name: string; readonly path: string }): void {
  writeFileSync(
    house.collector,
    [
      `name = "demo"`,
      `state = ${quoted(join(house.room, "collector-state"))}`,
      `runtime = ${quoted(house.runtime.collector)}`,
      `listen = { host = "127.0.0.1", port = 0 }`,
      `advertise = { host = "127.0.0.1" }`,
      `challenge = { every = 10, deadline = 3600, stale = 60 }`,
      "",
    ].join("\n"),
  )
  writeFileSync(
    house.agent,
    [
      `state = ${quoted(join(house.room, "agent-state"))}`,
      `runtime = ${quoted(house.runtime.agent)}`,
      `tpm = { tcti = ${quoted(tctiOf(house.tpm))}, software = true }`,
      `[[weights]]`,
      `name = ${quoted(model.name)}`,
      `path = ${quoted(model.path)}`,
      `links = "anywhere"`,
      "",
    ].join("\n"),
  )
}

/** Tells the collector, out of band, the root of the policy that it is to judge by. */
export const tellPolicyRoot = (house: House, root: string): void =>
  appendFileSync(house.collector, `policy = { root = "sha256:${root}" }\n`)
