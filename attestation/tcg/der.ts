/**
 * How do ASN.1's tags and lengths become pieces (ITU-T X.690)? One level at a time, so that nothing recurses. Longer lengths than
 * DER allows are read, since TPM makers' certificates have them; what a piece means is the business of `certificate.ts`.
 */
import { Malformed } from "../wire/codec.ts"

/** One tag with its content; `bytes` is all of it, head included. Views of what was given. */
export type Piece = { readonly tag: number; readonly content: Uint8Array; readonly bytes: Uint8Array }

/** The tags that certificates are made of. */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const

/** The most bytes of a length, and so 16 MiB of content. */
const lengthBytes = 3

/** The piece at the beginning of `bytes`; what follows it stays. Throws Malformed. */
export function firstPiece(bytes: Uint8Array): Piece {
  const [tag, first] = bytes
  if (tag === undefined || first === undefined) throw new Malformed("ASN.1 ends where a tag is due")
  if ((tag & 0x1f) === 0x1f) throw new Malformed("ASN.1 tags of several bytes are not read")
  const more = first < 0x80 ? 0 : first & 0x7f
  if (first === 0x80 || more > lengthBytes) throw new Malformed("an ASN.1 length is indefinite or too long")
  if (bytes.length < 2 + more) throw new Malformed("ASN.1 ends within a length")
  const length = more === 0 ? first : bytes.subarray(2, 2 + more).reduce((n, byte) => n * 256 + byte, 0)
  const end = 2 + more + length
  if (end > bytes.length) throw new Malformed(`ASN.1 wants ${end} bytes, ${bytes.length} are there`)
  return { tag, content: bytes.subarray(2 + more, end), bytes: bytes.subarray(0, end) }
}

/** The pieces that `content` consists of, at most `max`. Throws Malformed. */
export function pieces(content: Uint8Array, max: number): Piece[] {
  const found: Piece[] = []
  for (let rest = content; rest.length > 0; rest = rest.subarray(found.at(-1)?.bytes.length ?? 0)) {
    if (found.length === max) throw new Malformed(`more than ${max} pieces of ASN.1`)
    found.push(firstPiece(rest))
  }
  return found
}

/** `piece`, if it has this tag. Throws Malformed. */
export function tagged(piece: Piece | undefined, tag: number, what: string): Piece {
  if (piece?.tag === tag) return piece
  throw new Malformed(`the certificate's ${what} is not where it belongs`)
}
