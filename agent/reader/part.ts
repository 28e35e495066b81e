/**
 * Which bytes are in this file? It is opened once, without following a link at its end, and what is then judged and read is
 * what was opened, whatever happens to the path meanwhile. Whether anybody may have them is the judge's.
 */
import { createHash } from "node:crypto"
import { constants } from "node:fs"
import { type FileHandle, open } from "node:fs/promises"
import type { BigIntStats } from "node:fs"
import type { Found } from "../found.ts"
import { stateOf } from "../hash/job.ts"

export type Part = { readonly bytes: Uint8Array; readonly file: string }
export type Judge = (status: BigIntStats, file: FileHandle) => boolean | Promise<boolean>

const gone = new Set(["ENOENT", "ENOTDIR", "ENXIO", "ENODEV", "ESRCH"])

/** Whether the path's end may be a link: only where proc itself made it. */
type Last = "no link" | "a link of proc"

/** At most `length` bytes from `offset` on of the regular file at `path`, if `judge` lets what was opened pass. */
export const partOf = (
  path: string,
  { offset, length }: { readonly offset: number; readonly length: number },
  judge: Judge,
  last: Last = "no link",
): Promise<Found<Part>> =>
  opened(path, judge, last, async (file, status) => {
    const into = Buffer.allocUnsafe(length) // what is not filled is left out below
    let filled = 0
    for (;;) {
      const { bytesRead } = await file.read(into, filled, length - filled, offset + filled)
      filled += bytesRead
      if (bytesRead === 0 || filled === length) break
    }
    return { bytes: new Uint8Array(into.subarray(0, filled)), file: stateOf(status) }
  })

/** SHA-256 and size of a regular file. */
export const digestAt = (path: string): Promise<Found<{ readonly sha256: string; readonly size: number }>> =>
  opened(
    path,
    () => true,
    "no link",
    async file => {
      const hash = createHash("sha256")
      let size = 0
      for await (const chunk of file.createReadStream({ autoClose: false })) {
        if (!(chunk instanceof Uint8Array)) throw new Error("a stream of bytes gave something else")
        hash.update(chunk)
        size += chunk.length
      }
      return { sha256: hash.digest("hex"), size }
    },
  )

async function opened<T>(
  path: string,
  judge: Judge,
  last: Last,
  use: (file: FileHandle, status: BigIntStats) => Promise<T>,
): Promise<Found<T>> {
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | (last === "no link" ? constants.O_NOFOLLOW : 0)
  try {
    const file = await open(path, flags)
    try {
      const status = await file.stat({ bigint: true })
      if (!status.isFile()) return { state: "unreadable", problem: "not a regular file" }
      if (!(await judge(status, file)))
        return { state: "unreadable", problem: "another file than the one that was meant" }
      return { state: "present", value: await use(file, status) }
    } finally {
      await file.close()
    }
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : undefined
    if (code === undefined) throw error
    return gone.has(code) ? { state: "absent" } : { state: "unreadable", problem: code }
  }
}
