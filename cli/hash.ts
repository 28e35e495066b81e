/**
 * What is the digest of this model, and is it the one of a manifest? The same hashing as the agent's, by hand: stdout is to the
 * byte what `sha256sum` prints over the files, and the digest of that text is the model's. How files are read and hashed:
 * `agent/hash`.
 */
import { availableParallelism } from "node:os"
import { z } from "zod"
import { alarmText } from "../agent/hash/again.ts"
import { DigestCache, ownCache } from "../agent/hash/cache.ts"
import { confirmDifference, type FlatModel, flatModelWith, placesOf } from "../agent/hash/check.ts"
import { claimsOf, type ModelClaims } from "../agent/hash/claims.ts"
import { Hasher, type HasherSettings } from "../agent/hash/hasher.ts"
import { type HashedModel, hashModelWith } from "../agent/hash/model.ts"
import { allowWiderInstructions } from "../agent/hash/revectorize.ts"
import type { Stretch } from "../wasm/records.ts"
import { readBounded } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { compare, type Difference, lineOf, nameOf, readManifest, spelt } from "./manifest.ts"
import { duration, noProgress, type Progress, showProgress, size } from "./progress.ts"
import { plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"

const given = z.object({
  path: text,
  check: text.optional(),
  full: flag,
  links: z.enum(["own", "anywhere"], "own or anywhere").default("own"),
  engine: z.enum(["auto", "wasm", "native"], "auto, wasm or native").default("auto"),
  workers: z
    .string()
    .regex(/^[1-9]\d?$/, "not 1 to 64 threads")
    .transform(Number)
    .refine(count => count <= 64, "not 1 to 64 threads")
    .optional(),
  direct: flag,
  revectorize: flag,
  verity: flag,
  quiet: flag,
  json: flag,
})
type Given = z.infer<typeof given>

export const hash = command({
  name: "hash",
  says: "hash a model: its manifest, its digest, and the fs-verity digest of each file",
  teaches:
    "Reads every file of a model once and makes two digests of each: SHA-256 and fs-verity. stdout is the manifest, to the " +
    "byte what sha256sum prints over the files in byte order of their paths; the SHA-256 of the manifest is the model's digest. " +
    "Files that nobody has written to since they were hashed last are not read again, unless --full is given. --check says which 512 KiB of a file differ, " +
    "if its wanted contents were hashed here before.",
  takes: [["<path>", "a file, a folder with all files of one model, or ollama:<store>/<name>:<tag>"]],
  options: [
    ["--check <manifest>", "compare with this manifest, and print what differs; asks for SHA-256 alone"],
    ["--full", "read every byte, whatever is known from earlier"],
    ["--links <where>", "own: links stay within the model; anywhere: they may lead to any file (default: own)"],
    ["--engine <which>", "what hashes where one digest is enough: auto (the fastest here), wasm, or native"],
    ["--workers <count>", "threads (default: one for each core, at most 8)"],
    ["--direct", "read past the page cache, what the disk holds"],
    ["--revectorize", "let V8 make wider instructions of the hashing core (needs Node 26)"],
    ["--verity", "print fs-verity digests in place of the manifest, as fsverity digest does"],
    ["--quiet", "no progress"],
    asJson,
  ],
  examples: ["assay hash /srv/models/llama > MANIFEST", "assay hash /srv/models/llama --check MANIFEST"],
  exits: ["good", "failed", "misuse", "unacceptable"],
  reads: given,
  run: hashPath,
})

/** The most threads unless more are asked for: more than eight outrun the disks of a workstation. */
const usualWorkers = (): number => Math.min(availableParallelism(), 8)

async function hashPath(given: Given, terminal: Terminal): Promise<Exit> {
  if (given.check !== undefined && given.verity)
    throw new Problem("misuse", "a manifest holds no fs-verity digests", "leave out --check or --verity")
  const talks = !given.quiet && !given.json
  const progress = talks ? showProgress(terminal, "hashing") : noProgress
  const hasher = new Hasher(settingsOf(given, terminal))
  try {
    const work = { terminal, hasher, progress, begun: terminal.now(), talks }
    return given.check === undefined ? await print(given, work) : await check(given, given.check, work)
  } finally {
    progress.end()
    await hasher.close()
  }
}

function settingsOf({ engine, workers, direct, revectorize }: Given, terminal: Terminal): Partial<HasherSettings> {
  if (revectorize) allowWiderInstructions()
  const doubt = (message: string, hint: string): void => remark(terminal, `${message}; ${hint}`)
  return {
    engine,
    workers: workers ?? usualWorkers(),
    reads: direct ? "direct" : "buffered",
    revectorized: revectorize,
    cache: new DigestCache(ownCache(process.env), message => remark(terminal, message)),
    alarm: alarm => doubt(alarmText(alarm).message, alarmText(alarm).hint),
  }
}

type Work = {
  readonly terminal: Terminal
  readonly hasher: Hasher
  readonly progress: Progress
  readonly begun: number
  readonly talks: boolean
}

const optionsOf = ({ links }: Given, { progress }: Work): Parameters<typeof hashModelWith>[3] => ({
  links,
  signal: new AbortController().signal,
  progress: ({ done, total, file }) => progress.at(done, total, file),
})

const secondsSince = ({ terminal, begun }: Work): number => Math.max((terminal.now() - begun) / 1000, 0.001)

async function print(given: Given, work: Work): Promise<Exit> {
  const { terminal, hasher, progress, talks } = work
  const model = await hashModelWith(hasher, given.full ? "full" : "quick", given.path, optionsOf(given, work))
  progress.end()
  const seconds = secondsSince(work)
  const claims = talks || given.json ? await claimsOf(model.files) : undefined
  if (talks) for (const line of summary(model, seconds, claims)) remark(terminal, line)
  const broken = model.broken.map(({ name }): Difference => ({ how: "broken", name: nameOf(name) }))
  if (given.json) writeJsonLine(terminal, forScripts(model, seconds, broken, claims))
  else {
    terminal.out.write(given.verity ? verityLines(model) : model.manifest)
    for (const each of broken) terminal.err.write(lineOf(each))
  }
  return broken.length === 0 ? "good" : "unacceptable"
}

async function check(given: Given, manifest: string, work: Work): Promise<Exit> {
  const { terminal, hasher, progress, talks } = work
  const wanted = readManifest(await readBounded(manifest, 1 << 26), manifest)
  const options = optionsOf(given, work)
  const model = await flatModelWith(hasher, given.full ? "full" : "quick", given.path, options)
  progress.end()
  const seconds = secondsSince(work)
  const differences = compare(wanted, readManifest(model.manifest, given.path))
  const differing = new Set(differences.filter(({ how }) => how === "differs").map(({ name }) => name))
  const confirmed: string[] = []
  const where = new Map<string, readonly Stretch[]>()
  for (const file of model.files.filter(({ name }) => differing.has(spelt(name)))) {
    const by = await confirmDifference(hasher, file, options.signal)
    const places = await placesOf(hasher, model.root, file, wanted.get(spelt(file.name)) ?? "", options.signal)
    confirmed.push(`${nameOf(file.name)} (confirmed by ${by}): ${placesText(places)}`)
    if (places !== "not known") where.set(spelt(file.name), places)
  }
  if (talks) for (const line of [checked(model, seconds), ...confirmed.map(differs)]) remark(terminal, line)
  const located = differences.map(each => ({ ...each, ...placed(where.get(each.name)) }))
  if (given.json) writeJsonLine(terminal, checkedForScripts(model, seconds, located))
  else for (const each of differences) terminal.out.write(lineOf(each))
  return differences.length === 0 ? "good" : "unacceptable"
}

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

/** For people: the digest, what was read how fast and by whom, and what the files claim. */
function summary(model: HashedModel, seconds: number, claims: ModelClaims | undefined): string[] {
  const { digest, files, bytes, engines, how } = model
  const read = how.read + how.again
  const speed = read === 0 ? "" : `, ${size(bytes)} in ${duration(seconds)}, ${size(bytes / seconds)}/s`
  const by = `SHA-256 by ${engines.sha256}, fs-verity by ${engines.verity}`
  const unread = how.known === 0 ? [] : [`${how.known} not read: unchanged since they were hashed (--full reads them)`]
  const claimed = (claims?.files ?? []).flatMap(({ name, claims }) =>
    claims.slice(0, 6).map(([key, value]) => `${nameOf(name)} claims ${key}: ${value}`),
  )
  const form = claims === undefined || claims.form === "files" ? [] : [`it looks like a ${claims.form}`]
  return [
    `sha256:${digest}  ${counted(files.length, "file")}${speed}; ${by}`,
    ...unread,
    ...form,
    ...claimed.slice(0, 12),
  ]
}

const differs = (text: string): string => `differs: ${text}`
const placed = (places: readonly Stretch[] | undefined): object => (places === undefined ? {} : { where: places })

/** Which bytes are not as they were, to 512 KiB; `end` is behind the last of them. */
function placesText(places: readonly Stretch[] | "not known"): string {
  if (places === "not known") return "where is not known, as this user never hashed the wanted contents here"
  const parts = places.slice(0, 8).map(({ start, end }) => `${start} to ${end - 1}`)
  return `bytes ${parts.join(", ")}${places.length > 8 ? ` and ${places.length - 8} more places` : ""}`
}

function checked({ files, bytes }: FlatModel, seconds: number): string {
  const known = files.filter(({ by }) => by === "known").length
  const by = [...new Set(files.map(each => each.by))].filter(each => each !== "known")
  const speed = by.length === 0 ? "" : `, ${size(bytes)} in ${duration(seconds)}, by ${by.join(" and ")}`
  const unread = known === 0 ? "" : `; ${known} not read: unchanged since they were hashed (--full reads them)`
  return `${counted(files.length, "file")}${speed}${unread}`
}

const verityLines = ({ files }: HashedModel): string =>
  files.map(({ name, verity }) => `sha256:${verity} ${plain(nameOf(name), 4096)}\n`).join("")

const forScripts = (
  model: HashedModel,
  seconds: number,
  differences: readonly Difference[],
  claims: ModelClaims | undefined,
): object => ({
  digest: model.digest,
  bytes: model.bytes,
  seconds,
  engines: model.engines,
  how: model.how,
  form: claims?.form,
  files: model.files.map(({ name, sha256, verity, size: length, link }) => ({
    name: nameOf(name),
    sha256,
    verity,
    size: length,
    link: link === "" ? null : nameOf(link),
  })),
  claims: claims?.files.map(({ name, claims: each }) => ({ name: nameOf(name), claims: Object.fromEntries(each) })),
  differences,
})

const checkedForScripts = (model: FlatModel, seconds: number, differences: readonly object[]): object => ({
  digest: model.digest,
  bytes: model.bytes,
  seconds,
  files: model.files.map(({ name, sha256, size: length, by }) => ({ name: nameOf(name), sha256, size: length, by })),
  differences,
})
