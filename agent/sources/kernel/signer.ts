/**
 * Who does a module's file say signed it? The issuer and serial number, or the key, in the PKCS #7 signature at its end (kernel,
 * Documentation/admin-guide/module-signing.rst; RFC 5652). Whether it is theirs is not checked here: the kernel does, where
 * signatures are enforced.
 */
import { gunzipSync, zstdDecompressSync } from "node:zlib"
import { firstPiece, type Piece, pieces, tags } from "../../../attestation/tcg/der.ts"
import { Malformed } from "../../../attestation/wire/codec.ts"
import { escaped } from "../../escape.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"

const magic = Buffer.from("~Module signature appended~\n")
/** struct module_signature: algorithm, hash, kind of id, two lengths, three bytes of nothing, and the length of what is before it. */
const trailer = 12
const pkcs7 = 2
/** A signature with its certificates takes a few kilobytes. */
const tailLimit = 1 << 16
const compressedLimit = 1 << 26
const unpackedLimit = 1 << 28
const skid = 0x80
const commonName = "550403"

/** The signer of the module in this file, `none` where it is not signed. */
export async function signerOf(host: Host, path: string): Promise<Found<string>> {
  const tail = await tailOf(host, path)
  if (tail.state !== "present") return tail
  try {
    return { state: "present", value: signerIn(tail.value) }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    return { state: "unreadable", problem: error.message }
  }
}

/** What a module's last bytes say. Throws Malformed. */
export function signerIn(tail: Uint8Array): string {
  const bytes = Buffer.from(tail)
  const at = bytes.length - magic.length - trailer
  if (at < 0 || !bytes.subarray(-magic.length).equals(magic)) return "none"
  const size = bytes.readUInt32BE(at + 8)
  if (bytes[at + 2] !== pkcs7) throw new Malformed("a signature of another kind than PKCS #7")
  if (size > at) throw new Malformed(`a signature of ${size} bytes, of which ${at} are there`)
  return signerInfo(new Uint8Array(bytes.subarray(at - size, at)))
}

/** ContentInfo, SignedData, its last member signerInfos, and of the first of these the signer's identifier. */
function signerInfo(signature: Uint8Array): string {
  const [, wrapped] = pieces(inside(firstPiece(signature), tags.sequence), 2)
  const data = firstPiece(inside(wrapped, 0xa0))
  const infos = pieces(inside(data, tags.sequence), 8).at(-1)
  const [, sid] = pieces(inside(firstPiece(inside(infos, tags.set)), tags.sequence), 8)
  if (sid?.tag === skid) return `key:${hex(sid.content)}`
  const [issuer, serial] = pieces(inside(sid, tags.sequence), 2)
  return `${JSON.stringify(escaped(nameIn(issuer), 256))} serial:${hex(inside(serial, tags.integer))}`
}

function inside(piece: Piece | undefined, tag: number): Uint8Array {
  if (piece?.tag !== tag) throw new Malformed("the signature is no PKCS #7 of a module")
  return piece.content
}

/** The common name of an issuer, or all of the name in hex. */
function nameIn(issuer: Piece | undefined): Uint8Array | string {
  const content = inside(issuer, tags.sequence)
  for (const set of pieces(content, 16))
    for (const attribute of pieces(inside(set, tags.set), 4)) {
      const [type, value] = pieces(inside(attribute, tags.sequence), 2)
      if (type && value && hex(type.content) === commonName) return value.content
    }
  return hex(content)
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

/** The end of the module as it is without compression. */
async function tailOf(host: Host, path: string): Promise<Found<Uint8Array>> {
  const unpack = unpackers.find(([ending]) => path.endsWith(ending))?.[1]
  if (unpack === undefined) {
    const status = await host.stat(path)
    if (status.state !== "present") return status
    return host.readPart(path, Math.max(status.value.size - tailLimit, 0), tailLimit)
  }
  const packed = await host.readBytes(path, compressedLimit)
  return packed.state === "present" ? unpack(packed.value) : packed
}

const options = { maxOutputLength: unpackedLimit }
const tried =
  (unpack: (bytes: Uint8Array) => Uint8Array) =>
  (bytes: Uint8Array): Found<Uint8Array> => {
    try {
      return { state: "present", value: unpack(bytes).subarray(-tailLimit) }
    } catch {
      return { state: "unreadable", problem: "it cannot be unpacked" }
    }
  }
const unpackers: readonly (readonly [string, (bytes: Uint8Array) => Found<Uint8Array>])[] = [
  [".zst", tried(bytes => zstdDecompressSync(bytes, options))],
  [".gz", tried(bytes => gunzipSync(bytes, options))],
  [".xz", () => ({ state: "unreadable", problem: "it is compressed with xz" })],
]
