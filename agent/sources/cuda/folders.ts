/**
 * Which folders are closed to whoever looks for what is installed? Something may lie there, so that they are told: what is not found
 * beside them is not known to be absent. What the folders hold is each source's business.
 */
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { fact } from "../source.ts"

/** Looks into folders, and keeps which of them it could not. */
export type Folders = {
  /** the names in a folder; none where it is absent or closed */
  readonly names: (path: string) => Promise<readonly string[]>
  /** where a path leads; nowhere where it is absent or hidden */
  readonly real: (path: string) => Promise<readonly string[]>
  readonly closed: () => readonly Closed[]
}
export type Closed = readonly [path: string, found: Found<never>]

const most = 64

export function foldersOn(host: Host): Folders {
  const closed = new Map<string, Found<never>>()
  const noted = <T>(path: string, found: Found<T>): readonly T[] => {
    if (found.state === "unreadable") closed.set(path, found)
    return found.state === "present" ? [found.value] : []
  }
  return {
    names: async path => noted(path, await host.list(path)).flat(),
    real: async path => noted(path, await host.realpath(path)),
    closed: () => [...closed],
  }
}

/** A fact of each folder that is closed, and not of what would lie below it. */
export function closedFacts(all: readonly Closed[]): Fact[] {
  const told = new Map(all.toSorted(([a], [b]) => (a < b ? -1 : 1)))
  const outermost = [...told].filter(([path]) => !above(path).some(each => told.has(each)))
  return outermost.slice(0, most).map(([path, found]) => fact(path, found))
}

const above = (path: string): string[] => {
  const parts = path.split("/").slice(1, -1)
  return parts.map((_, i) => `/${parts.slice(0, i + 1).join("/")}`)
}
