/** Machines to measure: captured trees under test/hosts, and what sources are handed to look at them. */
import { chmodSync, existsSync, readdirSync, statSync } from "node:fs"
import { join } from "node:path"
import type { Hasher } from "../agent/hash/hasher.ts"
import { Host } from "../agent/host.ts"
import { noRuns } from "../agent/run/runs.ts"
import { ownSelf } from "../agent/self.ts"
import { sources } from "../agent/sources/index.ts"
import { scanOf } from "../agent/sources/process/scan.ts"
import type { Context } from "../agent/sources/source.ts"
import type { Measurement } from "../attestation/protocol/event.ts"

const folder = join(import.meta.dirname, "hosts")

export const hostNames = readdirSync(folder, { withFileTypes: true })
  .filter(each => each.isDirectory())
  .map(each => each.name)

export const on = (host: string): string => join(folder, host)

export const tpm = {
  manufacturer: "IBM",
  vendor: "SW TPM",
  firmware: "8217.4131.22.13878",
  software: true,
  banks: ["sha256"],
}
const weights = [
  { name: "small", path: "/srv/models/small", links: "own" },
  { name: "/srv/models/small.gguf", path: "/srv/models/small.gguf", links: "own" },
] as const

/** What sources see of the machine at `root`. Its programs run, as they would there. */
export function contextOf(hasher: Hasher, root: string, more: Partial<Context> = {}): Context {
  const programs = ["usr/bin/nvidia-smi", "opt/rocm-6.4.1/bin/rocm-smi", "usr/bin/fwupdmgr", "usr/sbin/bpftool"].map(
    each => join(root, each),
  )
  if (root !== "/") for (const each of programs.filter(existsSync)) allow(each)
  const host = more.host ?? new Host(root, "run")
  return {
    host,
    scan: scanOf(host),
    hasher,
    depth: "quick",
    signal: new AbortController().signal,
    progress: () => undefined,
    self: ownSelf(),
    tpm,
    weights,
    runs: noRuns,
    ...more,
  }
}

/** A checkout may have lost the mode. It is set only then: another test may be reading the file, and would see it change. */
function allow(program: string): void {
  if ((statSync(program).mode & 0o777) !== 0o755) chmodSync(program, 0o755)
}

/** What the source of this name says of the machine. */
export async function measured(name: string, context: Context): Promise<readonly Measurement[]> {
  const source = sources.find(each => each.name === name)
  if (!source) throw new Error(`no source is called ${name}`)
  return source.measure(context)
}

export const subject = (events: readonly Measurement[], name: string): Measurement | undefined =>
  events.find(each => each.subject === name)

/** The values of the facts of this name. */
export const valuesOf = (event: Measurement | undefined, name: string): readonly string[] =>
  (event?.facts ?? []).filter(([each]) => each === name).map(([, value]) => value)
