/**
 * What do the servers that run now have loaded: which executable and libraries, which weights, started how? One subject for
 * each kind and executable, whatever number of processes: what comes and goes with requests must not look like a change. A
 * verifier takes what does not run now for no difference; what runs and is not as recorded is one.
 */
import type { Found, Mapped } from "../found.ts"
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import { type Host, isRefused } from "../host.ts"
import { isFileOf, mapped, opened } from "./process/maps.ts"
import type { Server } from "./process/server.ts"
import { commandFact, environmentFacts, unitFacts } from "./process/setting.ts"
import { weightsFacts } from "./process/used.ts"
import { type Context, digestsOf, fact, known, measurements, type Source } from "./source.ts"

const fix = "start assay-reader.socket, or run the agent as the server's user"

export const loaded: Source = {
  name: "loaded",
  measure: async context => {
    const { servers, hidden } = await context.scan.servers()
    const found = new Map<string, Fact[]>()
    for (const server of servers) {
      const name = `${server.kind} ${server.executable}`
      found.set(name, [...(found.get(name) ?? []), ...(await serverFacts(context, server))])
    }
    const told = [...found].toSorted(([a], [b]) => (a < b ? -1 : 1))
    const lasting = told.filter(([, facts]) => facts.length > 0)
    const events = lasting.flatMap(([name, facts]) => measurements("loaded", name, inOrder(facts)))
    const unseen = hidden.flatMap(name => measurements("loaded", `process ${name}`, [["unreadable", `it: ${fix}`]]))
    const all: Measurement[] = [...events, ...unseen]
    return all.length > 0 ? all : measurements("loaded", "", [["absent", "a process that serves models"]])
  },
}

/** Each fact once and in one order, however many processes tell it. */
function inOrder(facts: readonly Fact[]): Fact[] {
  const distinct = new Map(facts.map(each => [each.join("\0"), each]))
  return [...distinct].toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))).map(([, each]) => each)
}

async function serverFacts(context: Context, server: Server): Promise<Fact[]> {
  const maps = await mapped(context.host, server.folder)
  const files = await opened(context.host, server.folder)
  const run = await context.runs.of(server.folder)
  if ((await context.host.link(`${server.folder}/exe`)).state === "absent") return []
  return [
    ...(await codeFacts(context, server, maps)),
    commandFact(server),
    ...(await environmentFacts(context.host, server)),
    ...(await unitFacts(context.host, server)),
    ...(await weightsFacts(context, await viewOf(context.host, server), server, { maps, files, run })),
  ]
}

/**
 * Paths of a process are those of its own mounts: in a container others than ours. Where this process may not look through
 * them, its own view must do.
 */
async function viewOf(host: Host, server: Server): Promise<Host> {
  if (await sharesMounts(host, server)) return host
  const theirs = host.seenBy(server.folder)
  return (await theirs.stat("/")).state === "unreadable" ? host : theirs
}

/** The executable, and every file that is mapped to be run. */
async function codeFacts(context: Context, server: Server, maps: Found<readonly Mapped[]>): Promise<Fact[]> {
  const mappedCode = maps.state === "present" ? maps.value.filter(each => each.code) : []
  const executable = { path: server.executable, code: true, gone: server.replaced, file: "unknown" }
  const isMapped = mappedCode.some(each => each.path === executable.path)
  const all = [...mappedCode, ...(isMapped ? [] : [executable])]
  const there = all.filter(each => !each.gone)
  const [here, away] = await parted(context, server, there)
  const own = await digestsOf(context, here)
  const refused = here.filter(path => isRefused(own.get(path) ?? { state: "absent" }))
  const theirs = { ...context, host: context.host.seenBy(server.folder) }
  const seen = await digestsOf(theirs, [...refused, ...away])
  const better = [...seen].filter(([path, found]) => found.state !== "absent" || !refused.includes(path))
  const digests = [...own, ...better]
  const replaced = all
    .filter(each => each.gone)
    .map(({ path }) => known(`replaced${path}`, "what runs is not the file at this path"))
  const hidden = maps.state === "present" ? [] : [fact("maps", maps)]
  return [...[...new Map(digests)].map(([path, digest]) => codeFact(path, digest)), ...replaced, ...hidden]
}

/**
 * Paths at which this process sees the same file, and others: paths of a process are those of its own mounts. Other mounts need
 * not be a container's, so each file is compared.
 */
async function parted({ host }: Context, server: Server, files: readonly Mapped[]): Promise<[string[], string[]]> {
  const same = await sharesMounts(host, server)
  const [here, away]: [string[], string[]] = [[], []]
  for (const { path, file } of files) {
    const found = same ? "here" : await host.stat(path)
    const isHere = found === "here" || (found.state === "present" && isFileOf(found.value.state, file))
    ;(isHere ? here : away).push(path)
  }
  return [here, away]
}

async function sharesMounts(host: Host, { folder }: Server): Promise<boolean> {
  const [theirs, ours] = [await host.link(`${folder}/ns/mnt`), await host.link("/proc/self/ns/mnt")]
  return theirs.state !== "present" || ours.state !== "present" || theirs.value === ours.value
}

const codeFact = (path: string, digest: Found<string>): Fact =>
  digest.state === "present" ? known(`mapped${path}`, digest.value) : fact(`mapped${path}`, digest)
