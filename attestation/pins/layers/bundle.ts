/**
 * What does a Sigstore bundle hold (sigstore/protobuf-specs, `sigstore_bundle.proto`, v0.1 to v0.3)? OpenSSF Model Signing puts its
 * signatures into the same form. Everything here is as its writer says; what is to be believed of it: `signature.ts`.
 */
import { createPublicKey, type KeyObject, X509Certificate } from "node:crypto"
import { z } from "zod"
import { Malformed } from "../../wire/codec.ts"
import { certificateLimit } from "../../tcg/certificate.ts"
import { preAuthentication } from "../../protocol/dsse.ts"
import { readForeign } from "./foreign.ts"

const bytes = (max: number) =>
  z
    .base64()
    .max(Math.ceil(max / 3) * 4)
    .transform(text => new Uint8Array(Buffer.from(text, "base64")))

const certificate = z.object({ rawBytes: bytes(certificateLimit) })
const bundle = z.object({
  mediaType: z.string().regex(/^application\/vnd\.dev\.sigstore\.bundle/, "not a Sigstore bundle"),
  verificationMaterial: z.object({
    publicKey: z.object({ hint: z.string().max(256).optional(), rawBytes: bytes(8192).optional() }).optional(),
    x509CertificateChain: z.object({ certificates: z.array(certificate).min(1).max(8) }).optional(),
    certificate: certificate.optional(),
    tlogEntries: z.array(z.unknown()).max(16).nullish(),
  }),
  dsseEnvelope: z
    .object({
      payloadType: z.string().max(256),
      payload: bytes(48 << 20),
      signatures: z.tuple([z.object({ sig: bytes(1024) })], "not one signature"),
    })
    .optional(),
  messageSignature: z
    .object({
      messageDigest: z.object({ algorithm: z.literal("SHA2_256"), digest: bytes(32) }),
      signature: bytes(1024),
    })
    .optional(),
})

/** By what the signature is to be checked: a key that the bundle holds or only hints at, or certificates, the signer's first. */
export type Material =
  | { readonly kind: "key"; readonly hint: string; readonly key: KeyObject | "none" }
  | { readonly kind: "certificates"; readonly chain: readonly Uint8Array[]; readonly logged: boolean }

/** A statement with what its signature is over, or the SHA-256 in hex of one file whose bytes are signed themselves. */
export type Content =
  | {
      readonly kind: "statement"
      readonly payload: Uint8Array
      readonly payloadType: string
      readonly signed: Uint8Array
    }
  | { readonly kind: "file"; readonly sha256: string }

export type Bundle = { readonly material: Material; readonly content: Content; readonly signature: Uint8Array }

/** The bundle in `untrusted`. Throws {@link Malformed}. */
export function readBundle(untrusted: Uint8Array): Bundle {
  const { verificationMaterial, dsseEnvelope, messageSignature } = readForeign(bundle, untrusted, "the bundle")
  const material = materialOf(verificationMaterial)
  if (dsseEnvelope && !messageSignature) {
    const { payload, payloadType, signatures } = dsseEnvelope
    const signed = preAuthentication(payloadType, payload)
    return { material, content: { kind: "statement", payload, payloadType, signed }, signature: signatures[0].sig }
  }
  if (!messageSignature || dsseEnvelope) throw new Malformed("the bundle holds no signature, or two")
  const sha256 = Buffer.from(messageSignature.messageDigest.digest).toString("hex")
  return { material, content: { kind: "file", sha256 }, signature: messageSignature.signature }
}

function materialOf(said: z.infer<typeof bundle>["verificationMaterial"]): Material {
  const { publicKey, x509CertificateChain, certificate: single, tlogEntries } = said
  const logged = (tlogEntries ?? []).length > 0
  if (publicKey) {
    const key = publicKey.rawBytes ? keyIn(publicKey.rawBytes) : "none"
    return { kind: "key", hint: publicKey.hint ?? "", key }
  }
  const chain = single ? [single] : x509CertificateChain?.certificates
  if (!chain) throw new Malformed("the bundle says neither key nor certificate")
  return { kind: "certificates", chain: chain.map(({ rawBytes }) => rawBytes), logged }
}

/** PEM, as OpenSSF Model Signing writes it, or DER. */
function keyIn(raw: Uint8Array): KeyObject {
  const pem = Buffer.from(raw)
  try {
    if (pem.toString("latin1").startsWith("-----BEGIN")) return createPublicKey(pem)
    return createPublicKey({ key: pem, format: "der", type: "spki" })
  } catch {
    throw new Malformed("the bundle's public key cannot be read")
  }
}

/** The key of the signer's certificate, and the names that the certificate gives it. Throws {@link Malformed}. */
export function signerIn(raw: Uint8Array): { readonly key: KeyObject; readonly named: string } {
  try {
    const read = new X509Certificate(raw)
    return { key: read.publicKey, named: read.subjectAltName ?? read.subject }
  } catch {
    throw new Malformed("the signer's certificate cannot be read")
  }
}
