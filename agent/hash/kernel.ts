/**
 * What does the kernel itself say of a file (fs-verity)? Where a file has verity the kernel checks every page of it against
 * its digest when it is read, and nobody can write to it: then its digest is asked for, not computed. Asked and switched on by
 * fsverity (fsverity-utils), as Node has no ioctl.
 */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { promisify } from "node:util"
import { asBinary, type Binary, fromBinary } from "./binary.ts"
import { codeOf } from "./refusal.ts"

const program = "/usr/bin/fsverity"
/** A file system whose driver knows verity says so here (Documentation/ABI/testing/sysfs-fs-{ext4,f2fs}, btrfs likewise). */
const drivers = ["ext4", "f2fs", "btrfs"] as const
export type Driver = (typeof drivers)[number]

const run = promisify(execFile)
const settings = { env: { LC_ALL: "C" }, maxBuffer: 1 << 20 }
/** Below this many bytes a file is read sooner than a program is started. */
const worthAsking = 1 << 20

/** Whether this kernel's driver for a file system was built with CONFIG_FS_VERITY. */
export const kernelKnows = (driver: Driver): boolean => existsSync(`/sys/fs/${driver}/features/verity`)

/** For each file the kernel's digest in hex, or "none". Costs nothing where the kernel has no verity. */
export async function measuredByKernel(
  files: readonly { readonly path: Binary; readonly size: number }[],
): Promise<readonly string[]> {
  const able = drivers.some(kernelKnows) && existsSync(program)
  const found: string[] = []
  for (const { path, size } of files) found.push(able && size >= worthAsking ? await measureOne(path) : "none")
  return found
}

/** The kernel's digest of the file at an absolute path in hex, or "none". */
export async function measureOne(path: Binary): Promise<string> {
  const name = argumentFor(path)
  if (name === "none") return "none"
  const { stdout } = await run(program, ["measure", name], settings).catch(() => ({ stdout: "" }))
  return digestIn(stdout)
}

/** Only what is UTF-8 can be an argument of a program that Node starts; and none must look like an option. */
function argumentFor(path: Binary): string {
  const text = fromBinary(path).toString("utf8")
  return path.startsWith("/") && asBinary(text) === path ? text : "none"
}

/** The digest in a line that `fsverity measure` printed. */
export const digestIn = (printed: string): string => /^sha256:([0-9a-f]{64}) /.exec(printed)?.[1] ?? "none"

/** What became of a file that the kernel should guard: `problem` is what the kernel said. */
export type Enabled = { readonly state: "done" | "already" } | { readonly state: "failed"; readonly problem: string }

/** Has the kernel guard a file from now on. */
export async function enable(path: Binary): Promise<Enabled> {
  const name = argumentFor(path)
  if (name === "none") return { state: "failed", problem: "its name is not UTF-8" }
  try {
    await run(program, ["enable", name], settings)
    return { state: "done" }
  } catch (error) {
    if (codeOf(error) === "ENOENT") return { state: "failed", problem: "fsverity is not installed" }
    const said = error instanceof Error && "stderr" in error ? String(error.stderr) : String(error)
    const problem = /failed on .*: ([A-Z][^\n]*)/.exec(said)?.[1] ?? said.trim().split("\n").at(-1) ?? ""
    return problem === "File exists" ? { state: "already" } : { state: "failed", problem }
  }
}
