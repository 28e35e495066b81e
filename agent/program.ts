/**
 * What does a program say, where no file says it? It runs by absolute path, without a shell, in an environment of ours, until
 * it ends, is too slow or says too much. What it said is its word and no more: whoever reads it says whose word it is.
 */
import { spawn } from "node:child_process"
import { constants } from "node:fs"
import { stat } from "node:fs/promises"
import type { Found } from "./found.ts"

/** How long a program may take (ms), and the most bytes that it may say on either of its outputs. */
export type Patience = { readonly deadline: number; readonly limit: number }
export const patience: Patience = Object.freeze({ deadline: 10_000, limit: 1 << 22 })

/** The whole environment: nothing of ours, and numbers and messages in one language. */
const environment = Object.freeze({ PATH: "/usr/bin:/bin", LC_ALL: "C", HOME: "/nonexistent" })

/**
 * What the program at `path` writes to its standard output when it is called with `given`. Absent: there is no such program.
 * Unreadable: it may not be believed, fails, is too slow or says too much; the problem holds the first line that it said.
 */
export async function runProgram(
  path: string,
  given: readonly string[],
  { deadline, limit }: Patience = patience,
): Promise<Found<Uint8Array>> {
  const refusal = await refusalOf(path)
  return refusal === "none" ? listen(path, given, { deadline, limit }) : refusal
}

/** A program that others may write says whatever they like: only root's and our own are run. */
async function refusalOf(path: string): Promise<Found<never> | "none"> {
  const status = await stat(path).catch(() => undefined)
  if (status === undefined) return { state: "absent" }
  if (!status.isFile() || (status.mode & constants.S_IXUSR) === 0) return unreadable("not a program")
  const owned = status.uid === 0 || status.uid === process.geteuid?.()
  if (!owned || (status.mode & (constants.S_IWGRP | constants.S_IWOTH)) !== 0)
    return unreadable("a program that others than root may write is not run")
  return "none"
}

const unreadable = (problem: string): Found<never> => ({ state: "unreadable", problem })

/** Its own process group, so that what it starts ends with it. */
function listen(path: string, given: readonly string[], { deadline, limit }: Patience): Promise<Found<Uint8Array>> {
  const child = spawn(path, given, {
    cwd: "/",
    env: environment,
    shell: false,
    detached: true,
    stdio: ["ignore", "pipe", "pipe"],
  })
  const [said, complaints] = [new Ears(limit), new Ears(limit)]
  return new Promise(resolve => {
    const end = (found: Found<Uint8Array>): void => {
      clearTimeout(timer)
      endGroup(child.pid)
      child.stdout.destroy()
      child.stderr.destroy()
      resolve(found)
    }
    const timer = setTimeout(() => end(unreadable(`took longer than ${deadline} ms`)), deadline)
    const tooMuch = (): void => end(unreadable(`said more than ${limit} bytes`))
    child.stdout.on("data", (part: Buffer) => said.hears(part) || tooMuch())
    child.stderr.on("data", (part: Buffer) => complaints.hears(part) || tooMuch())
    child.on("error", error => end(unreadable("code" in error ? String(error.code) : "cannot be started")))
    child.on("close", (code, signal) => end(outcome(code ?? signal ?? "?", said.bytes, complaints.bytes)))
  })
}

/** What came, as long as it is not too much. */
class Ears {
  readonly #parts: Buffer[] = []
  readonly #limit: number
  #size = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  hears(part: Buffer): boolean {
    this.#size += part.length
    this.#parts.push(part)
    return this.#size <= this.#limit
  }

  get bytes(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.#parts))
  }
}

function endGroup(group: number | undefined): void {
  try {
    if (group !== undefined) process.kill(-group, "SIGKILL")
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error
  }
}

function outcome(end: number | string, said: Uint8Array, complaints: Uint8Array): Found<Uint8Array> {
  if (end === 0) return { state: "present", value: said }
  return unreadable(`ended with ${end}: ${firstLine(complaints) || firstLine(said) || "without a word"}`)
}

const firstLine = (bytes: Uint8Array): string =>
  Buffer.from(bytes.subarray(0, 4096))
    .toString("utf8")
    .split("\n")
    .map(each => each.trim())
    .find(each => each.length > 0)
    ?.slice(0, 300) ?? ""
