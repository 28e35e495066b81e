/**
 * Whose hash stands behind a model's weights? A record of up to three layers (publisher, ecosystem, firm), each with three verdicts that are
 * never merged: is the signature valid, is its authority accepted, do the bytes match. The record says what was found on the day that
 * somebody added the model; it approves nothing.
 */
import { createHash } from "node:crypto"
import { z } from "zod"
import { readExact, writeExact } from "../../wire/json.ts"
import { count, hex, instant, line, plainLine } from "../../wire/text.ts"
import type { Compared } from "./claims.ts"
import type { AuthorityVerdict, SignatureVerdict } from "./signature.ts"
import { upstream } from "./upstream.ts"

const why = line(512)

/** The most differences that a record lists by name. */
const listed = 64

/**
 * bundle: a signature of OpenSSF Model Signing, or another Sigstore bundle; list: SHA-256 of files, by nobody's signature; listing and cache:
 * what Hugging Face's tools recorded of a commit; self: the firm made the model; manifest: the firm's own list.
 */
const layer = z.strictObject({
  layer: z.enum(["publisher", "ecosystem", "firm"]),
  kind: z.enum(["bundle", "list", "listing", "cache", "self", "manifest"]),
  /** whose word it is and where it was taken from, as the person said who added the model */
  from: line(512).min(1),
  /** SHA-256 of the document, which is kept beside the record under this name; both empty where there is none */
  document: line(255),
  digest: z.union([hex(32), z.literal("")]),
  /** what covers the files: sha256, git-sha1 where nothing better is said, or both */
  strength: z.enum(["sha256", "git-sha1", "sha256 and git-sha1", "none"]),
  signature: z.strictObject({ verdict: z.enum(["valid", "invalid", "unsigned", "not checked"]), why }),
  authority: z.strictObject({ verdict: z.enum(["accepted", "not accepted"]), why }),
  bytes: z.strictObject({
    verdict: z.enum(["match", "partly", "differ", "not checked"]),
    covered: count(1_000_000),
    of: count(1_000_000),
    weak: count(1_000_000),
    ignored: count(1_000_000),
    /** the first differences, how and in which file, and how many more there are */
    differences: z.array(z.tuple([z.enum(["differs", "missing", "uncovered"]), line(4096)])).max(listed),
    more: count(1_000_000),
  }),
})
export type Layer = z.infer<typeof layer>

const provenance = z.strictObject({
  type: z.literal("assay.model-provenance.v1"),
  /** what the firm calls the model: the name under which an agent measures it */
  model: line(128).min(1),
  manifest: hex(32),
  files: count(1_000_000),
  bytes: count(Number.MAX_SAFE_INTEGER),
  /** who added the model, and when */
  by: line(128).min(1),
  at: instant,
  /** where the store that it lay in had it from; absent where it lay in none */
  upstream: upstream.optional(),
  layers: z.array(layer).min(1).max(8),
})
export type Provenance = z.infer<typeof provenance>

const provenanceLimit = 1 << 22

/** Throws Malformed. */
export const readProvenance = (bytes: Uint8Array): Provenance => readExact(provenance, bytes, provenanceLimit)
/** Throws Malformed if it would not be read back. */
export const writeProvenance = (value: Provenance): Uint8Array => writeExact(provenance, value)

/** What a pin names a record by: SHA-256 in hex of its bytes. */
export const provenanceDigest = (value: Provenance): string =>
  createHash("sha256").update(writeProvenance(value)).digest("hex")

/** Where a layer came from, and who vouches for it. */
export type Source = Pick<Layer, "layer" | "kind" | "from" | "document" | "digest">

/** One layer of a record. */
export function layerOf(
  source: Source,
  signature: SignatureVerdict,
  authority: AuthorityVerdict,
  bytes: Compared,
): Layer {
  const { verdict, covered, of, weak, ignored, differences } = bytes
  const shown = differences.slice(0, listed)
  return {
    ...source,
    from: plainLine(source.from, 512),
    strength: strengthOf(bytes),
    signature: { verdict: signature.verdict, why: plainLine(signature.why, 512) },
    authority: { verdict: authority.verdict, why: plainLine(authority.why, 512) },
    bytes: {
      ...{ verdict, covered, of, weak, ignored },
      differences: shown.map(({ how, name }) => [how, plainLine(name, 4096)]),
      more: differences.length - shown.length,
    },
  }
}

function strengthOf({ covered, weak }: Compared): Layer["strength"] {
  if (covered === 0) return "none"
  return weak === 0 ? "sha256" : weak === covered ? "git-sha1" : "sha256 and git-sha1"
}

/** Which layers a record lacks, and what that means for who relies on it. */
export function missingLayers({ layers }: Provenance): { readonly layer: Layer["layer"]; readonly means: string }[] {
  const has = new Set(layers.map(each => each.layer))
  return Object.entries(meanings).flatMap(([name, means]) => {
    const [wanted] = layerNames.filter(each => each === name)
    return wanted === undefined || has.has(wanted) ? [] : [{ layer: wanted, means }]
  })
}

const layerNames = ["publisher", "ecosystem", "firm"] as const
const meanings: Readonly<Record<Layer["layer"], string>> = {
  publisher: "nobody shows that these are the bytes that the model's maker released: the firm alone vouches for them",
  ecosystem: "no second place was asked: a copy that was exchanged before the download would not be noticed",
  firm: "nothing says which bytes the firm took over",
}

/** Whether nothing that was looked at speaks against the model: no invalid signature, no other bytes, no signer whom nobody accepts. */
export const isSound = ({ layers }: Provenance): boolean =>
  layers.every(
    ({ signature, authority, bytes }) =>
      signature.verdict !== "invalid" &&
      bytes.verdict !== "differ" &&
      (signature.verdict === "unsigned" || authority.verdict === "accepted"),
  )
