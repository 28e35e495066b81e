/**
 * Are a package's files those that its installer recorded? A RECORD (PyPA, "Recording installed projects") lists a digest for
 * each file; who can change the files can change it too, so its own digest is a fact. Compiled files and scripts have none.
 */
import { posix } from "node:path"
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { type Context, contradiction, contentDigest, digestsOf, fact, known } from "../source.ts"

/** Packages that serve models: their files are compared. */
const compared = new Set([
  "vllm",
  "sglang",
  "lmdeploy",
  "llama_cpp_python",
  "text_generation_server",
  "tensorrt_llm",
  "tritonserver",
])
/** Packages that they compute with: version and RECORD are told. */
const told = new Set([
  "torch",
  "transformers",
  "tokenizers",
  "safetensors",
  "triton",
  "flash_attn",
  "flashinfer_python",
  "xformers",
  "xgrammar",
  "tensorrt",
  "onnxruntime_gpu",
  "openai",
  "peft",
])
const limits = Object.freeze({ record: 1 << 24, entries: 50_000, said: 32 })

export type Package = { readonly name: string; readonly version: string; readonly folder: string }

/** The packages of interest in a site-packages folder. */
export async function packagesIn(host: Host, site: string): Promise<Package[]> {
  const listed = await host.list(site)
  const names = listed.state === "present" ? listed.value : []
  return names.flatMap(each => {
    const [, name = "", version = ""] = /^([\w.]{1,100})-([\w.+!]{1,100})\.dist-info$/.exec(each) ?? []
    const plain = name.toLowerCase().replaceAll(".", "_")
    return compared.has(plain) || told.has(plain) ? [{ name: plain, version, folder: `${site}/${each}` }] : []
  })
}

/** What the package is, and each file that is not as it was recorded. */
export async function packageFacts(context: Context, { name, version, folder }: Package): Promise<Fact[]> {
  const record = await context.host.readBytes(`${folder}/RECORD`, limits.record)
  const own = await ownVersion(context.host, folder)
  const facts = [
    known("package", name),
    known("version", version),
    fact("record", contentDigest(record)),
    ...versionFacts(version, own),
  ]
  if (!compared.has(name) || record.state !== "present") return facts
  return [...facts, ...(await comparison(context, posix.dirname(folder), entriesIn(record.value)))]
}

/** A folder's name has no hyphens: they stand for what separates the parts of a version. */
const normal = (version: string): string => version.toLowerCase().replace(/[-_]/g, ".")

/** What the package's own METADATA says, if that is not what its folder is called. */
function versionFacts(version: string, own: Found<string>): Fact[] {
  if (own.state === "unreadable") return [fact("METADATA", own)]
  return own.state === "absent" || normal(own.value) === normal(version)
    ? []
    : [contradiction("version", [`the folder says ${version}`, `METADATA says ${own.value}`])]
}

async function ownVersion(host: Host, folder: string): Promise<Found<string>> {
  const read = await host.readBytes(`${folder}/METADATA`, 1 << 20)
  if (read.state !== "present") return read
  const [head = ""] = Buffer.from(read.value).toString("utf8").split("\n\n")
  const version = /^Version: ([\w.+!]{1,100})\s*$/m.exec(head)?.[1]
  return version === undefined ? { state: "absent" } : { state: "present", value: version }
}

/** `sha256` in hex, or "none". */
export type Entry = { readonly path: string; readonly sha256: string }

/** The lines of a RECORD: path, hash and size, where a path with a comma or a quote stands in quotes. */
export function entriesIn(record: Uint8Array): readonly Entry[] {
  const entries: Entry[] = []
  for (const line of Buffer.from(record).toString("utf8").split(/\r?\n/)) {
    const [, quoted, plain, hash = ""] =
      /^(?:"((?:[^"]|"")*)"|([^",]*)),(?:sha256=([\w-]{43}))?[^,]*,\d*$/.exec(line) ?? []
    const path = quoted?.replaceAll('""', '"') ?? plain ?? ""
    if (path === "" || path.includes("\0") || entries.length >= limits.entries) continue
    entries.push({ path, sha256: hash === "" ? "none" : Buffer.from(hash, "base64url").toString("hex") })
  }
  return entries
}

async function comparison(context: Context, site: string, entries: readonly Entry[]): Promise<Fact[]> {
  const hashed = entries.filter(each => each.sha256 !== "none")
  const pathOf = ({ path }: Entry): string => posix.join(site, path)
  const digests = await digestsOf(context, hashed.map(pathOf))
  const told = hashed.flatMap(each => differing(each, digests.get(pathOf(each)) ?? { state: "absent" }))
  const hidden = told.filter(([name]) => name === "unreadable")
  const others = told.filter(([name]) => name !== "unreadable")
  const counts = [
    known("compared", hashed.length - hidden.length),
    known("without-digest", entries.length - hashed.length),
  ]
  return [
    ...counts,
    ...others.slice(0, limits.said),
    ...beyond(others, n => contradiction("RECORD", [`${n} files more differ`])),
    ...hidden.slice(0, limits.said),
    ...beyond(hidden, n => ["unreadable", `RECORD: ${n} files more`]),
  ]
}

/** What was not read is no difference. */
function differing({ path, sha256 }: Entry, found: Found<string>): Fact[] {
  if (found.state === "unreadable") return [fact(path, found)]
  const says = found.state === "present" ? found.value : found.state
  return says === `sha256:${sha256}`
    ? []
    : [contradiction(path, [`RECORD says sha256:${sha256}`, `the disk says ${says}`])]
}

const beyond = (told: readonly Fact[], say: (more: number) => Fact): Fact[] =>
  told.length > limits.said ? [say(told.length - limits.said)] : []
