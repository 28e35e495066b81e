/**
 * Is what firmware, boot loader, systemd and IMA logged acceptable? Only what replays to quoted PCRs says anything. It is compared
 * by meaning with what was recorded, part by part; what is not recorded is a finding. What each log proves: `verify/boot-logs.ts`.
 */
import type { Measurement } from "../protocol/event.ts"
import { type Proven, provenOf, type Reference } from "../pins/reference.ts"
import { type BootPart, bootMeasurements } from "../verify/boot-lines.ts"
import type { Platform } from "../verify/boot-logs.ts"
import { type Finding, finding } from "../verify/finding.ts"
import { filesOf, type MeasuredFile } from "../verify/ima-files.ts"
import { differences } from "./compare.ts"
import { type Component, tierOf } from "./component.ts"

/** How the machine booted, and which files its kernel measured. */
export function judgeBoot(
  { boot, ima, files, findings: found }: Platform,
  reference: Reference | "none recorded",
): Component[] {
  const recorded = reference === "none recorded" ? "nothing recorded" : provenOf(reference)
  const pairs = filesOf(files)
  const aboutFiles = [...found.filter(({ id }) => id.startsWith("ima.")), ...replaced(pairs)]
  const aboutBoot = found.filter(({ id }) => !id.startsWith("ima."))
  const parts = typeof boot === "string" ? [] : bootMeasurements(boot)
  const compareBoot = (with_: Proven): Finding[] => bootDifferences(parts, with_)
  return [
    judged("boot", boot, aboutBoot, hasBoot(recorded), compareBoot, `${parts.length} parts of a boot`),
    judged(
      "files",
      ima,
      aboutFiles,
      hasFiles(recorded),
      with_ => fileDifferences(pairs, with_),
      `${pairs.length} files`,
    ),
  ]
}

type Recorded = Proven | "nothing recorded"

const hasBoot = (recorded: Recorded): Recorded =>
  recorded !== "nothing recorded" && recorded.boot.length > 0 ? recorded : "nothing recorded"
const hasFiles = (recorded: Recorded): Recorded =>
  recorded !== "nothing recorded" && recorded.files.length > 0 ? recorded : "nothing recorded"

/** A part of a verdict: `facts` as a word where nothing is proven, and what was recorded if anything was. */
function judged(
  name: string,
  facts: object | "no log" | "nothing proven",
  found: readonly Finding[],
  recorded: Recorded,
  compare: (recorded: Proven) => Finding[],
  what: string,
): Component {
  if (typeof facts === "string") {
    const missing =
      recorded === "nothing recorded" ? [] : [finding("reference.missing", name, facts, "a log as recorded")]
    return { name, tier: tierOf([...found, ...missing], "none"), says: facts, findings: [...found, ...missing] }
  }
  if (recorded === "nothing recorded") {
    const gap = finding("reference.none", name, what, "a recorded reference")
    const tier = tierOf(found, "none")
    const says = "proven, compared with nothing"
    return { name, tier: tier === "contraindicated" ? tier : "none", says, findings: [...found, gap] }
  }
  const all = [...found, ...compare(recorded)]
  const says = all.length === found.length ? "proven, as recorded, approved by nobody" : "proven, not as recorded"
  return { name, tier: tierOf(all, "warning"), says, findings: all }
}

/** Part by part, each under the finding of its name. */
export function bootDifferences(seen: readonly Measurement[], { boot, ignored }: Proven): Finding[] {
  const parts = new Set([...boot, ...seen].map(({ subject }) => subject))
  return [...parts]
    .filter(part => !ignored.includes(part))
    .flatMap(part => {
      const now = seen.find(({ subject }) => subject === part) ?? nothing(part)
      const then = boot.find(({ subject }) => subject === part) ?? nothing(part)
      return differences(now, then).map(each => ({ ...each, id: idOf(part) }))
    })
}

const nothing = (subject: string): Measurement => ({
  ...{ type: "assay.measurement.v1", source: "boot", subject, state: "present", facts: [] },
})

const ids: Readonly<Record<BootPart, Finding["id"]>> = {
  firmware: "boot.firmware",
  "secure-boot": "boot.secure-boot",
  keys: "boot.keys",
  chain: "boot.chain",
  loader: "boot.loader",
  kernel: "boot.kernel",
  "command-line": "boot.command-line",
  settings: "boot.settings",
  userspace: "boot.userspace",
}

const idOf = (part: string): Finding["id"] =>
  new Map<string, Finding["id"]>(Object.entries(ids)).get(part) ?? "reference.differs"

const most = 64

/**
 * What was executed or loaded and is not on the list. A file that was listed and not used is no difference. Of many, a person reads first what
 * runs in the kernel, and what has other contents than were listed.
 */
export function fileDifferences(pairs: readonly MeasuredFile[], { files, ignored }: Proven): Finding[] {
  const digests = new Set(files.map(([, digest]) => digest))
  const strange = pairs.filter(([path, digest]) => !digests.has(digest) && !ignored.some(each => path.startsWith(each)))
  if (strange.length === 0) return []
  const listed = Map.groupBy(files, ([path]) => path)
  const all = strange.map(each => strangeFile(each, listed))
  const ranked = ranks.flatMap(rank => all.filter(({ id }) => id === rank))
  const found = ranked.slice(0, most)
  const rest = strange.length - found.length
  return rest > 0 ? [...found, finding("files.unlisted", "files", `${rest} more`, "none")] : found
}

const ranks = ["files.module", "files.differs", "files.unlisted"] as const

/** Modules of which one boot loaded more than one content: seen without any list. */
export function replaced(pairs: readonly MeasuredFile[]): Finding[] {
  const modules = Map.groupBy(
    pairs.filter(([path]) => module.test(path)),
    ([path]) => path,
  )
  return [...modules]
    .filter(([, loaded]) => loaded.length > 1)
    .slice(0, most)
    .map(([path, loaded]) =>
      finding("files.replaced", path, loaded.map(([, digest]) => digest).join(", then "), "one content"),
    )
}

function strangeFile([path, digest]: MeasuredFile, listed: ReadonlyMap<string, readonly MeasuredFile[]>): Finding {
  const own = listed.get(path)
  if (own) return finding("files.differs", path, digest, own.map(([, each]) => each).join(" or "))
  return finding(module.test(path) ? "files.module" : "files.unlisted", path, digest, "a file of the list")
}

const module = /\.ko(?:\.(?:gz|xz|zst))?$/
