/**
 * How are bytes kept from whoever lacks a key, and bound to what they are for? AES-256-GCM (NIST SP 800-38D), laid out as initialisation
 * vector, ciphertext, tag; the context is authenticated beside them. What is sealed, and under which key, is the caller's.
 */
import { createCipheriv, createDecipheriv } from "node:crypto"

/** Bytes of the key, of the initialisation vector before the ciphertext, and of the tag after it. */
export const sealSizes = { key: 32, iv: 12, tag: 16 } as const
const algorithm = "aes-256-gcm"
const options = { authTagLength: sealSizes.tag } as const

/** `key` and `iv` are of {@link sealSizes}; no two seals under one key have the same `iv`. */
export function sealWith(key: Uint8Array, iv: Uint8Array, context: Uint8Array, bytes: Uint8Array): Uint8Array {
  const cipher = createCipheriv(algorithm, key, iv, options).setAAD(context)
  return new Uint8Array(Buffer.concat([iv, cipher.update(bytes), cipher.final(), cipher.getAuthTag()]))
}

/** What was sealed, or undefined for another key, another context, a bit that was altered, and what is no seal at all. */
export function unsealWith(key: Uint8Array, context: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  const { iv, tag } = sealSizes
  try {
    const decipher = createDecipheriv(algorithm, key, sealed.subarray(0, iv), options).setAAD(context)
    decipher.setAuthTag(sealed.subarray(-tag))
    return new Uint8Array(Buffer.concat([decipher.update(sealed.subarray(iv, -tag)), decipher.final()]))
  } catch {
    return undefined
  }
}
