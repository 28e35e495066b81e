/**
 * Who vouches for the EK of an attester: its maker, a person, nobody? Decided once, when it enrols, from what is admitted then; a
 * root that is withdrawn later vouches for nobody. How certificates are admitted: `roots.ts`.
 */
import type { Endorsement } from "../attestation/appraise/endorsement.ts"
import type { Identity } from "../attestation/protocol/message.ts"
import { type Certificate, fingerprintOf, readCertificate } from "../attestation/tcg/certificate.ts"
import { readEkCertificate, whyNotEndorsing } from "../attestation/tcg/ek-certificate.ts"
import { type Admitted, leadsTo } from "../attestation/tcg/ek-chain.ts"
import { readPublic } from "../attestation/tcg/public.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { fromBase64, plainLine } from "../attestation/wire/text.ts"
import type { Invitation, Store } from "./store.ts"
import type { AdmittedCertificate, Trust } from "./trust.ts"

/** Who vouches for the EK of `identity`, at `now`. A person who accepted it by name goes before any certificate. */
export async function endorse(
  store: Store,
  identity: Identity,
  { accept }: Pick<Invitation, "accept">,
  now: number,
): Promise<Endorsement> {
  if (accept !== null) return { kind: "accepted", by: accept.by, reason: accept.reason }
  if (identity.ekCertificate === null) return { kind: "unendorsed" }
  try {
    const certificate = readEkCertificate(fromBase64(identity.ekCertificate))
    const faults = whyNotEndorsing(certificate, readPublic(fromBase64(identity.ekPublic)))
    if (faults.length > 0) return unanchored(faults.join(" and "))
    return byRoot(certificate, await store.admittedCertificates(), now)
  } catch (error) {
    if (error instanceof Malformed) return unanchored(`cannot be read: ${error.message}`)
    throw error
  }
}

const unanchored = (why: string): Endorsement => ({ kind: "unanchored", why: plainLine(why, 512) })

function byRoot(certificate: Certificate, rows: readonly AdmittedCertificate[], now: number): Endorsement {
  const led = leadsTo(certificate, admittedIn(rows), now)
  if (led.kind === "unanchored") return unanchored(led.why)
  const root = fingerprintOf(led.root)
  const row = rows.find(each => each.fingerprint === root)
  if (!row) throw new Error("a chain ended in a root that is not admitted")
  return { kind: "endorsed", maker: row.maker, root, approval: row.approval }
}

/** The rows as certificates, by role. */
export function admittedIn(rows: readonly AdmittedCertificate[]): Admitted {
  const of = (role: AdmittedCertificate["role"]): Certificate[] =>
    rows.filter(each => each.role === role).map(each => readCertificate(each.certificate))
  return { roots: of("root"), intermediates: of("intermediate") }
}

/** The endorsement as it counts now: a withdrawn root took its word back. */
export async function inForce(trust: Trust, endorsement: Endorsement): Promise<Endorsement> {
  if (endorsement.kind !== "endorsed") return endorsement
  const withdrawn = await trust.withdrawal(endorsement.root)
  if (!withdrawn) return endorsement
  return unanchored(`leads to a root of ${endorsement.maker} that ${withdrawn.by} withdrew: ${withdrawn.reason}`)
}
