/**
 * What is a measurement source? One part of the machine: it finds facts and says how each was found. Which sources there
 * are and in which order: `index.ts`. Facts hold nothing that differs on an unchanged machine: no time, no process id.
 */
import { createHash } from "node:crypto"
import type { FileDigest, Found } from "../found.ts"
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import type { Weights } from "../config.ts"
import { escaped } from "../escape.ts"
import { asBinary } from "../hash/binary.ts"
import type { Depth, Hasher } from "../hash/hasher.ts"
import type { Progress } from "../hash/model.ts"
import { CannotHash } from "../hash/tree.ts"
import type { Host } from "../host.ts"
import type { Runs } from "../run/runs.ts"
import type { Self } from "../self.ts"
import type { Scan } from "./process/scan.ts"

/** The TPM as the broker tells of it. */
export type TpmAnswer = {
  readonly manufacturer: string
  readonly vendor: string
  readonly firmware: string
  readonly software: boolean
  readonly banks: readonly string[]
}

/** What sources may look at. */
export type Context = {
  readonly host: Host
  /** what ran on that host when the first source asked */
  readonly scan: Scan
  readonly hasher: Hasher
  readonly depth: Depth
  readonly signal: AbortSignal
  readonly progress: (model: string, progress: Progress) => void
  readonly self: Self
  /** not asked: nobody looks at the TPM now */
  readonly tpm: TpmAnswer | "not asked"
  readonly weights: readonly Weights[]
  /** processes that were started by us after hashing */
  readonly runs: Pick<Runs, "of">
}

/** What a look at the machine begins with: what runs on it is found then. */
export type Means = Omit<Context, "scan">

/** `measure` never throws for what it finds on the machine, only when it is aborted. */
export type Source = { readonly name: string; measure(context: Context): Promise<readonly Measurement[]> }

/** The most facts of one event; further ones go into further events of the same subject. */
export const factsPerEvent = 500

/**
 * The fact of a name, however it was found. What is absent or unreadable is a fact too, under that very name: a value that
 * a file holds cannot pass for one.
 */
export function fact(name: Uint8Array | string, found: Found<Uint8Array | string>): Fact {
  if (found.state === "present") return [nameOf(name), escaped(found.value)]
  return found.state === "absent"
    ? ["absent", escaped(name)]
    : ["unreadable", `${escaped(name, 1024)}: ${escaped(found.problem, 2048)}`]
}

/** Names that say something of their own; a file that holds such a name gets a backslash in front, as no escape begins so. */
const reserved = new Set(["absent", "unreadable", "part", "contradiction"])

function nameOf(name: Uint8Array | string): string {
  const text = escaped(name, 256)
  return reserved.has(text) ? `\\${text}` : text
}

/** Two that speak of the same thing and disagree: who says what. */
export const contradiction = (about: string, words: readonly string[]): Fact => [
  "contradiction",
  escaped(`${about}: ${words.join(", ")}`),
]

/** Facts of a part: its name in front of theirs, and in front of what is absent or unreadable. */
export const prefixed =
  (prefix: string) =>
  ([name, value]: Fact): Fact =>
    ["absent", "unreadable", "contradiction"].includes(name)
      ? [name, escaped(Buffer.from(`${prefix}/`), 256) + value]
      : [`${prefix}/${name}`, value]

/** A fact of something that is known. */
export const known = (name: Uint8Array | string, value: Uint8Array | string | number): Fact =>
  fact(name, { state: "present", value: typeof value === "number" ? String(value) : value })

/** The small files `names` of `folder`, each a fact called by its name. */
export async function filesAsFacts(host: Host, folder: string, names: readonly string[]): Promise<Fact[]> {
  const facts: Fact[] = []
  for (const name of names) facts.push(fact(name, await host.readLine(`${folder}/${name}`)))
  return facts
}

/** Small files anywhere, each a fact called by its path. */
export async function pathsAsFacts(host: Host, paths: readonly string[]): Promise<Fact[]> {
  const facts: Fact[] = []
  for (const path of paths) facts.push(fact(path, await host.readLine(path)))
  return facts
}

/** Digest and size of a file that may be large. */
export async function digestFacts(context: Context, path: string): Promise<Fact[]> {
  const local = await context.host.local(path)
  const own = local.state === "present" ? await ownDigest(context, local.value) : local
  return asFacts(await context.host.orReader(own, reader => reader.digest(path, context.depth)))
}

/** The same for a path of the machine that runs this, whatever the host's root; SHA-256 is all that is wanted of it. */
export async function digestOfLocal({ hasher, depth, signal }: Context, path: string): Promise<Fact[]> {
  return asFacts(
    await foundOr(async () => {
      const [found] = await hasher.flat([asBinary(Buffer.from(path))], depth, signal, () => undefined)
      if (!found) throw new Error("a file was given and none came back")
      return found
    }),
  )
}

const asFacts = (found: Found<FileDigest>): Fact[] =>
  found.state === "present"
    ? [known("digest", `sha256:${found.value.sha256}`), known("size", found.value.size)]
    : [fact("digest", found)]

const ownDigest = ({ hasher, depth, signal }: Context, path: string): Promise<Found<FileDigest>> =>
  foundOr(() => hasher.file({ path: Buffer.from(path) }, depth, signal, () => undefined))

async function foundOr(hash: () => Promise<FileDigest>): Promise<Found<FileDigest>> {
  try {
    return { state: "present", value: await hash() }
  } catch (error) {
    if (!(error instanceof CannotHash)) throw error
    return refusalAsFound(error)
  }
}

/** The digest of each file, by its path as it was given; what cannot be hashed is told apart, and keeps no other from it. */
export async function digestsOf(
  context: Context,
  paths: readonly string[],
): Promise<ReadonlyMap<string, Found<string>>> {
  const found = new Map<string, Found<string>>()
  const there: { readonly path: string; readonly local: string }[] = []
  for (const path of new Set(paths)) {
    const local = await context.host.local(path)
    if (local.state === "present") there.push({ path, local: local.value })
    else found.set(path, local)
  }
  const digests = await hashEach(
    context,
    there.map(each => each.local),
  )
  for (const [i, { path }] of there.entries()) found.set(path, digests[i] ?? { state: "absent" })
  for (const [path, own] of found) found.set(path, await orReadersDigest(context, path, own))
  return new Map(paths.map(path => [path, found.get(path) ?? { state: "absent" }]))
}

const orReadersDigest = ({ host, depth }: Context, path: string, own: Found<string>): Promise<Found<string>> =>
  host.orReader(own, async reader => {
    const said = await reader.digest(path, depth)
    return said.state === "present" ? { state: "present", value: `sha256:${said.value.sha256}` } : said
  })

/** All in one round; one after the other only where one of them cannot be hashed. */
async function hashEach(context: Context, locals: readonly string[]): Promise<Found<string>[]> {
  const { hasher, depth, signal } = context
  const hash = async (some: readonly string[]): Promise<Found<string>[]> => {
    const files = await hasher.files(some.map(asBinary), depth, signal, () => undefined)
    return files.map(({ sha256 }) => ({ state: "present", value: `sha256:${sha256}` }))
  }
  if (locals.length === 0) return []
  try {
    return await hash(locals)
  } catch (error) {
    if (!(error instanceof CannotHash)) throw error
    if (locals.length === 1) return [refusalAsFound(error)]
  }
  const found: Found<string>[] = []
  for (const local of locals) found.push(...(await hashEach(context, [local])))
  return found
}

function refusalAsFound({ obstacle, message, code, hint }: CannotHash): Found<never> {
  if (obstacle === "absent") return { state: "absent" }
  return { state: "unreadable", problem: code === "EACCES" || code === "EPERM" ? `${code}: ${hint}` : message }
}

/** The digest of what was read, in place of it. */
export const contentDigest = (found: Found<Uint8Array>): Found<string> =>
  found.state === "present"
    ? { state: "present", value: `sha256:${createHash("sha256").update(found.value).digest("hex")}` }
    : found

/**
 * The events of one subject: present if any fact is of something that was there, else unreadable if anything was, else
 * absent. Facts beyond {@link factsPerEvent} follow in parts that are numbered from 2.
 */
export function measurements(source: string, subject: string, facts: readonly Fact[]): Measurement[] {
  const names = new Set(facts.map(([name]) => name))
  const there = [...names].some(name => name !== "absent" && name !== "unreadable")
  const state = there ? "present" : names.has("unreadable") ? "unreadable" : "absent"
  const parts = chunks(facts)
  return parts.map((part, i) => ({
    type: "assay.measurement.v1",
    source,
    subject: escaped(subject, 1024),
    state,
    facts: [...(i === 0 ? [] : [["part", String(i + 1)] as const]), ...part].map(([name, value]) => [name, value]),
  }))
}

function chunks(facts: readonly Fact[]): Fact[][] {
  const parts: Fact[][] = [[]]
  for (const each of facts) {
    if ((parts.at(-1) ?? []).length === factsPerEvent) parts.push([])
    parts.at(-1)?.push(each)
  }
  return parts
}

/** What is told of a file beside its digest, which is worth telling only where there is one. */
export const besideDigest = (digest: readonly Fact[], more: readonly Fact[]): Fact[] =>
  digest.some(([name]) => name === "digest") ? [...digest, ...more] : [...digest]

/** Facts of something whose only trace would be one of these paths. */
export const lookedAt = (paths: readonly string[]): Fact[] => paths.map(path => ["absent", escaped(path)])
