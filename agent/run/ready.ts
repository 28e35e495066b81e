/**
 * May this command be started now? Everything that it names is read and hashed, one event that says so goes into the log, and
 * only then the answer is given: the record precedes the process. Whether a process is that one afterwards: runs.ts.
 */
import { createHash } from "node:crypto"
import type { Fact } from "../../attestation/protocol/event.ts"
import { writeEvent } from "../../attestation/protocol/event.ts"
import { asBinary, fromBinary } from "../hash/binary.ts"
import type { FileDigests } from "../hash/hasher.ts"
import { hashModelWith } from "../hash/model.ts"
import type { Broker } from "../record.ts"
import { commandFact, environmentFact, tellingOf } from "../sources/process/setting.ts"
import { known, type Means, measurements } from "../sources/source.ts"
import { Trouble } from "../trouble.ts"
import { type Command, planFor } from "./plan.ts"
import { bootOf, type Run, type Runs, statOf } from "./runs.ts"

/** `process` becomes the command when it executes it; `environment` are "NAME=value" pairs. */
export type RunRequest = Command & { readonly process: number; readonly environment: readonly string[] }

/** What was hashed, as the log has it; `record` is the number of records in the log with this one. */
export type Ready = {
  readonly record: number
  readonly files: { readonly path: string; readonly sha256: string }[]
  readonly models: { readonly path: string; readonly digest: string; readonly files: number }[]
  readonly bytes: number
}

/** The most files that one run may name: its event lists each. */
const mostFiles = 4096

type Hashed = FileDigests & { readonly path: string; readonly byKernel: boolean }

/** Hashes, appends, remembers. Throws Trouble and CannotHash for what keeps the command from being started. */
export async function makeReady(broker: Broker, context: Means, runs: Runs, request: RunRequest): Promise<Ready> {
  const { host } = context
  const stat = await statOf(host, `/proc/${request.process}`)
  if (stat === "unknown")
    throw new Trouble(`there is no process ${request.process} here`, "start the command on the agent's machine")
  const plan = await planFor(host, request)
  const files = await hashFiles(context, plan.files)
  const models = await hashModels(context, plan.models)
  const all = [...files, ...models.flatMap(each => each.files)]
  if (all.length > mostFiles)
    throw new Trouble(`the command names ${all.length} files; ${mostFiles} are the most`, "name fewer")
  const program = plan.executables[0] ?? request.program
  const facts = [
    commandFact(request),
    ...tellingOf(request.environment).map(environmentFact),
    ...models.flatMap(modelFacts),
    ...all.flatMap(fileFacts),
  ]
  const record = await append(broker, `${program} ${digestOf(request.given)}`, facts)
  const remembered = all.map(({ path, state, sha256 }) => ({ path, state, sha256 }))
  const { process, ticks } = stat
  const run: Run = { boot: await bootOf(host), process, ticks, executables: [...plan.executables], files: remembered }
  await runs.add(run)
  return {
    record,
    files: files.map(({ path, sha256 }) => ({ path, sha256 })),
    models: models.map(({ path, digest, files: own }) => ({
      path,
      digest: shownDigest(digest, own),
      files: own.length,
    })),
    bytes: all.reduce((sum, { size }) => sum + size, 0),
  }
}

/** A model of one file is known by that file's digest. */
const shownDigest = (digest: string, [only, ...more]: readonly Hashed[]): string =>
  only && more.length === 0 ? only.sha256 : digest

/** Commands that differ are subjects that differ. */
const digestOf = (given: readonly string[]): string =>
  createHash("sha256").update(given.join("\0"), "latin1").digest("hex").slice(0, 12)

async function hashFiles({ hasher, depth, signal }: Means, paths: readonly string[]): Promise<Hashed[]> {
  const found = await hasher.files(paths.map(asBinary), depth, signal, () => undefined)
  return found.map((each, i) => ({ ...each, path: paths[i] ?? "", byKernel: each.how === "kernel" }))
}

type HashedModel = { readonly path: string; readonly digest: string; readonly files: readonly Hashed[] }

async function hashModels(context: Means, paths: readonly string[]): Promise<HashedModel[]> {
  const { hasher, depth, signal, weights } = context
  const models: HashedModel[] = []
  for (const path of paths) {
    const links = weights.find(each => each.path === path)?.links ?? "own"
    const progress: Parameters<typeof hashModelWith>[3]["progress"] = each => context.progress(path, each)
    const model = await hashModelWith(hasher, depth, path, { signal, links, progress })
    const byKernel = model.how.kernel === model.files.length
    const files = model.files.map(each => ({ ...each, path: fromBinary(each.path).toString("utf8"), byKernel }))
    models.push({ path, digest: model.digest, files })
  }
  return models
}

const modelFacts = ({ path, digest, files }: HashedModel): Fact[] =>
  files.length === 1 ? [] : [known(`model${path}`, `sha256:${digest}`)]

const fileFacts = ({ path, sha256, verity, size, byKernel }: Hashed): Fact[] => [
  known(`file${path}`, `sha256:${sha256} verity:${verity} size:${size}`),
  ...(byKernel ? [known(`kernel${path}`, `verity:${verity}`)] : []),
]

/** The number of records in the log with the last of these. */
async function append(broker: Broker, subject: string, facts: readonly Fact[]): Promise<number> {
  let records = 0
  for (const event of measurements("run", subject, facts)) {
    const { log } = await broker.call("append", { event: writeEvent(event) })
    records = log.records
  }
  return records
}
