/** What do tests of hashing stand on? A folder of files, its coreutils, and a hasher that is closed at the end. */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { afterAll } from "vitest"
import { Hasher, type HasherSettings } from "../agent/hash/hasher.ts"
import type { ModelOptions } from "../agent/hash/model.ts"

/** A folder for one test file, removed at its end. */
export function scratch(name: string): { readonly root: string; readonly fresh: () => string } {
  const root = mkdtempSync(join(tmpdir(), `assay-${name}-`))
  afterAll(() => rmSync(root, { recursive: true, force: true }))
  let number = 0
  return {
    root,
    fresh: () => {
      const folder = join(root, String(number++))
      mkdirSync(folder)
      return folder
    },
  }
}

export function put(folder: string, name: string, content: string | Uint8Array): string {
  const path = join(folder, name)
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, content)
  return path
}

/** What coreutils print over the files of `at`, in byte order of their paths. */
export const sha256sum = (at: string, ...which: string[]): string =>
  which.length > 0
    ? execFileSync("sha256sum", ["--", ...which], { cwd: at }).toString("latin1")
    : execFileSync("sh", ["-c", "find . ! -type d -printf '%P\\0' | LC_ALL=C sort -z | xargs -0 sha256sum --"], {
        cwd: at,
        maxBuffer: 1 << 26,
      }).toString("latin1")

export const fsverity = (path: string): string =>
  execFileSync("fsverity", ["digest", "--compact", path]).toString().trim()

export const options = (more: Partial<ModelOptions> = {}): ModelOptions => ({
  signal: new AbortController().signal,
  progress: () => undefined,
  links: "own",
  ...more,
})

const open: Hasher[] = []
afterAll(() => Promise.all(open.map(each => each.close())))

export function hasherWith(settings: Partial<HasherSettings> = {}): Hasher {
  const hasher = new Hasher(settings)
  open.push(hasher)
  return hasher
}

/** Until the times of files written just now are old enough to tell the next write from the last (agent/hash/pass.ts). */
export const settled = (): Promise<void> => delay(2100)

/** Until `done`, or 20 seconds have passed. */
export async function until(done: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await done()); await delay(20))
    if (Date.now() > end) throw new Error("it did not come to be")
}
