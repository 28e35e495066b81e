/**
 * What is the digest of this model? The same hashing as the agent's, by hand: stdout is to the byte what `sha256sum` prints
 * over the files, and the digest of that text is the model's. How files are read and hashed: `agent/hash`.
 */
import { z } from "zod"
import { type HashedModel, hashModel } from "../agent/hash/model.ts"
import { type Binary, fromBinary } from "../agent/hash/binary.ts"
import { readBounded } from "./bundle.ts"
import { asJson, command } from "./command.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { duration, noProgress, showProgress, size } from "./progress.ts"
import { plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"

const given = z.object({
  path: text,
  check: text.optional(),
  links: z.enum(["own", "anywhere"], "own or anywhere").default("own"),
  verity: flag,
  quiet: flag,
  json: flag,
})
type Given = z.infer<typeof given>

export const hash = command({
  name: "hash",
  says: "hash a model: its manifest, its digest, and the fs-verity digest of each file",
  teaches:
    "Reads every file of a model once and makes two digests of each: SHA-256 and fs-verity. stdout is the manifest, to the " +
    "byte what sha256sum prints over the files in byte order of their paths; the SHA-256 of the manifest is the model's digest.",
  takes: [["<path>", "a file, or a folder with all files of one model"]],
  options: [
    ["--check <manifest>", "compare with this manifest, and print what differs"],
    ["--links <where>", "own: links stay within the model; anywhere: they may lead to any file (default: own)"],
    ["--verity", "print fs-verity digests in place of the manifest, as fsverity digest does"],
    ["--quiet", "no progress"],
    asJson,
  ],
  examples: ["assay hash /srv/models/llama > MANIFEST", "assay hash /srv/models/llama --check MANIFEST"],
  exits: ["good", "failed", "misuse", "unacceptable"],
  reads: given,
  run: hashPath,
})

async function hashPath({ path, check, links, verity, quiet, json }: Given, terminal: Terminal): Promise<Exit> {
  const wanted = check === undefined ? undefined : readManifest(await readBounded(check, 1 << 24), check)
  const begun = terminal.now()
  const progress = quiet || json ? noProgress : showProgress(terminal, "hashing")
  const model = await hashModel(path, {
    engine: "auto",
    links,
    signal: new AbortController().signal,
    progress: ({ done, total }) => progress.at(done, total),
  }).finally(progress.end)
  const seconds = Math.max((terminal.now() - begun) / 1000, 0.001)
  if (!quiet && !json) remark(terminal, summary(model, seconds))
  const differences = [
    ...(wanted === undefined ? [] : compare(wanted, readManifest(model.manifest, path))),
    ...model.broken.map(({ name }): Difference => ({ how: "broken", name: nameOf(name) })),
  ]
  if (json) writeJsonLine(terminal, forScripts(model, seconds, differences))
  else writeModel(terminal, model, { verity, compared: wanted !== undefined }, differences)
  return differences.length === 0 ? "good" : "unacceptable"
}

/** The manifest, or what differs from the wanted one. A file that its store would not know again is told in any case. */
function writeModel(
  { out, err }: Terminal,
  model: HashedModel,
  { verity, compared }: { readonly verity: boolean; readonly compared: boolean },
  differences: readonly Difference[],
): void {
  if (!compared) out.write(verity ? verityLines(model) : Buffer.from(model.manifest).toString("utf8"))
  for (const { how, name } of differences) (compared ? out : err).write(`${how.padEnd(8)} ${plain(name, 4096)}\n`)
}

function summary({ digest, files, bytes, engines }: HashedModel, seconds: number): string {
  const speed = `${size(bytes)} in ${duration(seconds)}, ${size(bytes / seconds)}/s`
  const by = `SHA-256 by ${engines.sha256}, fs-verity by ${engines.verity}`
  return `sha256:${digest}  ${files.length} ${files.length === 1 ? "file" : "files"}, ${speed}; ${by}`
}

const verityLines = ({ files }: HashedModel): string =>
  files.map(({ name, verity }) => `sha256:${verity} ${plain(nameOf(name), 4096)}\n`).join("")

const nameOf = (name: Binary): string => fromBinary(name).toString("utf8")

/** Name (as it is spelt in the manifest) → SHA-256 in hex. */
function readManifest(bytes: Uint8Array, path: string): ReadonlyMap<string, string> {
  const lines = Buffer.from(bytes).toString("utf8").split("\n").slice(0, -1)
  return new Map(
    lines.map(line => {
      const [, digest, name] = /^\\?([0-9a-f]{64}) [ *](.*)$/su.exec(line) ?? []
      if (digest !== undefined && name !== undefined) return [name, digest]
      throw new Problem("misuse", `${path} is no manifest: ${plain(line, 80)}`, "sha256sum or assay hash writes one")
    }),
  )
}

/** broken: not what its store promises by the name that it gave the file */
type Difference = { readonly how: "differs" | "missing" | "new" | "broken"; readonly name: string }

function compare(wanted: ReadonlyMap<string, string>, seen: ReadonlyMap<string, string>): Difference[] {
  const names = [...new Set([...wanted.keys(), ...seen.keys()])]
  return names.flatMap((name): Difference[] => {
    if (!seen.has(name)) return [{ how: "missing", name }]
    if (!wanted.has(name)) return [{ how: "new", name }]
    return seen.get(name) === wanted.get(name) ? [] : [{ how: "differs", name }]
  })
}

const forScripts = (model: HashedModel, seconds: number, differences: readonly Difference[]): object => ({
  digest: model.digest,
  bytes: model.bytes,
  seconds,
  engines: model.engines,
  files: model.files.map(({ name, sha256, verity, size: length, link }) => ({
    name: nameOf(name),
    sha256,
    verity,
    size: length,
    link: link === "" ? null : nameOf(link),
  })),
  differences,
})
