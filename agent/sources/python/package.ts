/**
 * Are a package's files those that its installer recorded? A RECORD (PyPA, "Recording installed projects") lists a digest for
 * each file; who can change the files can change it too, so its own digest is a fact. Compiled files and scripts have none.
 */
import { posix } from "node:path"
import type { Fact } from "../../../attestation/protocol/event.ts"
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
    ...(own === "unknown" || normal(own) === normal(version)
      ? []
      : [contradiction("version", [`the folder says ${version}`, `METADATA says ${own}`])]),
  ]
  if (!compared.has(name) || record.state !== "present") return facts
  return [...facts, ...(await comparison(context, posix.dirname(folder), entriesIn(record.value)))]
}

/** A folder's name has no hyphens: they stand for what separates the parts of a version. */
const normal = (version: string): string => version.toLowerCase().replace(/[-_]/g, ".")

async function ownVersion(host: Host, folder: string): Promise<string> {
  const read = await host.readBytes(`${folder}/METADATA`, 1 << 20)
  const text = read.state === "present" ? Buffer.from(read.value).toString("utf8") : ""
  return /^Version: ([\w.+!]{1,100})\s*$/m.exec(text.split("\n\n")[0] ?? "")?.[1] ?? "unknown"
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
  const others = hashed.flatMap(each => {
    const found = digests.get(pathOf(each)) ?? { state: "absent" as const }
    const says = found.state === "present" ? found.value : found.state
    return says === `sha256:${each.sha256}`
      ? []
      : [contradiction(each.path, [`RECORD says sha256:${each.sha256}`, `the disk says ${says}`])]
  })
  const more =
    others.length > limits.said ? [contradiction("RECORD", [`${others.length - limits.said} files more differ`])] : []
  const counts = [known("compared", hashed.length), known("without-digest", entries.length - hashed.length)]
  return [...counts, ...others.slice(0, limits.said), ...more]
}
