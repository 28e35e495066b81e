/**
 * What does an X.509 certificate say (RFC 5280)? Read as far as a chain of TPM makers needs, from the bytes as they came, and
 * leniently: makers' encodings are not always DER. Whether it is an EK's: `ek-certificate.ts`; to whom it leads: `ek-chain.ts`.
 */
import { createHash, createPublicKey, type KeyObject, verify } from "node:crypto"
import { Malformed } from "../wire/codec.ts"
import { toHex } from "../wire/text.ts"
import { firstPiece, type Piece, pieces, tagged, tags } from "./der.ts"

/** The most bytes of a certificate. */
export const certificateLimit = 8192
const extensionsMost = 32

type Extension = { readonly critical: boolean; readonly value: Uint8Array }

/** A certificate. Names are their ASN.1 bytes, times milliseconds since 1970, extensions by the hex of their OID. */
export type Certificate = {
  readonly bytes: Uint8Array
  readonly signed: Uint8Array
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  readonly notBefore: number
  readonly notAfter: number
  readonly key: KeyObject
  readonly extensions: ReadonlyMap<string, Extension>
  /** the hex of its OID, and its bytes */
  readonly algorithm: string
  readonly signature: Uint8Array
}

/** The certificate that `bytes` are, without a byte more. Throws Malformed. */
export function readCertificate(bytes: Uint8Array): Certificate {
  if (bytes.length > certificateLimit) throw new Malformed(`a certificate has more than ${certificateLimit} bytes`)
  const outer = tagged(firstPiece(bytes), tags.sequence, "beginning")
  if (outer.bytes.length !== bytes.length) throw new Malformed("bytes follow the certificate")
  const [first, algorithm, signature] = pieces(outer.content, 3)
  const signed = tagged(first, tags.sequence, "signed part")
  const fields = pieces(signed.content, 10)
  const [, inner, issuer, validity, subject, key, ...rest] = fields[0]?.tag === 0xa0 ? fields.slice(1) : fields
  const used = algorithmOf(algorithm)
  if (algorithmOf(inner) !== used) throw new Malformed("the certificate names two signature algorithms")
  return {
    bytes,
    signed: signed.bytes,
    issuer: tagged(issuer, tags.sequence, "issuer").bytes,
    subject: tagged(subject, tags.sequence, "subject").bytes,
    ...validityOf(tagged(validity, tags.sequence, "validity")),
    key: keyIn(tagged(key, tags.sequence, "key")),
    extensions: extensionsOf(rest.find(({ tag }) => tag === 0xa3)),
    algorithm: used,
    signature: bitsOf(tagged(signature, tags.bitString, "signature")),
  }
}

const algorithmOf = (piece: Piece | undefined): string =>
  toHex(tagged(pieces(tagged(piece, tags.sequence, "algorithm").content, 2)[0], tags.oid, "algorithm").content)

/** A BIT STRING of whole bytes. */
function bitsOf({ content }: Piece): Uint8Array {
  if (content[0] !== 0) throw new Malformed("a bit string is not of whole bytes")
  return content.subarray(1)
}

function validityOf({ content }: Piece): { notBefore: number; notAfter: number } {
  const [from, to] = pieces(content, 2)
  return { notBefore: timeOf(from), notAfter: timeOf(to) }
}

/** RFC 5280, 4.1.2.5: two digits of a year are of 1950 to 2049. */
function timeOf(piece: Piece | undefined): number {
  const text = Buffer.from(piece?.content ?? []).toString("latin1")
  const short = piece?.tag === tags.utcTime
  const found = (short ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/).exec(
    text,
  )
  if (!found || !(short || piece?.tag === tags.generalizedTime))
    throw new Malformed("a time of the certificate is none")
  const [year = 0, month = 0, day = 0, hours = 0, minutes = 0, seconds = 0] = found.slice(1).map(Number)
  return Date.UTC(short ? year + (year < 50 ? 2000 : 1900) : year, month - 1, day, hours, minutes, seconds)
}

const oaep = "2a864886f70d010107"

/** Some makers say id-RSAES-OAEP where OpenSSL knows only rsaEncryption: the key in it is the same (EK profile 2.5, 3.2.8). */
function keyIn(info: Piece): KeyObject {
  const [algorithm, key] = pieces(info.content, 2)
  try {
    if (algorithmOf(algorithm) !== oaep)
      return createPublicKey({ key: Buffer.from(info.bytes), format: "der", type: "spki" })
    const bits = bitsOf(tagged(key, tags.bitString, "key"))
    return createPublicKey({ key: Buffer.from(bits), format: "der", type: "pkcs1" })
  } catch {
    throw new Malformed("the certificate holds no key that can be used")
  }
}

function extensionsOf(piece: Piece | undefined): ReadonlyMap<string, Extension> {
  const found = new Map<string, Extension>()
  if (!piece) return found
  for (const each of pieces(tagged(firstPiece(piece.content), tags.sequence, "extensions").content, extensionsMost)) {
    const parts = pieces(tagged(each, tags.sequence, "extension").content, 3)
    const oid = toHex(tagged(parts[0], tags.oid, "extension").content)
    if (found.has(oid)) throw new Malformed(`the certificate has extension ${oid} twice`)
    const critical = parts.length === 3 && (tagged(parts[1], tags.boolean, "extension").content[0] ?? 0) !== 0
    found.set(oid, { critical, value: tagged(parts.at(-1), tags.octetString, "extension").content })
  }
  return found
}

/** Which hash and kind of key a signature algorithm uses. SHA-1 is not among them. */
const algorithms: Readonly<Record<string, { readonly hash: string; readonly key: "rsa" | "ec" }>> = {
  "2a864886f70d01010b": { hash: "sha256", key: "rsa" },
  "2a864886f70d01010c": { hash: "sha384", key: "rsa" },
  "2a864886f70d01010d": { hash: "sha512", key: "rsa" },
  "2a8648ce3d040302": { hash: "sha256", key: "ec" },
  "2a8648ce3d040303": { hash: "sha384", key: "ec" },
  "2a8648ce3d040304": { hash: "sha512", key: "ec" },
}

/** Why `issuer`'s key did not sign `certificate`, or undefined when it did. Names, times and purposes are not looked at. */
export function whyNotSigned(certificate: Certificate, issuer: Certificate): string | undefined {
  const used = algorithms[certificate.algorithm]
  if (!used) return "is signed with SHA-1 or another algorithm that is not accepted"
  if (issuer.key.asymmetricKeyType !== used.key) return "is signed with another kind of key than its issuer's"
  const fits = verify(used.hash, certificate.signed, issuer.key, certificate.signature)
  return fits ? undefined : "is not signed by its issuer"
}

/** SHA-256 of the certificate, in hex, as `openssl x509 -fingerprint -sha256` shows it without colons. */
export const fingerprintOf = ({ bytes }: Certificate): string => createHash("sha256").update(bytes).digest("hex")

const commonName = "550403"

/** What a name calls itself: its common name, or its bytes in hex where it has none. Anybody may have written it. */
export function calledIn(name: Uint8Array): string {
  const parts = pieces(firstPiece(name).content, 32).flatMap(set => pieces(set.content, 16))
  const own = parts.map(each => pieces(each.content, 2)).find(([oid]) => oid && toHex(oid.content) === commonName)
  return own?.[1] ? Buffer.from(own[1].content).toString("utf8") : toHex(name)
}
