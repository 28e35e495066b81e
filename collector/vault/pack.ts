/**
 * How is what hardly changes kept small? A signed envelope without its base64, compressed (zstd) against the last whole one of its
 * family. Unpacking gives the exact bytes, or fails. Which one is the base of which: `leaves.sqlite.ts`.
 */
import { constants, zstdCompressSync, zstdDecompressSync } from "node:zlib"
import { envelopeLimit, type Envelope, readEnvelope } from "../../attestation/protocol/dsse.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { writeJson } from "../../attestation/wire/json.ts"
import { fromBase64, fromHex, sameBytes, toBase64, toHex } from "../../attestation/wire/text.ts"

/** bytes as they came, or an envelope as its parts */
export const forms = ["plain", "envelope"] as const
export type Form = (typeof forms)[number]

/** What is kept: `bytes` is a zstd frame over the form, made with a base or without. */
export type Packed = { readonly form: Form; readonly bytes: Uint8Array }

/** Level 6: level 3 leaves a tenth more, and what is above gains little and takes long. */
const level = { [constants.ZSTD_c_compressionLevel]: 6 }

/** Packs `bytes`; `base` is whatever {@link unpacked} gave of the base, or empty. */
export function pack(bytes: Uint8Array, base: Uint8Array): Packed {
  const parts = taken(bytes)
  const form: Form = parts ? "envelope" : "plain"
  const dictionary = base.length > 0 ? { dictionary: base } : {}
  return { form, bytes: new Uint8Array(zstdCompressSync(parts ?? bytes, { params: level, ...dictionary })) }
}

/** The inside of what was packed, which the next one can be packed against. Throws where it was altered. */
export const unpacked = ({ bytes }: Packed, base: Uint8Array): Uint8Array =>
  new Uint8Array(
    zstdDecompressSync(bytes, { maxOutputLength: 1 << 26, ...(base.length > 0 ? { dictionary: base } : {}) }),
  )

/** The bytes that were packed, from their inside. */
export const whole = (form: Form, inside: Uint8Array): Uint8Array => (form === "plain" ? inside : assembled(inside))

/** Key id, signature, length of the type, type, payload: or undefined where that would not give the same bytes again. */
function taken(bytes: Uint8Array): Uint8Array | undefined {
  if (bytes.length > envelopeLimit) return undefined
  try {
    const { payloadType, payload, signatures } = readEnvelope(bytes)
    const [{ keyid, sig }] = signatures
    const type = Buffer.from(payloadType, "utf8")
    const parts = [fromHex(keyid), fromBase64(sig), Uint8Array.of(type.length), type, fromBase64(payload)]
    const inside = new Uint8Array(Buffer.concat(parts))
    return sameBytes(assembled(inside), bytes) ? inside : undefined
  } catch (error) {
    if (error instanceof Malformed) return undefined
    throw error
  }
}

function assembled(inside: Uint8Array): Uint8Array {
  const end = 97 + (inside[96] ?? 0)
  const envelope = {
    payloadType: Buffer.from(inside.subarray(97, end)).toString("utf8"),
    payload: toBase64(inside.subarray(end)),
    signatures: [{ keyid: toHex(inside.subarray(0, 32)), sig: toBase64(inside.subarray(32, 96)) }],
  } satisfies Record<keyof Envelope, unknown>
  return writeJson(envelope)
}
