/**
 * Which certificates of TPM makers does this collector admit? A root that the table of makers' roots lists; what such a root
 * issued, as an intermediate; any other root under a person's name. What they are for: `endorse.ts`.
 */
import type { Decision } from "../attestation/appraise/endorsement.ts"
import { type Certificate, calledIn, fingerprintOf, readCertificate } from "../attestation/tcg/certificate.ts"
import { isAuthority, mayBeUsed } from "../attestation/tcg/ek-certificate.ts"
import { leadsTo } from "../attestation/tcg/ek-chain.ts"
import { makerOf } from "../attestation/tcg/makers.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { plainLine } from "../attestation/wire/text.ts"
import { admittedIn } from "./endorse.ts"
import type { AdmittedCertificate, Trust } from "./trust.ts"

/** `why` continues a sentence that begins with the certificate. */
export type Admission =
  | { readonly kind: "admitted" | "known"; readonly certificate: AdmittedCertificate }
  | { readonly kind: "refused"; readonly fingerprint: string | null; readonly subject: string; readonly why: string }

/** Admits the certificate whose DER is `bytes`, under a person's name where one is needed and given. */
export async function admitCertificate(
  trust: Trust,
  bytes: Uint8Array,
  approver: Decision | "nobody",
  now: number,
): Promise<Admission> {
  const certificate = authorityIn(bytes)
  if (typeof certificate === "string") return { kind: "refused", fingerprint: null, subject: "", why: certificate }
  const fingerprint = fingerprintOf(certificate)
  const rows = await trust.admittedCertificates()
  const known = rows.find(each => each.fingerprint === fingerprint)
  if (known) return { kind: "known", certificate: known }
  const placed = placeOf(certificate, rows, approver, now)
  if (typeof placed === "string")
    return { kind: "refused", fingerprint, subject: plainLine(calledIn(certificate.subject), 128), why: placed }
  const admitted = { ...placed, fingerprint, certificate: certificate.bytes, at: now }
  const added = await trust.admitCertificate(admitted)
  return { kind: added ? "admitted" : "known", certificate: admitted }
}

/** The authority's certificate that `bytes` are, or why they are none. Every part that a chain looks at is read once, here. */
function authorityIn(bytes: Uint8Array): Certificate | string {
  try {
    const certificate = readCertificate(bytes)
    const called = plainLine(calledIn(certificate.subject), 128)
    const may = isAuthority(certificate) && mayBeUsed(certificate, "keyCertSign")
    return may ? certificate : `of "${called}" is no authority's`
  } catch (error) {
    if (error instanceof Malformed) return `cannot be read: ${error.message}`
    throw error
  }
}

type Place = Pick<AdmittedCertificate, "role" | "maker" | "approval">

/** As what it is admitted, or why not. */
function placeOf(
  certificate: Certificate,
  rows: readonly AdmittedCertificate[],
  approver: Decision | "nobody",
  now: number,
): Place | string {
  const listed = makerOf(fingerprintOf(certificate))
  if (listed) return { role: "root", maker: listed.maker, approval: "listed" }
  const led = leadsTo(certificate, admittedIn(rows), now)
  if (led.kind === "anchored") {
    const root = rows.find(each => each.fingerprint === fingerprintOf(led.root))
    if (root) return { role: "intermediate", maker: root.maker, approval: root.approval }
  }
  if (approver !== "nobody")
    return { role: "root", maker: plainLine(calledIn(certificate.subject), 128), approval: approver }
  return `is no listed maker's root, and ${led.kind === "unanchored" ? led.why : "its root is gone"}`
}
