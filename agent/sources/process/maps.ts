/**
 * Which files does a process have in its memory, and which does it hold open? proc_pid_maps(5), proc_pid_fd(5). Absence proves
 * nothing: who reads a file whole and closes it leaves no trace here.
 */
import { posix } from "node:path"
import type { Found, Mapped } from "../../found.ts"
import type { Host } from "../../host.ts"

const line =
  /^[0-9a-f]{1,16}-[0-9a-f]{1,16} ([r-][w-][x-])[ps] [0-9a-f]{1,16} ([0-9a-f]{1,8}):([0-9a-f]{1,8}) (\d{1,20}) +(\/.*)$/
/** Not files of a disk: devices, shared memory and what the kernel calls so. */
const unreal = /^\/(?:dev|proc|sys|memfd:|SYSV|anon_hugepage|drm|i915|\[)/
/** How the kernel ends the name of a file that is not at its path any more. */
export const deletedMark = " (deleted)"
const mapsLimit = 1 << 24
const fileLimit = 4096

/** Is the file in this state (host.ts) the one that maps calls so? Some file systems give maps another device: then it is not known. */
export const isFileOf = (state: string, file: string): boolean => state.startsWith(`${file}:`)

/** Each file in the process's memory, once. */
export async function mapped(host: Host, folder: string): Promise<Found<readonly Mapped[]>> {
  const read = await host.readBytes(`${folder}/maps`, mapsLimit)
  const found = read.state === "present" ? ({ state: "present", value: inMaps(read.value) } as const) : read
  return host.orReader(found, reader => reader.mapped(folder))
}

/** Whether one of these words may stand there: most processes map nothing of interest, and taking their lines apart takes long. */
export async function mayHaveMapped(host: Host, folder: string, words: readonly string[]): Promise<boolean> {
  const read = await host.readBytes(`${folder}/maps`, mapsLimit)
  if (read.state !== "present") return read.state === "unreadable"
  const text = Buffer.from(read.value.buffer, read.value.byteOffset, read.value.byteLength)
  return words.some(each => text.includes(each))
}

/** What the text of a maps file says; lines that are none are left out. */
export function inMaps(content: Uint8Array): readonly Mapped[] {
  const found = new Map<string, Mapped>()
  for (const text of Buffer.from(content).toString("utf8").split("\n")) {
    const [, mode = "", major = "", minor = "", inode, said = ""] = line.exec(text) ?? []
    if (inode === undefined || inode === "0" || unreal.test(said)) continue
    const gone = said.endsWith(deletedMark)
    const path = (gone ? said.slice(0, -deletedMark.length) : said).replaceAll("\\012", "\n")
    const before = found.get(said)
    if (!before && found.size >= fileLimit) continue
    const file = `${deviceNumber(major, minor)}:${inode}`
    found.set(said, { path, gone, file, code: mode.includes("x") || (before?.code ?? false) })
  }
  return [...found.values()]
}

/** The number that stat(2) gives for a device: glibc's gnu_dev_makedev, for major and minor in hexadecimal. */
function deviceNumber(major: string, minor: string): bigint {
  const [a, b] = [BigInt(`0x${major}`), BigInt(`0x${minor}`)]
  return (b & 0xffn) | ((a & 0xfffn) << 8n) | ((b & ~0xffn) << 12n) | ((a & ~0xfffn) << 32n)
}

/** Each file that the process holds open, with what the kernel says of it. */
export async function opened(host: Host, folder: string): Promise<Found<readonly Mapped[]>> {
  const listed = await host.list(`${folder}/fd`)
  if (listed.state !== "present") return host.orReader(listed, reader => reader.opened(folder))
  const found = new Map<string, Mapped>()
  for (const number of listed.value.slice(0, fileLimit)) {
    const link = await host.link(`${folder}/fd/${number}`)
    if (link.state !== "present" || !posix.isAbsolute(link.value) || unreal.test(link.value)) continue
    const gone = link.value.endsWith(deletedMark)
    const path = gone ? link.value.slice(0, -deletedMark.length) : link.value
    found.set(link.value, { path, gone, code: false, file: "unknown" })
  }
  return { state: "present", value: [...found.values()] }
}
