/**
 * What does a server itself say of its model, asked at its own port on the loopback interface? Its word alone: whoever can
 * change the server can change what it says. What the kernel shows of it: used.ts.
 */
import { posix } from "node:path"
import { z } from "zod"
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Host } from "../../host.ts"
import { contradiction, fact, known } from "../source.ts"
import type { Server } from "./server.ts"

/** What a server says, and the paths that it says its models have. */
export type Said = { readonly facts: readonly Fact[]; readonly paths: readonly string[] }

type Page = {
  readonly path: string
  readonly read: (body: unknown) => readonly (readonly [name: string, value: string])[]
}

const text = z.string().max(4096)
const pageOf = <T>(path: string, schema: z.ZodType<T>, told: (body: T) => ReturnType<Page["read"]>): Page => ({
  path,
  read: body => {
    const parsed = schema.safeParse(body)
    return parsed.success ? told(parsed.data) : []
  },
})

const props = pageOf("/props", z.object({ model_path: text.optional(), build_info: text.optional() }), body => [
  ...(body.model_path === undefined ? [] : [["model_path", body.model_path] as const]),
  ...(body.build_info === undefined ? [] : [["build_info", body.build_info] as const]),
])
const version = (path: string): Page => pageOf(path, z.object({ version: text }), body => [["version", body.version]])
/** `root` is the folder of a model, or the name of a repository. */
const models = pageOf(
  "/v1/models",
  z.object({ data: z.array(z.object({ id: text, root: text.nullish(), parent: text.nullish() })).max(64) }),
  ({ data }) =>
    data.map(({ id, root, parent }) => [
      parent === null || parent === undefined ? `model/${id}` : `adapter/${id}`,
      root ?? "",
    ]),
)
const running = pageOf("/api/ps", z.object({ models: z.array(z.object({ name: text, digest: text })).max(64) }), body =>
  body.models.map(each => [`model/${each.name}`, `manifest sha256:${each.digest}`]),
)
const info = pageOf("/info", z.object({ model_id: text, model_sha: text.nullish(), version: text }), body => [
  ["version", body.version],
  [`model/${body.model_id}`, body.model_sha ?? ""],
])
const triton = pageOf("/v2", z.object({ name: text, version: text }), body => [
  ["version", `${body.name} ${body.version}`],
])

/** Which pages a kind of server has; of the vendors' own documentation. */
const pages: Readonly<Record<string, readonly Page[]>> = {
  "llama-server": [props, models],
  "llama.cpp": [props, models],
  ollama: [version("/api/version"), running],
  vllm: [version("/version"), models],
  sglang: [models],
  "text-generation-router": [info],
  tritonserver: [triton],
}

const nothing: Said = { facts: [], paths: [] }

/** What the server says at the first of its ports that answers. */
export async function saidBy(host: Host, server: Server): Promise<Said> {
  const asked = pages[server.kind]
  if (!asked) return nothing
  for (const port of await portsOf(host, server.folder)) {
    const answers = await Promise.all(asked.map(({ path }) => host.ask(port, path)))
    if (answers.every(each => each.state === "absent")) continue
    const pairs = answers.flatMap((each, i) =>
      each.state === "present" ? (asked[i]?.read(jsonIn(each.value)) ?? []) : [],
    )
    const refused = answers.filter(each => each.state === "unreadable").slice(0, 1)
    const facts = [
      ...pairs.map(([name, value]) => known(`said/${name}`, value)),
      ...refused.map(each => fact("said", each)),
    ]
    return { facts, paths: pairs.filter(([name]) => name === "model_path").map(([, value]) => value) }
  }
  return nothing
}

function jsonIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"))
  } catch {
    return undefined
  }
}

const limits = Object.freeze({ sockets: 4096, ports: 8, table: 1 << 22 })
/** Of /proc/<pid>/net/tcp: local address and port, state, and inode of the socket. A listening socket is in state 0A. */
const listening = /^ *\d+: ([0-9A-F]+):([0-9A-F]{4}) \S+ 0A (?:\S+ +){5}(\d+) /

/** Loopback ports on which the process itself listens: a socket of its own, in a network that is ours too. */
async function portsOf(host: Host, folder: string): Promise<number[]> {
  const [theirs, ours] = [await host.link(`${folder}/ns/net`), await host.link("/proc/self/ns/net")]
  if (theirs.state !== "present" || ours.state !== "present" || theirs.value !== ours.value) return []
  const sockets = await socketsOf(host, folder)
  if (sockets.size === 0) return []
  const found = new Set<number>()
  for (const table of ["tcp", "tcp6"]) {
    const read = await host.readBytes(`${folder}/net/${table}`, limits.table)
    for (const line of read.state === "present" ? Buffer.from(read.value).toString("latin1").split("\n") : []) {
      const [, address = "", port = "", inode = ""] = listening.exec(line) ?? []
      if (sockets.has(inode) && answersLoopback(address)) found.add(Number.parseInt(port, 16))
    }
  }
  return [...found].toSorted((a, b) => a - b).slice(0, limits.ports)
}

/** 127.0.0.1, any address, and IPv6 sockets of any address, as the kernel writes them. */
const answersLoopback = (address: string): boolean => /^(?:0100007F|0+)$/.test(address)

async function socketsOf(host: Host, folder: string): Promise<ReadonlySet<string>> {
  const listed = await host.list(`${folder}/fd`)
  const found = new Set<string>()
  for (const number of listed.state === "present" ? listed.value.slice(0, limits.sockets) : []) {
    const link = await host.link(`${folder}/fd/${number}`)
    const inode = link.state === "present" ? /^socket:\[(\d+)\]$/.exec(link.value)?.[1] : undefined
    if (inode !== undefined) found.add(inode)
  }
  return found
}

/** A path that a server says its model has, and that is not among those that it is seen to use. */
export async function unseenPaths(
  own: Host,
  { paths }: Said,
  cwd: string,
  used: ReadonlySet<string>,
): Promise<string[]> {
  const found: string[] = []
  for (const path of paths) {
    if (!posix.isAbsolute(path) && cwd === "none") continue
    const real = await own.realpath(posix.resolve("/", cwd, path))
    if (real.state === "present" && !used.has(real.value)) found.push(real.value)
  }
  return found
}

/** What it says and what it is seen to have in memory are not the same. */
export const disputed = (said: string, seen: readonly string[]): Fact =>
  contradiction("weights", [`it says that it serves ${said}`, `it has loaded ${seen.join(" ")}`])
