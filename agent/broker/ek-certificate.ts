/**
 * Which certificate does a person keep for a TPM that holds none? Firmware TPMs leave theirs on their maker's server: fetched once,
 * it lies in a file. It must be this EK's, or the broker does not start; whose word it is, the collector decides.
 */
import { whyNotEndorsing, readEkCertificate } from "../../attestation/tcg/ek-certificate.ts"
import { certificateLimit, type Certificate } from "../../attestation/tcg/certificate.ts"
import type { PublicArea } from "../../attestation/tcg/public.ts"
import { Malformed } from "../../attestation/wire/codec.ts"
import { LastingFault } from "./fault.ts"
import { readIfThere } from "./state.ts"

/** A certificate in a file, and the kind of EK that it is for. */
export type KeptCertificate = {
  readonly path: string
  readonly certificate: Certificate
  readonly kind: "rsa2048" | "p256" | "p384"
}

const hint = "set tpm.ek_certificate to a file with the certificate of this TPM's EK, in DER or PEM, or leave it out"

/** The certificate in the file at `path`; "" is no file. Throws LastingFault for one that is not there or is none. */
export async function certificateIn(path: string): Promise<KeptCertificate | "none"> {
  if (path === "") return "none"
  const bytes = await readIfThere(path)
  if (!bytes) throw new LastingFault(`there is no file ${path}`, hint)
  if (bytes.length > 4 * certificateLimit) throw new LastingFault(`${path} is too large for a certificate`, hint)
  try {
    const certificate = readEkCertificate(derOf(bytes))
    return { path, certificate, kind: kindOf(certificate) }
  } catch (error) {
    if (!(error instanceof Malformed)) throw error
    throw new LastingFault(`${path} holds no EK certificate: ${error.message}`, hint)
  }
}

const pem = /-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END/

function derOf(bytes: Uint8Array): Uint8Array {
  const [, base64] = pem.exec(Buffer.from(bytes).toString("latin1")) ?? []
  return base64 === undefined ? bytes : new Uint8Array(Buffer.from(base64, "base64"))
}

function kindOf({ key }: Certificate): KeptCertificate["kind"] {
  const { modulusLength, namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType === "rsa" && modulusLength === 2048) return "rsa2048"
  if (namedCurve === "prime256v1") return "p256"
  if (namedCurve === "secp384r1") return "p384"
  throw new Malformed("its key is neither RSA-2048, P-256 nor P-384")
}

/** The certificate's bytes. Throws LastingFault when it is not the one of `ek`. */
export function bytesFor({ path, certificate }: KeptCertificate, ek: PublicArea): Uint8Array {
  const faults = whyNotEndorsing(certificate, ek)
  if (faults.length === 0) return certificate.bytes
  throw new LastingFault(`the certificate in ${path} ${faults.join(" and ")}`, hint)
}
