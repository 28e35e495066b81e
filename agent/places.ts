/**
 * Which files did the facts come from that stand in the log? Those on disks, whose file systems tell of a change. What the kernel
 * makes up when it is read (proc, sysfs) is for glance.ts.
 */
import { type Measurement, readEvent } from "../attestation/protocol/event.ts"
import type { Recorded } from "./record.ts"

/** The most files that are watched. */
const mostFiles = 10_000

/** Absolute paths of files on disk that facts name, each once. A path that had to be escaped is left to the slow beat. */
export function placesIn(recorded: Recorded): ReadonlySet<string> {
  const places = new Set<string>()
  for (const text of [...recorded.values()].flat()) {
    const event = readEvent(text)
    if (event.type !== "assay.measurement.v1") continue
    for (const path of pathsOf(event)) if (places.size < mostFiles && onDisk(path)) places.add(path)
  }
  return places
}

const onDisk = (path: string): boolean => /^\/(?!proc\/|sys\/|dev\/)[^\\]+$/.test(path)

/** Facts bear paths as their subject, as their name, behind a word in it, or behind a module's digest. */
function pathsOf({ source, subject, facts }: Measurement): string[] {
  const named = facts.flatMap(([name, value]) => {
    if (name.startsWith("/")) return [name]
    const [, after] = /^(?:mapped|unit|replaced|weights)(\/.+)$/.exec(name) ?? []
    if (after !== undefined) return [after]
    const [, file] = /\bfile:sha256:[0-9a-f]{64} (\/\S+)/.exec(value) ?? []
    return file === undefined ? [] : [file]
  })
  return source !== "loaded" && subject.startsWith("/") ? [subject, ...named] : named
}
