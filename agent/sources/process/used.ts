/**
 * Which weights does a server use, and how is that known? Each file by the strongest evidence there is, with what was measured
 * of it. None proves that the server uses nothing else. What its own interface says is its word alone: said.ts.
 */
import type { Found, Mapped } from "../../found.ts"
import type { Fact } from "../../../attestation/protocol/event.ts"
import { escaped } from "../../escape.ts"
import type { Host } from "../../host.ts"
import type { Run } from "../../run/runs.ts"
import { contradiction, type Context, fact, known } from "../source.ts"
import { looksLikeWeights, type Named, namedIn, type Role } from "./named.ts"
import { disputed, saidBy, unseenPaths } from "./said.ts"
import type { Server } from "./server.ts"

/** The strongest evidence of all: nothing could be put in the file's place before it was hashed. */
const startedByUs = "started by us after hashing"
/** How it is known that a server uses a file, strongest first. */
const methods = ["mapped", "open", "named by its command line", "named by the server itself"] as const
type Method = (typeof methods)[number]
type Use = Mapped & { readonly method: Method; readonly role: Role }

/** What the kernel shows of a server; `run`: what was hashed before it was started, if we started it. */
export type Seen = {
  readonly maps: Found<readonly Mapped[]>
  readonly files: Found<readonly Mapped[]>
  readonly run: Run | "none"
}

/** The facts of each file of weights that a server uses. `own` is the machine as the server sees it. */
export async function weightsFacts(context: Context, own: Host, server: Server, seen: Seen): Promise<Fact[]> {
  const cwd = await context.host.link(`${server.folder}/cwd`)
  const at = cwd.state === "present" ? cwd.value : "none"
  const named = await namedIn(own, server.given, at)
  const uses = usesOf(context, seen, named)
  const said = await saidBy(context.host, server)
  const whole = seen.maps.state === "present" && seen.files.state === "present"
  const held = whole
    ? uses.filter(each => each.method === "mapped" || each.method === "open").map(each => each.path)
    : []
  const alsoSaid = await unseenPaths(own, said, at, new Set(held.length > 0 ? held : uses.map(each => each.path)))
  const facts: Fact[] = []
  for (const use of uses) facts.push(await useFact(context, own, use, seen.run))
  const unseen = seen.files.state === "unreadable" ? [fact("fd", seen.files)] : []
  return [
    ...facts,
    ...said.facts,
    ...(await saidFacts(context, own, held, alsoSaid)),
    ...(whole ? await exchanged(own, uses, named) : []),
    ...unseen,
  ]
}

/** What it alone says that it uses; if other weights are in its memory, it contradicts what is seen. */
async function saidFacts(
  context: Context,
  own: Host,
  held: readonly string[],
  paths: readonly string[],
): Promise<Fact[]> {
  if (held.length > 0) return paths.map(path => disputed(path, held))
  const facts: Fact[] = []
  for (const path of paths)
    facts.push(
      await useFact(
        context,
        own,
        { path, code: false, gone: false, file: "unknown", method: methods[3], role: "model" },
        "none",
      ),
    )
  return facts
}

function usesOf(context: Context, { maps, files }: Seen, named: readonly Named[]): Use[] {
  const roles = new Map(named.map(({ path, role }) => [path, role]))
  const lists: readonly (readonly Mapped[])[] = [
    (maps.state === "present" ? maps.value : []).filter(each => !each.code),
    files.state === "present" ? files.value : [],
    named.map(({ path }) => ({ path, code: false, gone: false, file: "unknown" })),
  ]
  const found = new Map<string, Use>()
  for (const [i, list] of lists.entries())
    for (const each of list) {
      if (found.has(each.path) || (coveredBy(context, each.path) === "none" && !looksLikeWeights(each.path))) continue
      found.set(each.path, { ...each, method: methods[i] ?? methods[2], role: roles.get(each.path) ?? "model" })
    }
  return [...found.values()]
}

async function useFact(context: Context, own: Host, use: Use, run: Run | "none"): Promise<Fact> {
  const { path, method, role } = use
  if (use.gone || (await isAnother(own, use)))
    return contradiction(`weights ${path}`, [`what is ${method} is not the file at this path any more`])
  const before = run === "none" ? undefined : run.files.find(each => each.path === path)
  if (before && !(await isStill(own, before)))
    return contradiction(`weights ${path}`, ["it was written to after it was hashed for the start of its server"])
  const model = coveredBy(context, path)
  const promised = /\/blobs\/sha256-([0-9a-f]{64})$/.exec(path)?.[1]
  const unmeasured = promised === undefined ? "measured by nobody" : `called sha256:${promised}`
  const started = before ? [startedByUs] : []
  const unhashed = before ? `sha256:${before.sha256}` : unmeasured
  const words = [
    ...started,
    method,
    ...(role === "model" ? [] : [role]),
    model === "none" ? unhashed : `measured as ${model}`,
  ]
  return known(`weights${path}`, words.join(", "))
}

/** Whether nobody has written to a file since it was hashed; what cannot be seen any more is another. */
async function isStill(own: Host, { path, state }: Run["files"][number]): Promise<boolean> {
  const there = await own.stat(path)
  return there.state === "present" && there.value.state === state
}

/** Whether the file at the path has another inode than the one in memory; told only where both are of one device. */
async function isAnother(own: Host, { path, file }: Use): Promise<boolean> {
  if (file === "unknown") return false
  const there = await own.stat(path)
  if (there.state !== "present") return false
  const [device, inode] = file.split(":")
  const [statDevice, statInode] = there.value.state.split(":")
  return device === statDevice && inode !== statInode
}

/**
 * A file that was exchanged by renaming shows under its new name: what is in memory is named by nobody, and what is named is
 * not in memory. Adapters are read and closed, so that of them it says nothing.
 */
async function exchanged(own: Host, uses: readonly Use[], named: readonly Named[]): Promise<Fact[]> {
  const held = new Set(uses.filter(each => each.method !== "named by its command line").map(each => each.path))
  const within = (path: string): boolean => named.some(each => path === each.path || path.startsWith(`${each.path}/`))
  const strangers = [...held].filter(path => looksLikeWeights(path) && !within(path))
  const missing: string[] = []
  for (const { path, role } of named) {
    if (role === "adapter" || held.has(path) || !looksLikeWeights(path)) continue
    const there = await own.stat(path)
    if (there.state === "present" && there.value.kind === "file") missing.push(path)
  }
  if (strangers.length === 0 || missing.length === 0) return []
  return [
    contradiction("weights", [`its command line names ${missing.join(" ")}`, `it has loaded ${strangers.join(" ")}`]),
  ]
}

function coveredBy({ weights }: Context, path: string): string {
  const model = weights.find(each => path === each.path || path.startsWith(`${each.path}/`))
  return model === undefined ? "none" : escaped(model.name, 256)
}
