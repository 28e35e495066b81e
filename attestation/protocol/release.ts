/**
 * How does a secret travel to one machine? Sealed with AES-256-GCM under a key that is used once, which TPM2_MakeCredential wraps for that
 * machine's EK and AK; and bound to machine, name and the evidence that it is released for. When it may travel: `collector/release.ts`.
 */
import { createCipheriv, createDecipheriv } from "node:crypto"
import { z } from "zod"
import { Malformed } from "../wire/codec.ts"
import { writeJson } from "../wire/json.ts"

/** The most bytes of one secret. */
export const secretLimit = 4096
/** AES-256-GCM (NIST SP 800-38D): bytes of its key, of the initialisation vector before the ciphertext, and of the tag after it. */
export const releaseSizes = { key: 32, iv: 12, tag: 16 } as const
/** The most bytes of a sealed secret. */
export const sealedLimit = releaseSizes.iv + secretLimit + releaseSizes.tag

/** What people call a secret. */
export const secretName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a name of letters, digits, dots, dashes and underscores")

/** To whom (Name of the EK, hex), what, and for which evidence (its digest, hex). */
export type Release = { readonly attester: string; readonly secret: string; readonly evidence: string }

/** What is authenticated beside the secret: one line of JSON in this order. */
export const releaseContext = ({ attester, secret, evidence }: Release): Uint8Array =>
  writeJson({ release: "assay.release.v1", attester, secret, evidence })

/** `secret` sealed: initialisation vector, ciphertext, tag. `key` and `iv` are of {@link releaseSizes} and are used once. */
export function sealSecret(secret: Uint8Array, key: Uint8Array, iv: Uint8Array, release: Release): Uint8Array {
  const cipher = createCipheriv("aes-256-gcm", key, iv, { authTagLength: releaseSizes.tag })
  cipher.setAAD(releaseContext(release))
  return new Uint8Array(Buffer.concat([iv, cipher.update(secret), cipher.final(), cipher.getAuthTag()]))
}

/** The secret in `sealed`. Throws Malformed for another key, another release, or a bit that was altered. */
export function openSecret(sealed: Uint8Array, key: Uint8Array, release: Release): Uint8Array {
  const { iv, tag } = releaseSizes
  if (key.length !== releaseSizes.key) throw new Malformed("the key of a sealed secret has another length")
  if (sealed.length < iv + tag || sealed.length > sealedLimit) throw new Malformed("a sealed secret has another length")
  const decipher = createDecipheriv("aes-256-gcm", key, sealed.subarray(0, iv), { authTagLength: tag })
  decipher.setAAD(releaseContext(release))
  decipher.setAuthTag(sealed.subarray(-tag))
  const opened = decipher.update(sealed.subarray(iv, -tag))
  try {
    return new Uint8Array(Buffer.concat([opened, decipher.final()]))
  } catch {
    throw new Malformed("the secret was sealed under another key, for another release, or altered")
  }
}
