/**
 * Is this the certificate of that EK (TCG EK Credential Profile 2.5, 3.2)? It stands in NV as its maker put it there: behind a
 * head, padded, or as it should. Whose word it is: `ek-chain.ts`.
 */
import { Malformed } from "../wire/codec.ts"
import { toHex } from "../wire/text.ts"
import { type Certificate, readCertificate } from "./certificate.ts"
import { firstPiece, pieces, tagged, tags } from "./der.ts"
import { keyOf, type PublicArea } from "./public.ts"

/** TCG PC Client Specific Implementation Specification 1.21, 7.3.2: TCG_TAG_PCCLIENT_STORED_CERT, a full certificate, its size, TCG_TAG_PCCLIENT_FULL_CERT. */
const head = /^100100....1002/
const headBytes = 7

/** The certificate in `stored`, an NV area or a file, without the seven bytes before it and the padding after it. Throws Malformed. */
export function readEkCertificate(stored: Uint8Array): Certificate {
  const inner = head.test(toHex(stored.subarray(0, headBytes))) ? stored.subarray(headBytes) : stored
  const { bytes } = firstPiece(inner)
  const padding = inner.subarray(bytes.length)
  const [filler] = padding
  if (filler !== undefined && (![0x00, 0xff].includes(filler) || padding.some(byte => byte !== filler)))
    throw new Malformed("what follows the certificate is no padding")
  return readCertificate(bytes)
}

/** OIDs in hex. */
export const oids = {
  basicConstraints: "551d13",
  keyUsage: "551d0f",
  extendedKeyUsage: "551d25",
  /** tcg-kp-EKCertificate, 2.23.133.8.1 */
  endorsementKey: "6781050801",
} as const

/** Bits of KeyUsage (RFC 5280, 4.2.1.3), the first one first. */
export const usages = { keyEncipherment: 2, keyAgreement: 4, keyCertSign: 5 } as const

/** Why `certificate` is none of the EK with this public area; empty when it is. Who signed it is not looked at. */
export function whyNotEndorsing(certificate: Certificate, ek: PublicArea): string[] {
  const faults: string[] = []
  if (!certificate.key.equals(keyOf(ek))) faults.push("is for another key than the EK")
  if (isAuthority(certificate)) faults.push("is an authority's")
  const purposes = purposesOf(certificate)
  if (purposes && !purposes.includes(oids.endorsementKey)) faults.push("is for another purpose than an EK")
  const wanted = ek.kind === "rsa" ? "keyEncipherment" : "keyAgreement"
  if (!mayBeUsed(certificate, wanted)) faults.push(`does not allow ${wanted}`)
  if (certificate.extensions.has(oids.keyUsage) && mayBeUsed(certificate, "keyCertSign"))
    faults.push("allows its key to sign certificates")
  return faults
}

/** What it may be used for, as OIDs in hex, or undefined where it does not say. */
function purposesOf({ extensions }: Certificate): readonly string[] | undefined {
  const value = extensions.get(oids.extendedKeyUsage)?.value
  return (
    value && pieces(tagged(firstPiece(value), tags.sequence, "purposes").content, 16).map(each => toHex(each.content))
  )
}

/** Whether it allows `usage`, as one that says nothing does. */
export function mayBeUsed({ extensions }: Certificate, usage: keyof typeof usages): boolean {
  const value = extensions.get(oids.keyUsage)?.value
  if (!value) return true
  const { content } = tagged(firstPiece(value), tags.bitString, "usage")
  return ((content[1] ?? 0) & (0x80 >> usages[usage])) !== 0
}

/** Whether it says that it is an authority's. */
export const isAuthority = (certificate: Certificate): boolean => constraintsOf(certificate) !== undefined

/** How many authorities may stand below this one, or undefined where it is none. */
export function constraintsOf({ extensions }: Certificate): number | undefined {
  const value = extensions.get(oids.basicConstraints)?.value
  if (!value) return undefined
  const [authority, below] = pieces(tagged(firstPiece(value), tags.sequence, "constraints").content, 2)
  if (authority?.tag !== tags.boolean || (authority.content[0] ?? 0) === 0) return undefined
  if (!below) return Infinity
  return tagged(below, tags.integer, "constraints").content.reduce((n, byte) => n * 256 + byte, 0)
}
