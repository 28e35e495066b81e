/**
 * Where does the broker keep what must outlive it, so that a crash at any moment leaves the old content or the new? In one
 * directory, each file replaced as a whole. The event log, which grows, has its own rules: `event-log.ts`.
 */
import { mkdir, open, readFile, rename } from "node:fs/promises"
import { join } from "node:path"
import type { ZodType } from "zod"
import { readJson, writeJson } from "../../attestation/wire/json.ts"
import { Fault, LastingFault } from "./fault.ts"

/** The most bytes of one file of state. */
const fileLimit = 1 << 20

/** The broker's directory. Every file in it has mode 0600. */
export type StateDirectory = {
  readonly path: string
  readonly pathOf: (name: string) => string
  /** The value in file `name`, or undefined when there is none. Throws Fault for one that is not as it was written. */
  read<T>(name: string, schema: ZodType<T>): Promise<T | undefined>
  /** Replaces file `name`; when this resolves, the content survives a power failure. Throws Fault when the disk refuses it. */
  write(name: string, value: unknown): Promise<void>
}

/** Opens the directory at `path`, and makes it (mode 0700) when it is not there. */
export async function openState(path: string): Promise<StateDirectory> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  const pathOf = (name: string): string => join(path, name)
  return {
    path,
    pathOf,
    read: (name, schema) => readState(pathOf(name), schema),
    write: (name, value) =>
      replaceFile(path, name, writeJson(value)).catch(error => {
        throw new Fault(`cannot write ${pathOf(name)}: ${String(error)}`, "make room on the disk that holds it")
      }),
  }
}

async function readState<T>(path: string, schema: ZodType<T>): Promise<T | undefined> {
  const bytes = await readIfThere(path)
  if (!bytes) return undefined
  try {
    return readJson(schema, bytes, fileLimit)
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error)
    throw new LastingFault(
      `${path} is not as the broker wrote it: ${problem}`,
      "restore it, or move it away and join again",
    )
  }
}

/** The bytes of the file at `path`, or undefined when there is none. */
export async function readIfThere(path: string): Promise<Uint8Array | undefined> {
  try {
    return new Uint8Array(await readFile(path))
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined
    throw error
  }
}

async function replaceFile(directory: string, name: string, bytes: Uint8Array): Promise<void> {
  const temporary = join(directory, `${name}.new`)
  const file = await open(temporary, "w", 0o600)
  try {
    await file.writeFile(bytes)
    await file.sync()
  } finally {
    await file.close()
  }
  await rename(temporary, join(directory, name))
  await syncDirectory(directory)
}

/** Makes the names in a directory survive a power failure. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r")
  try {
    await directory.sync()
  } finally {
    await directory.close()
  }
}
