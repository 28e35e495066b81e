/** What if a TPM signed something else? A key in software with the public area of a TPM's signs a quote anew after it was altered. */
import { generateKeyPairSync, type KeyObject, sign } from "node:crypto"
import { nameOf, readPublic } from "../attestation/tcg/public.ts"
import { signature as signatureCodec } from "../attestation/tcg/signature.ts"
import { encode } from "../attestation/wire/codec.ts"
import { fromBase64, toBase64, toHex } from "../attestation/wire/text.ts"
import type { Machine, Options } from "./evidence-maker.ts"

/** The attributes of an AK that tpm2-tools make: TPMA_OBJECT. */
export const usualAttributes = 0x00050472

/** A key that no TPM made. */
export type SoftwareAk = { readonly area: Uint8Array; readonly privateKey: KeyObject }

/** With the public area that a TPM's key would have beside that of `machine`. */
export function softwareAk(
  machine: Machine,
  attributes = usualAttributes,
  hash: "sha256" | "sha384" = "sha256",
): SoftwareAk {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const jwk = publicKey.export({ format: "jwk" })
  const area = Buffer.from(machine.keys.ak)
  area.writeUInt32BE(attributes, 4)
  area.writeUInt16BE(hash === "sha256" ? 0x000b : 0x000c, 14)
  const point = [jwk.x, jwk.y].map(each => Buffer.from(each ?? "", "base64url"))
  point[0]?.copy(area, area.length - 66)
  point[1]?.copy(area, area.length - 32)
  return { area: new Uint8Array(area), privateKey }
}

/** Evidence whose quote says what `alter` makes of it, signed by this key; the keys to expect are `{ ...keys, ak: area }`. */
export function quotedInSoftware(
  { area, privateKey }: SoftwareAk,
  alter: (attest: Uint8Array) => Uint8Array = same => same,
  hash: "sha256" | "sha512" = "sha256",
): Required<Pick<Options, "alterBody" | "alterPayload">> {
  return {
    alterBody: body => ({ ...body, ak: toHex(nameOf(readPublic(area))) }),
    alterPayload: payload => {
      const attest = alter(fromBase64(payload.quote.attest))
      const raw = sign(hash, attest, { key: privateKey, dsaEncoding: "ieee-p1363" })
      const signed = encode(signatureCodec, { kind: "ecdsa", hash, r: raw.subarray(0, 32), s: raw.subarray(32) })
      return { ...payload, quote: { ...payload.quote, attest: toBase64(attest), signature: toBase64(signed) } }
    },
  }
}
