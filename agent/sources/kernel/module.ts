/**
 * Which modules did the kernel load, and which files are they? What sysfs tells of each as it is in memory, and the digest of
 * the file that modules.dep names for it, as it is stored: compressed files are not unpacked.
 */
import { posix } from "node:path"
import type { Fact, Measurement } from "../../../attestation/protocol/event.ts"
import { escaped } from "../../escape.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { type Context, digestsOf, fact, known, measurements } from "../source.ts"
import { buildId } from "./build-id.ts"
import { signerOf } from "./signer.ts"

/** Modules that were loaded: what is built in has no `initstate`. Use counts and addresses are left out, they change. */
export async function modules(context: Context): Promise<Measurement[]> {
  const { host } = context
  const listed = await host.list("/sys/module")
  if (listed.state !== "present") return measurements("kernel", "modules", [fact("/sys/module", listed)])
  const states = await Promise.all(listed.value.map(name => host.stat(`/sys/module/${name}/initstate`)))
  const loaded = listed.value.filter((_, i) => states[i]?.state !== "absent")
  if (loaded.length === 0) return measurements("kernel", "modules", [known("modules", "none")])
  const places = await modulePlaces(host)
  const told = places.state === "present" ? [] : [fact("modules.dep", places)]
  const files = await filesOf(context, loaded, places.state === "present" ? places.value : new Map())
  const facts = await Promise.all(loaded.map(name => moduleFact(host, name, files.get(name) ?? [])))
  return measurements("kernel", "modules", [...facts, ...told])
}

/** What sysfs tells of a module and what lies on disk, in one line: each name only where there is such a file. */
async function moduleFact(host: Host, name: string, file: readonly string[]): Promise<Fact> {
  const folder = `/sys/module/${name}`
  const told: string[] = []
  for (const each of ["version", "srcversion", "taint"])
    told.push(...labelled(each, await host.readLine(`${folder}/${each}`)))
  told.push(...labelled("build-id", buildId(await host.readBytes(`${folder}/notes/.note.gnu.build-id`))), ...file)
  return [escaped(`module/${name}`, 256), told.length > 0 ? told.join(" ") : "no identity"]
}

function labelled(name: string, found: Found<Uint8Array | string>): string[] {
  if (found.state === "absent" || (found.state === "present" && found.value.length === 0)) return []
  return [`${name}:${found.state === "present" ? escaped(found.value, 700) : found.state}`]
}

/** The file of each module by its name in the kernel, as depmod found them for the kernel that runs (modules.dep(5)). */
async function modulePlaces(host: Host): Promise<Found<ReadonlyMap<string, string>>> {
  const release = await host.readLine("/proc/sys/kernel/osrelease")
  if (release.state !== "present") return release
  const version = Buffer.from(release.value).toString("latin1")
  if (!/^[\w.+~-]{1,128}$/.test(version))
    return { state: "unreadable", problem: "the kernel's release is no file name" }
  const folder = `/lib/modules/${version}`
  const read = await host.readBytes(`${folder}/modules.dep`, 1 << 23)
  if (read.state !== "present") return read
  const lines = Buffer.from(read.value).toString("latin1").split("\n")
  const paths = lines.map(each => each.slice(0, Math.max(each.indexOf(":"), 0))).filter(each => each !== "")
  return { state: "present", value: new Map(paths.map(path => [nameOf(path), posix.join(folder, path)])) }
}

/** The kernel writes every hyphen of a file's name as an underscore. */
const nameOf = (path: string): string =>
  posix
    .basename(path)
    .replace(/\.ko(?:\.\w+)?$/, "")
    .replaceAll("-", "_")

/** The signers of files by their digests: the same bytes bear the same signature, and unpacking them takes long. */
const signers = new Map<string, string>()

async function signerTold({ host }: Context, path: string, digest: string): Promise<string> {
  const known = signers.get(digest)
  if (known !== undefined) return known
  const found = await signerOf(host, path)
  const told = `signer:${found.state === "present" ? found.value : found.state}`
  if (found.state === "present" && signers.size < 4096) signers.set(digest, told)
  return told
}

async function filesOf(
  context: Context,
  loaded: readonly string[],
  places: ReadonlyMap<string, string>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  if (places.size === 0) return new Map()
  const wanted = loaded.flatMap(name => places.get(name) ?? [])
  const digests = await digestsOf(context, wanted)
  const told = new Map<string, readonly string[]>()
  for (const name of loaded) {
    const path = places.get(name) ?? ""
    const found = digests.get(path) ?? ({ state: "absent" } as const)
    if (found.state !== "present") told.set(name, [`file:${found.state}`])
    else told.set(name, [`file:${found.value} ${escaped(path, 700)}`, await signerTold(context, path, found.value)])
  }
  return told
}
