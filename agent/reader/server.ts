/**
 * Which processes may be asked about, and which of their files may be read? Those that serve models, as the reader itself sees
 * it each time; of these what they run, and the weights that they have mapped. What a caller says of a process counts for nothing.
 */
import type { BigIntStats } from "node:fs"
import type { Found, Mapped } from "../found.ts"
import { stateOf } from "../hash/job.ts"
import { Host } from "../host.ts"
import { isFileOf, mapped, opened } from "../sources/process/maps.ts"
import { looksLikeWeights } from "../sources/process/named.ts"
import { serverIn } from "../sources/process/server.ts"
import { tellingVariables } from "../sources/process/setting.ts"
import { type Part, partOf } from "./part.ts"
import { fileLimit } from "./verbs.ts"

const host = new Host("/", "never run")
const folderOf = (process: number): string => `/proc/${process}`

const stranger = { state: "unreadable", problem: "not a process that serves models" } as const
const links = { exe: "exe", cwd: "cwd", mounts: "ns/mnt" } as const

/** Asked before and after, since another process may have the number by then. */
async function ofServer<T>(process: number, ask: (folder: string) => Promise<Found<T>>): Promise<Found<T>> {
  const folder = folderOf(process)
  const before = await serverIn(host, folder)
  if (before.length === 0) return (await host.stat(folder)).state === "absent" ? { state: "absent" } : stranger
  const found = await ask(folder)
  const after = await serverIn(host, folder)
  return after[0]?.executable === before[0]?.executable ? found : { state: "absent" }
}

/** Executable and mount namespace of any process, since by these a server is found; the rest is a server's only. */
export const linkOf = (process: number, link: keyof typeof links): Promise<Found<string>> =>
  link === "cwd"
    ? ofServer(process, folder => host.link(`${folder}/${links[link]}`))
    : host.link(`${folderOf(process)}/${links[link]}`)

export const mappedBy = (process: number): Promise<Found<Mapped[]>> =>
  ofServer(process, async folder => bounded(await mapped(host, folder)))

export const openedBy = (process: number): Promise<Found<Mapped[]>> =>
  ofServer(process, async folder => bounded(await opened(host, folder)))

const bounded = (files: Found<readonly Mapped[]>): Found<Mapped[]> =>
  files.state === "present" ? { state: "present", value: files.value.slice(0, fileLimit) } : files

export const environmentOf = (process: number): Promise<Found<readonly (readonly [string, Uint8Array])[]>> =>
  ofServer(process, async folder => {
    const read = await host.readBytes(`${folder}/environ`, 1 << 20)
    return read.state === "present" ? { state: "present", value: tellingVariables(read) } : read
  })

/** Of the very file that runs: proc leads to it, whatever lies at its path. */
export const executablePart = (process: number, offset: number, length: number): Promise<Found<Part>> =>
  ofServer(process, folder => partOf(`${folder}/exe`, { offset, length }, () => true, "a link of proc"))

export const mappedPart = (process: number, path: string, offset: number, length: number): Promise<Found<Part>> =>
  ofServer(process, async folder => {
    const files = await mapped(host, folder)
    if (files.state !== "present") return files
    const meant = files.value.find(each => each.path === path && !each.gone)
    if (!meant) return { state: "absent" }
    if (!meant.code && !looksLikeWeights(path))
      return { state: "unreadable", problem: "mapped, and neither code nor weights" }
    const real = await new Host(`${folder}/root`, "never run").realpath(path)
    const straight = real.state === "present" && real.value === path
    const who = await credentialsOf(folder)
    return partOf(`${folder}/root${path}`, { offset, length }, status => isMeant(status, meant, straight && who))
  })

/**
 * Is what was opened what is mapped? Some file systems write another device into maps than into the status of a file (btrfs,
 * overlayfs): then inode and a path without a link in it must do, if the server itself could read the file. A mount of its own
 * may have put any file of that number there.
 */
function isMeant(status: BigIntStats, { file }: Mapped, straight: Credentials | false): boolean {
  if (isFileOf(stateOf(status), file)) return true
  return straight !== false && String(status.ino) === file.split(":")[1] && mayRead(status, straight)
}

/** For whom a process reads files: user, group and further groups, as the kernel counts them for files. */
type Credentials = { readonly user: bigint; readonly groups: ReadonlySet<bigint> }

/** From proc_pid_status(5), whose last number of Uid and Gid is the file system's. Nobody's where that cannot be had. */
async function credentialsOf(folder: string): Promise<Credentials | false> {
  const read = await host.readBytes(`${folder}/status`, 1 << 16)
  if (read.state !== "present") return false
  const numbers = (word: string): bigint[] =>
    new RegExp(`^${word}:\\t([0-9 \\t]*)$`, "m")
      .exec(Buffer.from(read.value).toString("latin1"))?.[1]
      ?.split(/\s+/)
      .filter(Boolean)
      .map(BigInt) ?? []
  const [user, group] = [numbers("Uid")[3], numbers("Gid")[3]]
  return user === undefined || group === undefined ? false : { user, groups: new Set([group, ...numbers("Groups")]) }
}

/** By the file's mode alone; what an access list grants besides is not seen. */
function mayRead({ uid, gid, mode }: BigIntStats, { user, groups }: Credentials): boolean {
  if (user === 0n) return true
  const bit = uid === user ? 0o400n : groups.has(gid) ? 0o040n : 0o004n
  return (mode & bit) !== 0n
}
