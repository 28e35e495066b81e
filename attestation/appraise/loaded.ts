/**
 * Which weights did servers have loaded, and how is each known? The attester names methods; which of them the logs bear out is
 * found here: a start after hashing only if the record of it precedes in the replayed log, the kernel's own measurement only if
 * the digest stands in the replayed IMA log. Nothing here proves that a server computes with what it has loaded.
 */
import type { Fact, LogEvent, Measurement } from "../protocol/event.ts"
import { newestMeasurements } from "../pins/reference.ts"
import { filesOf as filesMeasured } from "../verify/ima-files.ts"
import type { VerifiedEvidence } from "../verify/verify.ts"

/** How it is known that a server uses a file, strongest first. */
export const methods = [
  "started by us after hashing",
  "measured by the kernel (IMA)",
  "mapped",
  "open",
  "named by its command line",
  "named by the server itself",
] as const
export type Method = (typeof methods)[number]

/** Whose word it is: the kernel's, in a log that the TPM quoted, or the agent's alone. */
export type Grade = "kernel-measured" | "self-reported"

/** A file of weights in use. `by` is strongest first; `digest` "sha256:…", or unknown; `says` is the rest in the agent's words. */
export type LoadedFile = {
  readonly server: string
  readonly path: string
  readonly by: readonly Method[]
  readonly grade: Grade
  readonly digest: string
  readonly says: string
}

/** As much of verified evidence as is looked at. */
type Shown = Pick<VerifiedEvidence, "events"> & { readonly platform: Pick<VerifiedEvidence["platform"], "files"> }

/** Every file of weights that the newest measurement of each server names. */
export function loadedFiles({ events, platform }: Shown): LoadedFile[] {
  const digests = digestsIn(events)
  const found = newestMeasurements(events)
    .filter(({ source, state }) => source === "loaded" && state === "present")
    .flatMap(each => filesOf(each, digests, hashedBefore(events, each)))
  const kernels = new Set(filesMeasured(platform.files).map(([, digest]) => digest))
  return found.map(each => {
    const spoken = digests.get(each.path)?.spoken ?? []
    if (!spoken.some(digest => kernels.has(digest))) return each
    const by = [...each.by, methods[1]].toSorted((a, b) => methods.indexOf(a) - methods.indexOf(b))
    return { ...each, by, grade: "kernel-measured" }
  })
}

/** `spoken` are the digests as an IMA log would write them. */
type Digests = ReadonlyMap<string, { readonly sha256: string; readonly spoken: readonly string[] }>

/** What the log says of files by their absolute paths, the newest last: before a start, and as parts of a model. */
function digestsIn(events: readonly LogEvent[]): Digests {
  const found = new Map<string, { sha256: string; spoken: string[] }>()
  for (const event of events) {
    if (event.type !== "assay.measurement.v1") continue
    for (const [name, value] of event.facts) {
      const path = pathOf(event, name)
      const [, sha256, verity] = /^sha256:([0-9a-f]{64})(?: verity:([0-9a-f]{64}))?/.exec(value) ?? []
      if (path === "none" || sha256 === undefined) continue
      const spoken = [`sha256:${sha256}`, ...(verity === undefined ? [] : [`verity:sha256:${verity}`])]
      found.set(path, { sha256: `sha256:${sha256}`, spoken })
    }
  }
  return found
}

/** Of which file a fact is: "file/srv/a.gguf" before a start; "file/a.gguf" in a model, whose subject or fact says where it is. */
function pathOf({ source, subject, facts }: Measurement, name: string): string {
  if (!name.startsWith("file/")) return "none"
  if (source === "run") return name.slice("file".length)
  if (source !== "weights") return "none"
  const root = facts.find(([each]) => each === "path")?.[1] ?? subject
  const inside = name.slice("file/".length)
  const alone = facts.some(([each, value]) => each === "files" && value === "1") && root.endsWith(`/${inside}`)
  return alone ? root : `${root}/${inside}`
}

/** Paths whose hashing is recorded before what is measured. */
function hashedBefore(events: readonly LogEvent[], measured: Measurement): ReadonlySet<string> {
  const before = events.slice(0, events.indexOf(measured))
  return new Set(
    before.flatMap(event =>
      event.type === "assay.measurement.v1" && event.source === "run"
        ? event.facts.map(([name]) => pathOf(event, name)).filter(path => path !== "none")
        : [],
    ),
  )
}

function filesOf({ subject, facts }: Measurement, digests: Digests, before: ReadonlySet<string>): LoadedFile[] {
  return facts
    .filter(([name]) => name.startsWith("weights/"))
    .map(([name, value]: Fact) => {
      const path = name.slice("weights".length)
      const { by, says } = wordsOf(value)
      const proven = by.filter(method => method !== methods[1] && (method !== methods[0] || before.has(path)))
      const digest = digests.get(path)?.sha256 ?? "unknown"
      return { server: subject, path, by: proven, grade: "self-reported" as const, digest, says }
    })
}

/** A value begins with its methods, of a fixed set; what follows is the role, and what was measured. */
function wordsOf(value: string): { by: Method[]; says: string } {
  const by: Method[] = []
  let rest = value
  for (let method = next(rest); method !== undefined; method = next(rest)) {
    by.push(method)
    rest = rest.slice(method.length).replace(/^, /, "")
  }
  return { by, says: rest }
}

const next = (text: string): Method | undefined =>
  methods.find(method => text === method || text.startsWith(`${method}, `))
