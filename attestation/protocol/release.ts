/**
 * How does a secret travel to one machine? Sealed with AES-256-GCM under a key that is used once, which TPM2_MakeCredential wraps for that
 * machine's EK and AK; and bound to machine, name and the evidence that it is released for. When it may travel: `collector/release.ts`.
 */
import { z } from "zod"
import { Malformed } from "../wire/codec.ts"
import { writeJson } from "../wire/json.ts"
import { sealSizes, sealWith, unsealWith } from "../wire/sealed.ts"

/** The most bytes of one secret. */
export const secretLimit = 4096
/** The most bytes of a sealed secret. */
export const sealedLimit = sealSizes.iv + secretLimit + sealSizes.tag

/** What people call a secret. */
export const secretName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a name of letters, digits, dots, dashes and underscores")

/** To whom (Name of the EK, hex), what, and for which evidence (its digest, hex). */
export type Release = { readonly attester: string; readonly secret: string; readonly evidence: string }

/** What is authenticated beside the secret: one line of JSON in this order. */
export const releaseContext = ({ attester, secret, evidence }: Release): Uint8Array =>
  writeJson({ release: "assay.release.v1", attester, secret, evidence })

/** `secret` sealed. `key` and `iv` are of {@link sealSizes} and are used once. */
export const sealSecret = (secret: Uint8Array, key: Uint8Array, iv: Uint8Array, release: Release): Uint8Array =>
  sealWith(key, iv, releaseContext(release), secret)

/** The secret in `sealed`. Throws Malformed for another key, another release, or a bit that was altered. */
export function openSecret(sealed: Uint8Array, key: Uint8Array, release: Release): Uint8Array {
  if (key.length !== sealSizes.key) throw new Malformed("the key of a sealed secret has another length")
  if (sealed.length < sealSizes.iv + sealSizes.tag || sealed.length > sealedLimit)
    throw new Malformed("a sealed secret has another length")
  const opened = unsealWith(key, releaseContext(release), sealed)
  if (!opened) throw new Malformed("the secret was sealed under another key, for another release, or altered")
  return opened
}
