/**
 * Whose key is at the other end of a TLS connection? The one that was pinned, one that it made its successor, or a stranger's. A
 * certificate is only a vessel here: names, dates and authorities in it say nothing, keys and signatures do.
 */
import { createHash, createPublicKey, type KeyObject, type X509Certificate } from "node:crypto"
import type { TLSSocket } from "node:tls"
import { sameBytes } from "../attestation/wire/text.ts"
import { channelLabel } from "../attestation/protocol/message.ts"

/** What is compared before a byte is sent: SHA-256 of a key's SubjectPublicKeyInfo in DER. */
export const pinOf = (key: KeyObject): Uint8Array =>
  new Uint8Array(
    createHash("sha256")
      .update(key.type === "private" ? spkiOf(createPublicKey(key)) : spkiOf(key))
      .digest(),
  )

const spkiOf = (key: KeyObject): Buffer => key.export({ format: "der", type: "spki" })

/** The most successors between a pinned key and the one that is used now. */
const successors = 8

/** `successor`: the key that was pinned signed this one's certificate, or one that did so in turn; `pin` is this one's. */
export type Met =
  | { readonly kind: "pinned" }
  | { readonly kind: "successor"; readonly pin: Uint8Array }
  | { readonly kind: "stranger"; readonly pin: Uint8Array }

/** Compares the peer of an open connection with `pinned`. */
export function meet(socket: TLSSocket, pinned: Uint8Array): Met {
  const own = socket.getPeerX509Certificate()
  if (!own) return { kind: "stranger", pin: new Uint8Array(0) }
  const pin = pinOf(own.publicKey)
  if (sameBytes(pin, pinned)) return { kind: "pinned" }
  return leadsBack(own, pinned) ? { kind: "successor", pin } : { kind: "stranger", pin }
}

function leadsBack(own: X509Certificate, pinned: Uint8Array): boolean {
  let below = own
  for (let steps = 0; steps < successors; steps++) {
    const above = below.issuerCertificate
    if (!above?.ca || !below.verify(above.publicKey)) return false
    if (sameBytes(pinOf(above.publicKey), pinned)) return true
    below = above
  }
  return false
}

/** RFC 9266, tls-exporter: 32 bytes that only the two ends of a connection know; undefined when it is gone already. */
export function bindingOf(socket: TLSSocket): Uint8Array | undefined {
  try {
    return new Uint8Array(socket.exportKeyingMaterial(32, channelLabel, Buffer.alloc(0)))
  } catch {
    return undefined
  }
}
