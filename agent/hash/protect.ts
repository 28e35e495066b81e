/**
 * Can the kernel guard the files of a model from now on (fs-verity), and if not, what would allow it? A guarded file cannot be
 * written to again by anybody, every read of it is checked, and its digest is measured without reading it: kernel.ts.
 */
import { readFile } from "node:fs/promises"
import { type Binary, fromBinary } from "./binary.ts"
import { type Driver, enable, kernelKnows, measureOne } from "./kernel.ts"
import type { HashedFile } from "./model.ts"
import { CannotHash } from "./refusal.ts"

export type Protected = { readonly name: Binary; readonly state: "now" | "already" }

/** Has the kernel guard each file, in their order, and sees that it guards what was hashed. Throws {@link CannotHash}. */
export async function protect(files: readonly HashedFile[]): Promise<readonly Protected[]> {
  const done: Protected[] = []
  for (const { name, path, verity } of files) {
    const enabled = await enable(path)
    if (enabled.state === "failed") throw await refused(path, enabled.problem)
    if ((await measureOne(path)) !== verity) throw unlike(path)
    done.push({ name, state: enabled.state === "done" ? "now" : "already" })
  }
  return done
}

const readable = (path: Binary): string => fromBinary(path).toString("utf8")

async function refused(path: Binary, problem: string): Promise<CannotHash> {
  const mount = mountOf(path, await readFile("/proc/self/mountinfo", "latin1"))
  return new CannotHash(
    "unreadable",
    `the kernel does not guard ${readable(path)}: ${problem}`,
    hintFor(problem, mount),
  )
}

/** The kernel's digest is another: the file changed between the two, or one of them is wrong. */
const unlike = (path: Binary): CannotHash =>
  new CannotHash(
    "unsteady",
    `the kernel guards other contents of ${readable(path)} than were hashed`,
    "hash the model again with --full, and compare with its source",
  )

export type Mount = { readonly type: string; readonly source: string }

/** The file system that a path lies on, by /proc/self/mountinfo (proc_pid_mountinfo(5)): the last of the longest mount points. */
export function mountOf(path: Binary, mountinfo: string): Mount {
  let best = { length: -1, type: "unknown", source: "unknown" }
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ")
    const point = unescaped(before.split(" ")[4] ?? "")
    const [type = "unknown", source = "unknown"] = after.split(" ")
    const within = path === point || path.startsWith(point.endsWith("/") ? point : `${point}/`)
    if (point !== "" && within && point.length >= best.length)
      best = { length: point.length, type, source: unescaped(source) }
  }
  return { type: best.type, source: best.source }
}

const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)))

const isDriver = (type: string): type is Driver => type === "ext4" || type === "f2fs" || type === "btrfs"

/** What would help against what the kernel said (Documentation/filesystems/fsverity.rst). */
export function hintFor(
  problem: string,
  { type, source }: Mount,
  knows: (driver: Driver) => boolean = kernelKnows,
): string {
  if (problem === "Text file busy") return "close whatever has the file open for writing, and try again"
  if (problem === "Permission denied" || problem === "Operation not permitted")
    return "run this as the file's owner or root"
  if (problem === "Read-only file system") return "mount the file system for writing while files are protected"
  if (problem.includes("not UTF-8")) return "give the file another name"
  if (problem.includes("not installed")) return "install fsverity (Debian's package of that name)"
  if (!isDriver(type)) return `${type} has no fs-verity: keep the weights on ext4 (mkfs.ext4 -O verity), f2fs or btrfs`
  if (!knows(type)) return `this kernel's ${type} has no fs-verity: boot one that was built with CONFIG_FS_VERITY`
  if (type === "ext4") return `tune2fs -O verity ${source} allows it (kernels before 5.4 cannot write to it then)`
  if (type === "f2fs") return "make the file system anew with mkfs.f2fs -O verity"
  return "btrfs needs no option for it: look at what the kernel's log says"
}
