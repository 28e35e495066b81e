/**
 * What does a measured UEFI variable hold? UEFI_VARIABLE_DATA (Platform Firmware Profile, 10.2.6), and the signature
 * databases in it (UEFI, 32.4.1). Whether the event's digest is over it is asked in `content.ts`.
 */
import { hash, X509Certificate } from "node:crypto"
import { Malformed, Reader } from "../../wire/codec.ts"
import { plainLine, toHex } from "../../wire/text.ts"
import { le32, le64 } from "../little-endian.ts"

/** Vendors of variables, by GUID. */
export const vendors = {
  global: "8be4df61-93ca-11d2-aa0d-00e098032b8c",
  imageSecurity: "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
  shim: "605dab50-e046-4300-abb6-3dd810dd8b23",
} as const

export type Variable = { readonly vendor: string; readonly name: string; readonly data: Uint8Array }

const longestName = 1024

/** The variable in an event's data, whose end may hold bytes that no length counts (shim before 15.3). Throws Malformed. */
export function readVariable(bytes: Uint8Array): Variable {
  const from = new Reader(bytes)
  const vendor = readGuid(from)
  const nameLength = le64.read(from)
  const dataLength = le64.read(from)
  if (nameLength > longestName) throw new Malformed(`a variable's name of ${nameLength} characters`)
  const name = ucs2(from.take(2 * Number(nameLength)))
  if (dataLength > BigInt(from.left)) throw new Malformed(`a variable of ${dataLength} bytes in ${from.left}`)
  return { vendor, name, data: from.take(Number(dataLength)) }
}

/** EFI_GUID as text: its first three parts are numbers, least significant byte first. */
export function readGuid(from: Reader): string {
  const hex = toHex(from.take(16))
  const byte = (at: number): string => hex.slice(2 * at, 2 * at + 2)
  const numbers = `${byte(3)}${byte(2)}${byte(1)}${byte(0)}-${byte(5)}${byte(4)}-${byte(7)}${byte(6)}`
  return `${numbers}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

/** UCS-2 up to its first NUL, as a line that can be shown. */
export function ucs2(bytes: Uint8Array): string {
  const even = Buffer.from(bytes.subarray(0, bytes.length - (bytes.length % 2)))
  return plainLine((even.toString("utf16le").split("\0")[0] ?? "").toWellFormed(), 2 * longestName)
}

/** What a signature database admits or forbids: a hash of an image, or whatever a certificate has signed. */
export type Signature = {
  readonly owner: string
  readonly kind: "sha256" | "x509" | `other ${string}`
  /** the hash itself, or SHA-256 of the certificate, in hex */
  readonly digest: string
  /** DER, where this is one; whom it names says {@link subjectOf} */
  readonly certificate: Uint8Array | undefined
}

const kinds: Readonly<Record<string, "sha256" | "x509">> = {
  "c1c41626-504c-4092-aca9-41f936934328": "sha256",
  "a5c059a1-94e4-4aa7-87b5-ab155c2bf072": "x509",
}
const mostSignatures = 20_000

/** EFI_SIGNATURE_LISTs, one after another. Throws Malformed. */
export function readSignatureLists(data: Uint8Array): Signature[] {
  const from = new Reader(data)
  const signatures: Signature[] = []
  while (from.left > 0) {
    for (const each of readSignatureList(from)) signatures.push(each)
    if (signatures.length > mostSignatures) throw new Malformed(`more than ${mostSignatures} signatures`)
  }
  return signatures
}

function readSignatureList(from: Reader): Signature[] {
  const type = readGuid(from)
  const listSize = le32.read(from)
  const headerSize = le32.read(from)
  const size = le32.read(from)
  if (size <= 16 || listSize < 28 + headerSize || (listSize - 28 - headerSize) % size !== 0)
    throw new Malformed(`a signature list of ${listSize} bytes, its header ${headerSize}, each signature ${size}`)
  const list = new Reader(from.take(listSize - 28).subarray(headerSize))
  const number = list.left / size
  if (number > mostSignatures) throw new Malformed(`more than ${mostSignatures} signatures`)
  return Array.from({ length: number }, () => readSignature(new Reader(list.take(size)), type))
}

function readSignature(from: Reader, type: string): Signature {
  const owner = readGuid(from)
  const content = from.take(from.left)
  const kind = kinds[type] ?? (`other ${type}` as const)
  if (kind === "sha256") return { owner, kind, digest: toHex(content), certificate: undefined }
  return { owner, kind, digest: hash("sha256", content), certificate: kind === "x509" ? content : undefined }
}

/** What verified an image: the hash of it, or SHA-256 of a certificate, in hex. */
export type Authority = {
  readonly owner: string | undefined
  readonly digest: string
  readonly certificate: Uint8Array | undefined
}

/** EFI_SIGNATURE_DATA as an authority, or a bare certificate, which is how shim logs its own. */
export function readAuthority(data: Uint8Array): Authority {
  if (isDer(data)) return { owner: undefined, digest: hash("sha256", data), certificate: data }
  const from = new Reader(data)
  const owner = readGuid(from)
  const content = from.take(from.left)
  if (content.length === 32) return { owner, digest: toHex(content), certificate: undefined }
  return { owner, digest: hash("sha256", content), certificate: isDer(content) ? content : undefined }
}

/** A sequence of 256 to 65,535 bytes, and nothing behind it: what a certificate is. */
const isDer = (bytes: Uint8Array): boolean =>
  bytes[0] === 0x30 && bytes[1] === 0x82 && 4 + 256 * (bytes[2] ?? 0) + (bytes[3] ?? 0) === bytes.length

/** A certificate's subject on one line, or undefined where the bytes are no certificate. */
export function subjectOf(der: Uint8Array): string | undefined {
  try {
    return plainLine(new X509Certificate(der).subject.split("\n").join(", "), 512)
  } catch {
    return undefined
  }
}
