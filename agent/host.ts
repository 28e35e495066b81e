/**
 * What stands on this machine? Every source reads through a host: a folder that is the machine's root, `/` or a captured
 * tree. It follows links as that root would, never out of it, and tells three outcomes apart: present, absent, and there but
 * unreadable. What the files mean is each source's business; how a program is run: program.ts.
 */
import { constants } from "node:fs"
import { lstat, open, opendir, readlink, realpath, stat } from "node:fs/promises"
import { join, posix } from "node:path"
import { askLoopback } from "./ask.ts"
import type { FileDigest, Found, Mapped } from "./found.ts"
import { runProgram } from "./program.ts"

/**
 * Who sees what this process may not: reader/ask.ts. Paths are this machine's; `folder` is a process's in proc. Where it does
 * not see it either, or is not there, the problem says what would help.
 */
export type Elsewhere = {
  link(path: string): Promise<Found<string>>
  bytes(path: string, offset: number, length: number): Promise<Found<Uint8Array>>
  digest(path: string, depth: "quick" | "full"): Promise<Found<FileDigest>>
  mapped(folder: string): Promise<Found<readonly Mapped[]>>
  opened(folder: string): Promise<Found<readonly Mapped[]>>
  environment(folder: string): Promise<Found<readonly (readonly [string, Uint8Array])[]>>
  image(container: string): Promise<Found<string>>
  /** for paths as that process sees them, of files that it has mapped */
  seenBy(folder: string): Elsewhere
}

export type FileKind = "file" | "folder" | "other"
/** `state` changes when the file is another one or was written to: device, inode, size, both times. */
export type Stat = { readonly kind: FileKind; readonly size: number; readonly state: string }

/** The most bytes of a file that is read whole, unless more is asked for, and the most names in a folder. */
const readLimit = 1 << 16
const listLimit = 20_000
/** As many links as the kernel follows (path_resolution(7)). */
const linkLimit = 40

const absent = { state: "absent" } as const
const present = <T>(value: T): Found<T> => ({ state: "present", value })
const unreadable = (problem: string): Found<never> => ({ state: "unreadable", problem })

/** A machine, seen through its root folder. All paths are absolute within it. */
export class Host {
  readonly #root: string
  readonly #programs: "run" | "never run"
  readonly #reader: Elsewhere | "none"
  /** how files are opened: in a tree the links are followed here, and none that came meanwhile */
  readonly #flags: number
  readonly #gate: () => void

  /**
   * Programs of another tree than this machine's own are run only where that is asked for: they are that tree's. `reader` is
   * asked for what this process may not read. `gate` is passed before each look: what it throws is thrown, whatever is looked at.
   */
  constructor(
    root: string,
    programs: "run" | "never run" = root === "/" ? "run" : "never run",
    reader: Elsewhere | "none" = "none",
    gate: () => void = () => undefined,
  ) {
    this.#root = root
    this.#programs = programs
    this.#flags = constants.O_RDONLY | constants.O_NONBLOCK | (root === "/" ? 0 : constants.O_NOFOLLOW)
    this.#reader = reader
    this.#gate = gate
  }

  /** This host behind a gate. */
  behind(gate: () => void): Host {
    return new Host(this.#root, this.#programs, this.#reader, gate)
  }

  /** The host as the process with this folder in proc sees it, which may have another root. */
  seenBy(process: string): Host {
    const reader = this.#reader === "none" ? "none" : this.#reader.seenBy(process)
    return new Host(join(this.#root, process, "root"), "never run", reader, this.#gate)
  }

  #attempt<T>(read: () => Promise<Found<T>>): Promise<Found<T>> {
    this.#gate()
    return attempt(read)
  }

  /** What was found, or what the reader says of it where this process was refused. */
  async orReader<T>(found: Found<T>, ask: (reader: Elsewhere) => Promise<Found<T>>): Promise<Found<T>> {
    if (this.#reader === "none" || !isRefused(found)) return found
    const said = await ask(this.#reader)
    return said.state === "unreadable" ? unreadable(`${codeIn(found.problem)}: ${said.problem}`) : said
  }

  /** What a program of this host says: {@link runProgram}. */
  async says(path: string, given: readonly string[]): Promise<Found<Uint8Array>> {
    const local = await this.local(path)
    if (local.state !== "present") return local
    return this.#programs === "run" ? runProgram(local.value, given) : unreadable("no program of this tree is run")
  }

  /** What a server answers at a loopback port: {@link askLoopback}. Ports are this machine's, whatever the root. */
  async ask(port: number, path: string): Promise<Found<Uint8Array>> {
    return this.#programs === "run" ? askLoopback(port, path) : absent
  }

  /** Where `path` leads, every link followed, as a path within the root. */
  async realpath(path: string): Promise<Found<string>> {
    return this.#attempt(async () => {
      if (this.#root === "/") return present(await realpath(path))
      const walked = await this.#walk(path)
      return walked.state === "present" ? present(walked.value.path) : walked
    })
  }

  /** Where `path` leads, as a path of the machine that runs this. */
  async local(path: string): Promise<Found<string>> {
    const real = await this.realpath(path)
    return real.state === "present" ? present(join(this.#root, real.value)) : real
  }

  async stat(path: string): Promise<Found<Stat>> {
    return this.#attempt(async () => {
      const walked = await this.#walk(path)
      if (walked.state !== "present") return walked
      const { kind, size, state } = walked.value
      return present({ kind, size, state })
    })
  }

  /** The bytes of a regular file of at most `limit` bytes. */
  readBytes(path: string, limit = readLimit): Promise<Found<Uint8Array>> {
    return this.readFrom(path, 0, limit)
  }

  /** All bytes of a regular file from `offset` on; at most `limit` of them. */
  async readFrom(path: string, offset: number, limit: number): Promise<Found<Uint8Array>> {
    const found = await this.#attempt(async () => {
      const walked = await this.#walk(path)
      if (walked.state !== "present") return walked
      if (walked.value.kind !== "file") return unreadable("not a regular file")
      return readUpTo(join(this.#root, walked.value.path), this.#flags, limit, offset)
    })
    return this.orReader(found, async reader => {
      const said = await reader.bytes(path, offset, limit + 1)
      return said.state === "present" && said.value.length > limit ? tooLong(limit) : said
    })
  }

  /** At most `length` bytes of a regular file from `offset` on; fewer, or none, where it ends before. */
  async readPart(path: string, offset: number, length: number): Promise<Found<Uint8Array>> {
    const most = Math.min(length, readLimit)
    const found = await this.#attempt(async () => {
      const walked = await this.#walk(path)
      if (walked.state !== "present") return walked
      if (walked.value.kind !== "file") return unreadable("not a regular file")
      return readBetween(join(this.#root, walked.value.path), this.#flags, offset, most)
    })
    return this.orReader(found, reader => reader.bytes(path, offset, most))
  }

  /** The text of a small file, without white space at its end. Bytes that are no UTF-8 stay bytes: see escape.ts. */
  async readLine(path: string): Promise<Found<Uint8Array>> {
    const read = await this.readBytes(path)
    return read.state === "present" ? present(withoutEnd(read.value)) : read
  }

  /** The names in a folder, in byte order. */
  async list(path: string): Promise<Found<readonly string[]>> {
    return this.#attempt(async () => {
      const walked = await this.#walk(path)
      if (walked.state !== "present") return walked
      if (walked.value.kind !== "folder") return unreadable("not a folder")
      return namesIn(join(this.#root, walked.value.path))
    })
  }

  /** What a symbolic link says, unresolved. */
  async link(path: string): Promise<Found<string>> {
    const found = await this.#attempt(async () => {
      if (this.#root === "/") return present(await readlink(path))
      const folder = await this.#walk(posix.dirname(path))
      if (folder.state !== "present") return folder
      return present(await readlink(join(this.#root, folder.value.path, posix.basename(path))))
    })
    return this.orReader(found, reader => reader.link(path))
  }

  /**
   * What stands at a path, every link followed. Of the machine's own root the kernel follows them itself: a measurement looks at
   * thousands of paths.
   */
  async #walk(path: string): Promise<Found<Stat & { readonly path: string }>> {
    const own = this.#root === "/"
    const at = own ? `/${path}` : await this.#steps(path)
    if (at === undefined) return unreadable("too many symbolic links")
    const status = own ? await stat(at, { bigint: true }) : await lstat(join(this.#root, at), { bigint: true })
    const kind = status.isFile() ? "file" : status.isDirectory() ? "folder" : "other"
    const { dev, ino, size, mtimeNs, ctimeNs } = status
    return present({ path: at, kind, size: Number(size), state: [dev, ino, size, mtimeNs, ctimeNs].join(":") })
  }

  /**
   * Where the kernel would end up if this root were its own, part by part, so that an absolute link begins there and no `..` leaves
   * it; undefined behind too many links.
   */
  async #steps(path: string): Promise<string | undefined> {
    let rest = path.split("/").filter(Boolean)
    let at = "/"
    let links = 0
    for (let part = rest.shift(); part !== undefined; part = rest.shift()) {
      if (part === ".") continue
      const next = part === ".." ? posix.dirname(at) : posix.join(at, part)
      const status = await lstat(join(this.#root, next))
      if (!status.isSymbolicLink()) {
        at = next
        continue
      }
      if (++links > linkLimit) return undefined
      const target = await readlink(join(this.#root, next))
      if (target.startsWith("/")) at = "/"
      rest = [...target.split("/").filter(Boolean), ...rest]
    }
    return at
  }
}

const tooLong = (limit: number): Found<never> => unreadable(`longer than ${limit} bytes`)

/** The kernel refused it to this process, and may show it to another. */
export const isRefused = (found: Found<unknown>): found is { readonly state: "unreadable"; readonly problem: string } =>
  found.state === "unreadable" && /^E(?:ACCES|PERM)(?=:|$)/.test(found.problem)

const codeIn = (problem: string): string => problem.split(":")[0] ?? ""

/** Most files of proc and sysfs fit into one page. */
const firstPart = 4096

/** A file of proc or sysfs says nothing of its size: it is read until it ends or is too long. */
async function readUpTo(path: string, flags: number, limit: number, offset = 0): Promise<Found<Uint8Array>> {
  const file = await open(path, flags)
  try {
    let held = Buffer.allocUnsafe(Math.min(firstPart, limit + 1))
    for (let size = 0; size <= limit; ) {
      if (size === held.length) held = Buffer.concat([held], Math.min(2 * size, limit + 1))
      const { bytesRead } = await file.read(held, size, Math.min(held.length - size, readLimit), offset + size)
      if (bytesRead === 0) return present(new Uint8Array(held.subarray(0, size)))
      size += bytesRead
    }
    return tooLong(limit)
  } finally {
    await file.close()
  }
}

async function readBetween(path: string, flags: number, offset: number, length: number): Promise<Found<Uint8Array>> {
  const file = await open(path, flags)
  try {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, offset)
    return present(new Uint8Array(buffer.subarray(0, bytesRead)))
  } finally {
    await file.close()
  }
}

async function namesIn(path: string): Promise<Found<readonly string[]>> {
  const names: string[] = []
  for await (const entry of await opendir(path)) {
    if (entry.name.includes("\ufffd")) return unreadable("holds a name that is not UTF-8")
    if (names.push(entry.name) > listLimit) return unreadable(`holds more than ${listLimit} names`)
  }
  return present(names.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
}

function withoutEnd(bytes: Uint8Array): Uint8Array {
  const end = bytes.findLastIndex(byte => byte > 0x20)
  return bytes.subarray(0, end + 1)
}

/** What would help where the kernel refused. */
const hint = "let the agent's user read it"
const refusals = new Set(["EACCES", "EPERM"])
const gone = new Set(["ENOENT", "ENOTDIR", "ENXIO", "ENODEV", "ESRCH"])

/** An error of the file system is an outcome; any other is a surprise. */
async function attempt<T>(read: () => Promise<Found<T>>): Promise<Found<T>> {
  try {
    return await read()
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined
    if (code === undefined) throw error
    return gone.has(code) ? absent : unreadable(refusals.has(code) ? `${code}: ${hint}` : code)
  }
}
