/**
 * To which root does a certificate lead (RFC 5280, 6)? Through admitted certificates only, in few steps. Which are admitted is
 * the verifier's business; what the certificate is for: `ek-certificate.ts`.
 */
import { sameBytes } from "../wire/text.ts"
import { calledIn, type Certificate, whyNotSigned } from "./certificate.ts"
import { constraintsOf, mayBeUsed } from "./ek-certificate.ts"

/** What a verifier admitted: roots are trusted, intermediates only lead to them. */
export type Admitted = { readonly roots: readonly Certificate[]; readonly intermediates: readonly Certificate[] }

/** `why` continues a sentence that begins with the certificate. */
export type Led =
  | { readonly kind: "anchored"; readonly root: Certificate }
  | { readonly kind: "unanchored"; readonly why: string }

/** The most authorities between a certificate and its root. */
const steps = 4

/** Extensions that are understood, or that say nothing about whether to trust: any other that is critical ends the chain. */
const known: ReadonlySet<string> = new Set([
  ...["551d13", "551d0f", "551d25", "551d11", "551d0e", "551d23", "551d1f", "551d20", "551d09"],
  "2b06010505070101",
])

/** Follows issuers from `certificate` to a root, at time `now`. A root's own validity and signature are not looked at. */
export function leadsTo(certificate: Certificate, admitted: Admitted, now: number): Led {
  let paths: (readonly Certificate[])[] = [[certificate]]
  let why = faultOf(certificate, now)
  if (why !== undefined) return { kind: "unanchored", why }
  for (let below = 0; below <= steps; below++) {
    const root = admitted.roots.find(each => paths.some(path => whyNotIssued(path, each, below) === undefined))
    if (root) return { kind: "anchored", root }
    why = paths.map(path => whyNone(path, admitted, below)).find(each => each !== undefined) ?? why
    paths = paths.flatMap(path => longer(path, admitted.intermediates, below, now))
  }
  return { kind: "unanchored", why: why ?? "leads to no admitted root" }
}

const longer = (path: readonly Certificate[], among: readonly Certificate[], below: number, now: number) =>
  among
    .filter(each => !path.includes(each) && faultOf(each, now) === undefined)
    .filter(each => whyNotIssued(path, each, below) === undefined)
    .map(each => [...path, each])

/** Why nobody who is admitted issued the last of `path`, in the words that help most. */
function whyNone(path: readonly Certificate[], { roots, intermediates }: Admitted, below: number): string | undefined {
  const issuer = path.at(-1)?.issuer ?? new Uint8Array(0)
  const named = [...roots, ...intermediates].filter(each => sameBytes(each.subject, issuer))
  if (named.length === 0) return `leads to "${calledIn(issuer)}", which nobody admitted`
  return named.map(each => whyNotIssued(path, each, below)).find(each => each !== undefined)
}

/** Why `issuer` did not issue the last of `path`, with `below` authorities under it; undefined when it did. */
function whyNotIssued(path: readonly Certificate[], issuer: Certificate, below: number): string | undefined {
  const last = path.at(-1)
  if (!last || !sameBytes(last.issuer, issuer.subject)) return "is issued by another"
  const allowed = constraintsOf(issuer)
  if (allowed === undefined || !mayBeUsed(issuer, "keyCertSign")) return "is issued by one that is no authority"
  if (allowed < below) return "has more authorities above it than one of them allows"
  return whyNotSigned(last, issuer)
}

function faultOf({ notBefore, notAfter, extensions, key }: Certificate, now: number): string | undefined {
  if (now < notBefore) return "is not valid yet"
  if (now > notAfter) return "has expired"
  if (key.asymmetricKeyType === "rsa" && weak(key.asymmetricKeyDetails)) return "holds a weak RSA key"
  const strange = [...extensions].find(([oid, { critical }]) => critical && !known.has(oid))
  return strange && `holds the critical extension ${strange[0]}, which is not understood`
}

const weak = (details: { modulusLength?: number; publicExponent?: bigint } | undefined): boolean =>
  (details?.modulusLength ?? 0) < 2048 || (details?.publicExponent ?? 0n) < 65_537n
