/**
 * Whose hash stands behind these weights? A person adds a model: what its publisher says, what a second place says, and what the firm takes over.
 * The folder that comes of it can be judged by anybody with sha256sum and openssl. How documents are read: `layers.ts`.
 */
import { access } from "node:fs/promises"
import { basename } from "node:path"
import { z } from "zod"
import { type Binary, fromBinary } from "../agent/hash/binary.ts"
import { Hasher } from "../agent/hash/hasher.ts"
import { type HashedModel, hashModelWith } from "../agent/hash/model.ts"
import { isSound, type Layer, type Provenance } from "../attestation/pins/layers/provenance.ts"
import type { Accepted } from "../attestation/pins/layers/signature.ts"
import { movedTags, type Tagged, upstreamOf } from "../attestation/pins/layers/upstream.ts"
import { readCertificate } from "../attestation/tcg/certificate.ts"
import { readBounded } from "./bundle.ts"
import { certificatesAt } from "./certificates.ts"
import { asJson, command } from "./command.ts"
import { type Exit, Problem } from "./exit.ts"
import { flag, text } from "./given.ts"
import type { Document, Subject } from "./layers.ts"
import { compare, lineOf, readManifest } from "./manifest.ts"
import { noProgress, showProgress } from "./progress.ts"
import { type Kept, keepRecord, recordFiles, recordIn, remarkMoved, showRecord } from "./provenance.ts"
import { plain, remark, type Terminal, writeJsonLine } from "./terminal.ts"
import { upstreamIn } from "./upstream.ts"
import { row } from "./verdict.ts"

const links = z.enum(["own", "anywhere"], "own or anywhere").default("own")

const added = z.object({
  path: text,
  name: text.optional(),
  by: text,
  out: text,
  publisher: text.optional(),
  publisherFrom: text.optional(),
  key: text.optional(),
  ca: text.optional(),
  identity: text.optional(),
  issuer: text.optional(),
  trustedRoot: text.optional(),
  selfPublished: flag,
  ecosystem: text.optional(),
  ecosystemFrom: text.optional(),
  links,
  json: flag,
})
type Added = z.infer<typeof added>

export const modelAdd = command({
  name: "model add",
  says: "take over a model: what its publisher says, what a second place says, and the firm's own list",
  teaches:
    "Reads every byte of the model and compares it with what others say of it. Each layer has three verdicts that are never " +
    "merged: is the signature valid, is its authority accepted, do the bytes match. Writes a folder with the manifest, the " +
    "documents as they were given, and the record that a pin names. A model in the cache of Hugging Face's or Ollama's tools " +
    "has its ecosystem layer there. Where a person watches and nothing was given, it asks.",
  takes: [["<path>", "a file, a folder with all files of one model, or ollama:<store>/<name>:<tag>"]],
  options: [
    ["--out <folder>", "where the record goes; it must not be there yet"],
    ["--by <person>", "who adds the model"],
    ["--name <name>", "what the firm calls it (default: the last part of the path)"],
    [
      "--publisher <file>",
      "a SHA-256 list of the model card, or a signature: model.sig of OpenSSF Model Signing, a Sigstore bundle",
    ],
    ["--publisher-from <text>", "whose it is and where it was taken from; needed for a list, which nobody signed"],
    ["--key <file>", "accept this public key (PEM) as the publisher's"],
    ["--ca <file>", "accept whoever these authorities' certificates lead to"],
    ["--identity <name>", "accept this identity of a Sigstore instance; needs --issuer and --trusted-root"],
    ["--issuer <url>", "who vouches for the identity"],
    ["--trusted-root <file>", "trusted_root.json of the Sigstore instance"],
    ["--self-published", "the firm made this model itself, a fine-tune perhaps"],
    ["--ecosystem <file>", "what a second place says: another mirror's list, or a commit's listing"],
    ["--ecosystem-from <text>", "which place that is"],
    ["--links <where>", "own: links stay within the model; anywhere: they may lead to any file (default: own)"],
    asJson,
  ],
  examples: [
    "assay model add /srv/models/llama --by 'Ada Lovelace' --out llama.model --publisher model.sig --key publisher.pem",
    "assay model add tuned.gguf --by 'Ada Lovelace' --out tuned.model --self-published",
  ],
  exits: ["good", "failed", "misuse", "unacceptable"],
  reads: added,
  run: addModel,
})

async function addModel(given: Added, terminal: Terminal): Promise<Exit> {
  const asked = await walkThrough(given, terminal)
  const accepted = await acceptedBy(asked, terminal.now())
  const documents = await documentsOf(asked, accepted)
  await absent(asked.out)
  const model = await hashed(asked.path, asked.links, terminal, asked.json)
  const subject: Subject = { model, single: basename(asked.path), by: asked.by }
  const tagged = await upstreamIn(model)
  const layers = await layersOf(asked, documents, subject, tagged)
  const record: Provenance = {
    type: "assay.model-provenance.v1",
    model: asked.name ?? usualName(model.root),
    ...{ manifest: model.digest, files: model.files.length, bytes: model.bytes },
    ...{ by: asked.by, at: new Date(terminal.now()).toISOString(), layers },
    ...(tagged && { upstream: upstreamOf(tagged) }),
  }
  await keepRecord(asked.out, model, record, documents.map(keptAs))
  showRecord(record, terminal, asked.json)
  if (!asked.json) remark(terminal, `kept in ${plain(asked.out)}; approved by nobody yet: a pin names it`)
  return isSound(record) ? "good" : "unacceptable"
}

/** Where a person watches and gave nothing of the publisher, they are asked: an empty answer leaves the layer out. */
async function walkThrough(given: Added, { err, read }: Terminal): Promise<Added> {
  if (!err.watched || given.json || given.publisher !== undefined || given.selfPublished) return given
  const ask = async (question: string): Promise<string | undefined> =>
    (await read(`assay: ${question}: `, 4096)).trim() || undefined
  const publisher = await ask("the publisher's SHA-256 list or signature (a file; empty if there is none)")
  if (publisher === undefined) {
    const own = await ask("did the firm make this model itself? (yes, or empty)")
    return { ...given, selfPublished: own === "yes" }
  }
  const publisherFrom = given.publisherFrom ?? (await ask("whose it is, and where it was taken from"))
  const key =
    given.key ??
    given.ca ??
    given.identity ??
    (await ask("the publisher's public key (a PEM file; empty if the document is a list)"))
  return { ...given, publisher, publisherFrom, key: given.ca || given.identity ? given.key : key }
}

async function acceptedBy({ key, ca, identity, issuer, trustedRoot }: Added, now: number): Promise<Accepted> {
  if ([key, ca, identity].filter(each => each !== undefined).length > 1)
    throw new Problem("misuse", "more than one signer is accepted", "give one of --key, --ca and --identity")
  if (key !== undefined) return { kind: "key", key: await (await import("./layers.ts")).publicKeyFile(key) }
  if (ca !== undefined) {
    const roots = (await certificatesAt(ca)).map(({ bytes }) => readCertificate(bytes))
    return { kind: "roots", roots, now }
  }
  if (identity === undefined) return { kind: "nobody" }
  if (issuer === undefined || trustedRoot === undefined)
    throw new Problem(
      "misuse",
      "an identity counts by somebody's word",
      "give --issuer and --trusted-root with --identity",
    )
  return { kind: "sigstore", identity, issuer, trustedRoot: await readBounded(trustedRoot, 1 << 20) }
}

const absent = (folder: string): Promise<unknown> =>
  access(folder).then(
    () => {
      throw new Problem("failed", `${folder} is there already`, "name a new folder with --out")
    },
    () => undefined,
  )

/** The last part of the path; in Hugging Face's cache, where that is a commit, the repository's name. */
function usualName(root: Binary): string {
  const path = fromBinary(root).toString("utf8")
  const [, repository] = /\/models--([^/]+)\/snapshots\/[^/]+$/u.exec(path) ?? []
  return plain(repository?.replace("--", "/") ?? basename(path), 128)
}

async function hashed(path: string, links: Added["links"], terminal: Terminal, quiet: boolean): Promise<HashedModel> {
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

async function layersOf(
  given: Added,
  documents: readonly Document[],
  subject: Subject,
  tagged: Tagged | undefined,
): Promise<Layer[]> {
  const { cacheLayer, documentLayer, firmLayer, selfPublished } = await import("./layers.ts")
  const layers: Layer[] = given.selfPublished ? [await selfPublished(subject)] : []
  for (const document of documents) layers.push(await documentLayer(document, subject))
  const cached = await cacheLayer(subject, tagged)
  return [...layers, ...(cached ? [cached] : []), await firmLayer(subject, recordFiles.manifest)]
}

/** The library that knows Sigstore is loaded only by who needs it. */
async function documentsOf(given: Added, accepted: Accepted): Promise<Document[]> {
  const { openDocument } = await import("./layers.ts")
  const { publisher, ecosystem, path, by } = given
  const said = [
    ...(publisher === undefined ? [] : [documentFrom("publisher", publisher, given.publisherFrom, accepted)]),
    ...(ecosystem === undefined ? [] : [documentFrom("ecosystem", ecosystem, given.ecosystemFrom, { kind: "nobody" })]),
  ]
  return Promise.all(said.map(each => openDocument(each, basename(path), by)))
}

function documentFrom(
  layer: Document["layer"],
  path: string,
  from: string | undefined,
  accepted: Accepted,
): Omit<Document, "bytes"> {
  if (from !== undefined) return { layer, path, from, accepted }
  if (accepted.kind !== "nobody") return { layer, path, from: "the publisher", accepted }
  throw new Problem("misuse", `nothing says where the ${layer}'s word was taken from`, `say it with --${layer}-from`)
}

const keptAs = ({ layer, path, bytes }: Document): Kept => ({ name: `${layer}-${basename(path)}`, bytes })

export const modelShow = command({
  name: "model show",
  says: "what was found about a model when it was added",
  teaches:
    "Prints the record in a folder that assay model add wrote: each layer with its three verdicts, and the layers that are missing.",
  takes: [["<folder>", "what assay model add wrote"]],
  options: [asJson],
  examples: ["assay model show llama.model"],
  exits: ["good", "failed", "misuse", "unacceptable"],
  reads: z.object({ folder: text, json: flag }),
  run: async ({ folder, json }, terminal) => {
    const { record } = await recordIn(folder)
    showRecord(record, terminal, json)
    return isSound(record) ? "good" : "unacceptable"
  },
})

export const modelCheck = command({
  name: "model check",
  says: "is this copy of a model, from wherever it came, the one that was added?",
  teaches:
    "Reads every byte of the copy and compares it with the manifest that was taken over. Prints what differs. In a " +
    "cache of Hugging Face's or Ollama's tools it is also said which of upstream's tags lead elsewhere now: that decides nothing.",
  takes: [
    ["<folder>", "what assay model add wrote"],
    ["<path>", "the copy"],
  ],
  options: [
    ["--links <where>", "own: links stay within the model; anywhere: they may lead to any file (default: own)"],
    asJson,
  ],
  examples: ["assay model check llama.model /srv/models/llama-again"],
  exits: ["good", "failed", "misuse", "unacceptable"],
  reads: z.object({ folder: text, path: text, links, json: flag }),
  run: async ({ folder, path, links: where, json }, terminal) => {
    const { record, manifest } = await recordIn(folder)
    const copy = await hashed(path, where, terminal, json)
    const differences = compare(readManifest(manifest, folder), readManifest(copy.manifest, path))
    const same = copy.digest === record.manifest
    const tagged = await upstreamIn(copy)
    const moved = tagged ? movedTags(record.upstream, tagged) : []
    const { model, manifest: wanted } = record
    if (json) writeJsonLine(terminal, { model, wanted, digest: copy.digest, same, differences, moved })
    else if (same) row(terminal.out, "same", `${plain(record.model, 128)}  sha256:${copy.digest}`)
    else for (const each of differences) terminal.out.write(lineOf(each))
    if (!json) remarkMoved(moved, terminal)
    return same ? "good" : "unacceptable"
  },
})
