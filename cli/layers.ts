/**
 * How does what a person was given about a model (a list, a signature, a cache) become layers with verdicts? Documents are read and checked
 * here, and the bytes that a digest of theirs needs; what the verdicts mean: `attestation/pins/layers`.
 */
import { createHash, createPublicKey, type KeyObject } from "node:crypto"
import { createReadStream, readFileSync } from "node:fs"
import { basename } from "node:path"
import { fromBinary } from "../agent/hash/binary.ts"
import type { HashedFile, HashedModel } from "../agent/hash/model.ts"
import { type Claim, type Claims, compareClaims, type File, keyOf, toRead } from "../attestation/pins/layers/claims.ts"
import { documentLimit } from "../attestation/pins/layers/foreign.ts"
import { readListing, readSums } from "../attestation/pins/layers/list.ts"
import { type Layer, layerOf, type Source } from "../attestation/pins/layers/provenance.ts"
import { type Accepted, checkBundle, type Signed, type SignedFile } from "../attestation/pins/layers/signature.ts"
import type { Tagged } from "../attestation/pins/layers/upstream.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { readBounded } from "./bundle.ts"
import { Problem } from "./exit.ts"
import { nameOf } from "./manifest.ts"

/** A document about the model, and on whose word it counts: a person's, or whom `accepted` says. */
export type Document = {
  readonly layer: "publisher" | "ecosystem"
  readonly path: string
  readonly bytes: Uint8Array
  /** where it was taken from */
  readonly from: string
  readonly accepted: Accepted
}

/** The model, its files as layers know them, and who adds it. */
export type Subject = { readonly model: HashedModel; readonly single: string; readonly by: string }

const filesOf = ({ files }: HashedModel): File[] =>
  files.map(({ name, size, sha256 }) => ({ name: nameOf(name), size, sha256 }))

/** The document at `path`, once it is certain that it can be read: before a long hash, not after it. Throws Problem. */
export async function openDocument(given: Omit<Document, "bytes">, single: string, by: string): Promise<Document> {
  const document = { ...given, bytes: await readBounded(given.path, documentLimit) }
  readDocument(document, [], single, by)
  return document
}

/** The layer that a document gives. */
export async function documentLayer(document: Document, subject: Subject): Promise<Layer> {
  const { layer, path, from, bytes } = document
  const { kind, signed } = readDocument(document, subject.model.files.map(signedFile), subject.single, subject.by)
  const digest = createHash("sha256").update(bytes).digest("hex")
  return compared({ layer, kind, from, document: `${layer}-${basename(path)}`, digest }, signed, subject)
}

type ReadDocument = { readonly kind: Layer["kind"]; readonly signed: Signed }

function readDocument(document: Document, files: readonly SignedFile[], single: string, by: string): ReadDocument {
  const { path, bytes, accepted, from } = document
  const text = Buffer.from(bytes.subarray(0, 4096)).toString("latin1").trimStart()
  try {
    if (!text.startsWith("{")) return { kind: "list", signed: onWord(readSums(bytes), by, from) }
    if (/"format_version"/.test(text)) return { kind: "listing", signed: onWord(readListing(bytes), by, from) }
    return { kind: "bundle", signed: checkBundle(bytes, accepted, single, files) }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    const hint = "give a list as sha256sum prints it, or a Sigstore bundle (model.sig)"
    throw new Problem("failed", `${path}: ${error.message}`, hint)
  }
}

/** What nobody signed counts on the word of the person who took it from there. */
const onWord = (claims: Claims, by: string, from: string): Signed => ({
  claims,
  signature: { verdict: "unsigned", why: "nobody signed it" },
  authority: { verdict: "accepted", why: `the word of ${by}, who took it from ${from}` },
})

/** A signature over one file's own bytes needs them in memory. */
const artifactLimit = 1 << 30
const signedFile = ({ name, path, sha256, size }: HashedFile): SignedFile => ({
  name: nameOf(name),
  sha256,
  bytes: () => {
    if (size > artifactLimit)
      throw new Malformed("it signs the bytes of a file that is too large to be checked at once")
    return new Uint8Array(readFileSync(fromBinary(path)))
  },
})

async function compared(source: Source, { claims, signature, authority }: Signed, { model }: Subject): Promise<Layer> {
  const files = filesOf(model)
  const digests = await digestsFor(toRead(claims, files), model)
  return layerOf(source, signature, authority, compareClaims(claims, files, digests))
}

async function digestsFor(claims: readonly Claim[], { files }: HashedModel): Promise<ReadonlyMap<string, string>> {
  const byName = new Map(files.map(file => [nameOf(file.name), file]))
  const found = new Map<string, string>()
  for (const claim of claims) {
    const file = byName.get(claim.name)
    if (file) found.set(keyOf(claim), await digestOf(claim, file))
  }
  return found
}

/** git's name of a file (`blob`, its size, a zero byte, its bytes), or SHA-256 of the bytes in between. */
async function digestOf({ kind, range }: Claim, { path, size }: HashedFile): Promise<string> {
  const hash = createHash(kind === "git-sha1" ? "sha1" : "sha256")
  if (kind === "git-sha1") hash.update(`blob ${size}\0`)
  const part = range === "whole" ? {} : { start: range.from, end: range.to - 1 }
  for await (const chunk of createReadStream(fromBinary(path), { ...part, highWaterMark: 1 << 20 })) hash.update(chunk)
  return hash.digest("hex")
}

/** The layer of a store whose names of files are promises: Hugging Face's cache, or Ollama's. None where there is no such store. */
export async function cacheLayer(
  { model, single, by }: Subject,
  tagged: Tagged | undefined,
): Promise<Layer | undefined> {
  const claims = model.files.flatMap(promiseOf)
  if (claims.length === 0) return undefined
  const from = storeOf(tagged)
  const source: Source = { layer: "ecosystem", kind: "cache", from, document: "", digest: "" }
  return compared(source, onWord({ claims, ignored: [] }, by, from), { model, single, by })
}

/** Large files lie under their SHA-256; small ones of Hugging Face's under git's SHA-1. */
function promiseOf({ name, path, promised }: HashedFile): Claim[] {
  if (promised !== "") return [{ name: nameOf(name), digest: promised, kind: "sha256", range: "whole" }]
  const [, sha1] = /\/blobs\/([0-9a-f]{40})$/s.exec(path) ?? []
  return sha1 === undefined ? [] : [{ name: nameOf(name), digest: sha1, kind: "git-sha1", range: "whole" }]
}

const storeOf = (tagged: Tagged | undefined): string =>
  tagged === undefined
    ? "the store that it was downloaded into"
    : `${tagged.place} at ${tagged.revision}, as the download tool recorded it`

/** The publisher is the firm itself: a model of its own making. */
export const selfPublished = (subject: Subject): Promise<Layer> =>
  compared(
    { layer: "publisher", kind: "self", from: "the firm", document: "", digest: "" },
    {
      ...wholeModel(subject),
      authority: { verdict: "accepted", why: `the firm is the publisher, by the word of ${subject.by}` },
    },
    subject,
  )

/** What the firm takes over: its manifest, which only approval makes its word. */
export const firmLayer = (subject: Subject, manifestName: string): Promise<Layer> =>
  compared(
    { layer: "firm", kind: "manifest", from: subject.by, document: manifestName, digest: subject.model.digest },
    {
      ...wholeModel(subject),
      authority: { verdict: "not accepted", why: "nobody has approved it yet: a pin does" },
    },
    subject,
  )

const wholeModel = ({ model }: Subject): Omit<Signed, "authority"> => ({
  claims: {
    claims: filesOf(model).map(({ name, sha256 }) => ({ name, digest: sha256, kind: "sha256", range: "whole" })),
    ignored: [],
  },
  signature: { verdict: "unsigned", why: "nobody signed it" },
})

/** The public key in a PEM file. */
export async function publicKeyFile(path: string): Promise<KeyObject> {
  try {
    return createPublicKey(Buffer.from(await readBounded(path, 1 << 16)))
  } catch (error) {
    if (error instanceof Problem) throw error
    throw new Problem("failed", `${path} holds no public key`, "give PEM, as openssl pkey -pubout writes it")
  }
}
