/** Shall the kernel guard this model from now on? It cannot be taken back, so it is asked first. How it is done: agent/hash. */
import { z } from "zod"
import { Hasher } from "../agent/hash/hasher.ts"
import { type HashedModel, hashModelWith } from "../agent/hash/model.ts"
import { type Protected, protect } from "../agent/hash/protect.ts"
import { asJson, command } from "./command.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import { nameOf } from "./manifest.ts"
import { noProgress, showProgress, size } from "./progress.ts"
import { plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"

const given = z.object({
  path: text,
  links: z.enum(["own", "anywhere"], "own or anywhere").default("own"),
  yes: flag,
  json: flag,
})
type Given = z.infer<typeof given>

export const protectCommand = command({
  name: "protect",
  says: "have the kernel guard a model's files with fs-verity; cannot be taken back",
  teaches:
    "Hashes the model, then switches fs-verity on for each of its files. From then on nobody can write to them, only delete " +
    "them; the kernel checks every read against the digest, and the agent asks the kernel in place of reading them again. " +
    "ext4 (with the feature verity), f2fs and btrfs can do it.",
  takes: [["<path>", "a file, a folder with all files of one model, or ollama:<store>/<name>:<tag>"]],
  options: [
    ["--links <where>", "own: links stay within the model; anywhere: they may lead to any file (default: own)"],
    ["--yes", "do not ask"],
    asJson,
  ],
  examples: ["assay protect /srv/models/llama"],
  exits: ["good", "failed", "misuse"],
  reads: given,
  run: protectPath,
})

async function protectPath({ path, links, yes, json }: Given, terminal: Terminal): Promise<Exit> {
  const model = await hashed(path, links, terminal, json)
  if (!yes) await ask(model, terminal)
  const done = await protect(model.files)
  if (json) writeJsonLine(terminal, { digest: model.digest, files: done.map(forScripts) })
  else for (const { name, state } of done) terminal.out.write(`${how[state]}  ${plain(nameOf(name), 4096)}\n`)
  return "good"
}

const how = { now: "protected", already: "already  " } as const
const forScripts = ({ name, state }: Protected): object => ({ name: nameOf(name), state })

async function hashed(path: string, links: Given["links"], terminal: Terminal, quiet: boolean): Promise<HashedModel> {
  const progress = quiet ? noProgress : showProgress(terminal, "hashing")
  const hasher = new Hasher()
  try {
    return await hashModelWith(hasher, "full", path, {
      links,
      signal: new AbortController().signal,
      progress: ({ done, total, file }) => progress.at(done, total, file),
    })
  } finally {
    progress.end()
    await hasher.close()
  }
}

async function ask({ digest, files, bytes }: HashedModel, terminal: Terminal): Promise<void> {
  const what = `${files.length} ${files.length === 1 ? "file" : "files"}, ${size(bytes)}`
  remark(terminal, `sha256:${digest}  ${what}: nobody can write to them afterwards, and this cannot be taken back`)
  const answer = await terminal.read("assay: type yes to go on: ", 16)
  if (answer.trim() !== "yes") throw new Problem("failed", "nothing was changed", "type yes, or give --yes")
}
