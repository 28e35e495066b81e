/**
 * How does the agent come by what it may not see itself? It asks the reader, where one answers; where none does, what cannot be
 * read stays unreadable, and says what would help. One that is there and keeps silent is no fact about the machine: then
 * nothing is measured. One question at a time, over a connection that is kept while questions follow one another.
 */
import { createHash } from "node:crypto"
import { type Caller, CallFailed, CallLate, openCaller } from "../../local/call.ts"
import { fromBase64 } from "../../attestation/wire/text.ts"
import type { FileDigest, Found } from "../found.ts"
import { type Elsewhere, Host } from "../host.ts"
import { Trouble } from "../trouble.ts"
import { type Content, namedFiles, partLimit, verbs } from "./verbs.ts"

/** Milliseconds until a call is given up: a digest of a file in /boot takes longest. */
const deadline = 60_000

type Calls = Caller<typeof verbs>

const unasked = { state: "unreadable", problem: "let the agent's user read it" } as const
const linkNames = new Map([
  ["exe", "exe"],
  ["cwd", "cwd"],
  ["ns/mnt", "mounts"],
] as const)

/** The number of a process by its folder in proc. */
const numberOf = (folder: string): number => Number(/^\/proc\/(\d{1,10})$/.exec(folder)?.[1] ?? 0)

/** What bytes the reader would be asked for instead of this path. */
function contentOf(path: string): Content | "none" {
  const name = namedFiles.find(([, each]) => each === path)?.[0]
  if (name !== undefined) return { of: "named", name }
  const process = numberOf(path.replace(/\/exe$/, ""))
  return process > 0 && path.endsWith("/exe") ? { of: "executable", process } : "none"
}

/** The machine that this runs on, with what the configured reader shows of it. */
export const thisMachine = ({ reader }: { readonly reader: string }): Host => new Host("/", "run", readerAt(reader))

/** The reader at `socket`; none need be there. A question throws Trouble when one is there and does not answer within `patience` ms. */
export function readerAt(socket: string, patience = deadline): Elsewhere {
  const line = new Line(socket, patience)
  let last: Promise<unknown> = Promise.resolve()
  const ask = <T>(question: (reader: Calls) => Promise<Found<T>>): Promise<Found<T>> => {
    const answer = last.then(() => line.ask(question))
    last = answer.catch(() => undefined)
    return answer
  }
  return elsewhere(ask, path => contentOf(path))
}

type Ask = <T>(question: (reader: Calls) => Promise<Found<T>>) => Promise<Found<T>>

/** `meaning`: what bytes a path stands for. */
function elsewhere(ask: Ask, meaning: (path: string) => Content | "none"): Elsewhere {
  const known = new Map<string, FileDigest>()
  return {
    async link(path) {
      const [, folder = "", name = ""] = /^(\/proc\/\d{1,10})\/(exe|cwd|ns\/mnt)$/.exec(path) ?? []
      const link = [...linkNames].find(([each]) => each === name)?.[1]
      if (link === undefined) return unasked
      return ask(reader => reader.call("link", { process: numberOf(folder), link }))
    },
    async bytes(path, offset, length) {
      const content = meaning(path)
      return content === "none" ? unasked : ask(reader => wholePart(reader, content, offset, length))
    },
    async digest(path, depth) {
      const boot = /^\/boot\/([^/]+)$/.exec(path)?.[1]
      if (boot !== undefined) return ask(reader => reader.call("boot", { name: boot }))
      const content = meaning(path)
      return content === "none"
        ? unasked
        : ask(reader => digested(reader, content, depth === "quick" ? known : new Map()))
    },
    mapped: folder => ask(reader => reader.call("mapped", { process: numberOf(folder) })),
    opened: folder => ask(reader => reader.call("opened", { process: numberOf(folder) })),
    environment: folder =>
      ask(async reader => {
        const found = await reader.call("environment", { process: numberOf(folder) })
        if (found.state !== "present") return found
        return { state: "present", value: found.value.map(([name, value]) => [name, fromBase64(value)] as const) }
      }),
    image: container => ask(reader => reader.call("image", { container })),
    seenBy: folder => elsewhere(ask, path => ({ of: "mapped", process: numberOf(folder), path })),
  }
}

/** Milliseconds that a connection is kept after an answer: a measurement asks hundreds of questions in a row. */
const kept = 500

/** The connection to the reader at a socket, as long as it is used. */
class Line {
  readonly #socket: string
  readonly #patience: number
  #open: Calls | undefined
  #over: NodeJS.Timeout | undefined

  constructor(socket: string, patience: number) {
    this.#socket = socket
    this.#patience = patience
  }

  /** A reader that is not there leaves things unreadable. Throws Trouble when it is there, and silent. */
  async ask<T>(question: (reader: Calls) => Promise<Found<T>>): Promise<Found<T>> {
    clearTimeout(this.#over)
    const reused = this.#open !== undefined
    try {
      this.#open ??= await openCaller(this.#socket, verbs, this.#patience)
      return await question(this.#open)
    } catch (error) {
      this.#close()
      if (error instanceof CallLate) throw silent(this.#socket, error)
      if (reused) return await this.ask(question) // the reader may have been started anew
      return { state: "unreadable", problem: whyNot(this.#socket, error) }
    } finally {
      clearTimeout(this.#over)
      this.#over = setTimeout(() => this.#close(), kept).unref()
    }
  }

  #close(): void {
    this.#open?.close()
    this.#open = undefined
  }
}

/** systemd holds the socket, and cannot start what serves it: on a full disk, for one. */
const silent = (socket: string, { message }: CallLate): Trouble =>
  new Trouble(
    `the reader at ${socket} does not answer (${message})`,
    "look at: systemctl status assay-reader; a service cannot start without room on the disk that holds /tmp",
  )

function whyNot(socket: string, error: unknown): string {
  const code = error instanceof Error && "code" in error ? String(error.code) : ""
  if (code === "EACCES") return `the reader at ${socket} is closed to this user: run as the agent's`
  if (error instanceof CallFailed && error.message.startsWith("nothing answers"))
    return "no reader answers: systemctl start assay-reader.socket, or let the agent's user read it"
  return `the reader: ${error instanceof Error ? error.message : String(error)}`
}

/**
 * As many calls as it takes for `length` bytes, or for all that there are. A part that is shorter than asked for is the last:
 * some files of securityfs, the firmware's log among them, give their last record again to who opens them and asks at their end.
 */
async function wholePart(reader: Calls, content: Content, offset: number, length: number): Promise<Found<Uint8Array>> {
  const parts: Uint8Array[] = []
  for (let got = 0; got < length; ) {
    const asked = Math.min(length - got, partLimit)
    const part = await reader.call("bytes", { content, offset: offset + got, length: asked })
    if (part.state !== "present") return part
    const bytes = fromBase64(part.value.bytes)
    parts.push(bytes)
    got += bytes.length
    if (bytes.length < asked) break
  }
  return { state: "present", value: new Uint8Array(Buffer.concat(parts)) }
}

/** SHA-256 of the bytes as they come; a file that does not hold still has none. */
async function digested(reader: Calls, content: Content, known: Map<string, FileDigest>): Promise<Found<FileDigest>> {
  const hash = createHash("sha256")
  let size = 0
  for (let first = ""; ; ) {
    const part = await reader.call("bytes", { content, offset: size, length: partLimit })
    if (part.state !== "present") return part
    const { bytes, file } = part.value
    const before = first === "" ? known.get(file) : undefined
    if (before) return { state: "present", value: before }
    if (first !== "" && first !== file) return { state: "unreadable", problem: "it changed while it was read" }
    first = file
    const piece = fromBase64(bytes)
    hash.update(piece)
    size += piece.length
    if (piece.length === partLimit) continue
    const value = { sha256: hash.digest("hex"), size }
    if (known.size < 4096) known.set(file, value)
    return { state: "present", value }
  }
}
