/**
 * Is a publisher's signature valid, and is it of somebody whom a person accepts? Two questions with two answers: a signature may fit a key
 * that nobody knows. Whether the bytes on disk are those that were signed is the third: `claims.ts`.
 */
import { createHash, type KeyObject, verify } from "node:crypto"
import { Malformed } from "../../wire/codec.ts"
import { sameBytes } from "../../wire/text.ts"
import { calledIn, type Certificate, readCertificate } from "../../tcg/certificate.ts"
import { leadsTo } from "../../tcg/ek-chain.ts"
import { type Bundle, type Material, readBundle, signerIn } from "./bundle.ts"
import type { Claims } from "./claims.ts"
import { checkSigstore } from "./sigstore.ts"
import { readStatement, statementType } from "./statement.ts"

/**
 * Whom a person accepts as signer: who holds this key; whoever certificates lead to from these roots at `now` (milliseconds since
 * 1970); or an identity of a Sigstore instance, described by its `trusted_root.json`. `nobody`: nothing is accepted.
 */
export type Accepted =
  | { readonly kind: "key"; readonly key: KeyObject }
  | { readonly kind: "roots"; readonly roots: readonly Certificate[]; readonly now: number }
  | { readonly kind: "sigstore"; readonly identity: string; readonly issuer: string; readonly trustedRoot: Uint8Array }
  | { readonly kind: "nobody" }

/** `why` continues a sentence that begins with the verdict. */
export type Verdict<T extends string> = { readonly verdict: T; readonly why: string }
export type SignatureVerdict = Verdict<"valid" | "invalid" | "unsigned" | "not checked">
export type AuthorityVerdict = Verdict<"accepted" | "not accepted">

/** What one signed document says, with the two verdicts on it. */
export type Signed = {
  readonly claims: Claims
  readonly signature: SignatureVerdict
  readonly authority: AuthorityVerdict
}

/** A file of the model whose bytes a bundle may be about. */
export type SignedFile = { readonly name: string; readonly sha256: string; readonly bytes: () => Uint8Array }

/**
 * Reads and checks a bundle about a model; `single` is what the model is called if it is one file, `files` those whose bytes can be had.
 * Throws {@link Malformed} for what is no bundle.
 */
export function checkBundle(
  untrusted: Uint8Array,
  accepted: Accepted,
  single: string,
  files: readonly SignedFile[],
): Signed {
  const bundle = readBundle(untrusted)
  const about = bundle.content.kind === "file" ? fileOf(bundle.content.sha256, files) : undefined
  const signer = signerOf(bundle.material, accepted)
  const signature = checkSignature(bundle, signer, about)
  return {
    claims: claimsOf(bundle, single, about),
    signature,
    authority: authorityOf(bundle, untrusted, accepted, signature, about),
  }
}

const fileOf = (sha256: string, files: readonly SignedFile[]): SignedFile | undefined =>
  files.find(file => file.sha256 === sha256)

function claimsOf({ content }: Bundle, single: string, about: SignedFile | undefined): Claims {
  if (content.kind === "file") {
    const name = about?.name ?? single
    return { claims: [{ name, digest: content.sha256, kind: "sha256", range: "whole" }], ignored: [] }
  }
  if (content.payloadType !== statementType)
    throw new Malformed(`the bundle signs ${content.payloadType}, no statement`)
  return readStatement(content.payload, single)
}

/** The key that the signature is to fit: of the certificate, in the bundle, or the one that a person gave. */
function signerOf(material: Material, accepted: Accepted): KeyObject | "none" {
  if (material.kind === "certificates") return signerIn(material.chain[0] ?? new Uint8Array(0)).key
  if (material.key !== "none") return material.key
  return accepted.kind === "key" ? accepted.key : "none"
}

/** Curves that may sign, and the hash that goes with each (OpenSSF Model Signing; FIPS 186-5). */
const hashes: Readonly<Record<string, string>> = { prime256v1: "sha256", secp384r1: "sha384", secp521r1: "sha512" }

function checkSignature(bundle: Bundle, signer: KeyObject | "none", about: SignedFile | undefined): SignatureVerdict {
  if (signer === "none") return { verdict: "not checked", why: "the bundle only hints at a key: give the publisher's" }
  const hash = hashes[signer.asymmetricKeyDetails?.namedCurve ?? ""]
  if (hash === undefined) return { verdict: "not checked", why: "it is by no key of P-256, P-384 or P-521" }
  if (bundle.content.kind === "file" && !about)
    return { verdict: "not checked", why: "no file has the digest that was signed" }
  const signed = bundle.content.kind === "file" ? (about?.bytes() ?? new Uint8Array(0)) : bundle.content.signed
  const fits = verify(hash, signed, signer, bundle.signature)
  return fits ? { verdict: "valid", why: "it fits the key" } : { verdict: "invalid", why: "it does not fit the key" }
}

function authorityOf(
  { material }: Bundle,
  untrusted: Uint8Array,
  accepted: Accepted,
  { verdict }: SignatureVerdict,
  about: SignedFile | undefined,
): AuthorityVerdict {
  if (accepted.kind === "nobody") return refused(`nobody said whose signature counts; it is by ${calledBy(material)}`)
  if (verdict !== "valid") return refused("the signature is not valid")
  if (accepted.kind === "key") return ofKey(material, accepted.key)
  if (material.kind === "key") return refused("it is by a bare key, and certificates were asked for")
  if (accepted.kind === "sigstore") return checkSigstore(untrusted, accepted, about?.bytes())
  return ofRoots(material.chain, accepted)
}

const refused = (why: string): AuthorityVerdict => ({ verdict: "not accepted", why })

function calledBy(material: Material): string {
  if (material.kind === "key") return material.hint === "" ? "a key" : `a key called ${material.hint}`
  return signerIn(material.chain[0] ?? new Uint8Array(0)).named
}

function ofKey(material: Material, key: KeyObject): AuthorityVerdict {
  const own = material.kind === "key" ? material.key : signerIn(material.chain[0] ?? new Uint8Array(0)).key
  if (own !== "none" && !sameBytes(spkiOf(own), spkiOf(key)))
    return refused("it is by another key than the one that was given")
  return { verdict: "accepted", why: `the key sha256:${createHash("sha256").update(spkiOf(key)).digest("hex")}` }
}

const spkiOf = (key: KeyObject): Uint8Array => new Uint8Array(key.export({ format: "der", type: "spki" }))

function ofRoots(chain: readonly Uint8Array[], { roots, now }: Extract<Accepted, { kind: "roots" }>): AuthorityVerdict {
  const [signer, ...intermediates] = chain.map(readCertificate)
  if (!signer) return refused("it names no certificate")
  const led = leadsTo(signer, { roots, intermediates }, now)
  if (led.kind === "unanchored") return refused(`the signer's certificate ${led.why}`)
  return { verdict: "accepted", why: `"${calledIn(signer.subject)}" of the authority "${calledIn(led.root.subject)}"` }
}
