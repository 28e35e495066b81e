/**
 * How does a workstation find and trust its collector the first time? By one line that a person carries over: where the
 * collector is, the pin of its TLS key, and a secret that admits one attester once.
 */
import { Malformed } from "../wire/codec.ts"
import { fromBase64, toBase64 } from "../wire/text.ts"

/** `pin` is the SHA-256 of the collector's SubjectPublicKeyInfo; `token` 32 random bytes. */
export type Invitation = {
  readonly host: string
  readonly port: number
  readonly pin: Uint8Array
  readonly token: Uint8Array
}

const pattern =
  /^assay1:([A-Za-z0-9.-]{1,253}|\[[0-9a-f:]{2,45}\]):([0-9]{1,5}):([A-Za-z0-9_-]{43}):([A-Za-z0-9_-]{43})$/

export function writeInvitation({ host, port, pin, token }: Invitation): string {
  return `assay1:${host}:${port}:${url(pin)}:${url(token)}`
}

/** The invitation in a line of text. Throws Malformed. */
export function readInvitation(text: string): Invitation {
  const match = pattern.exec(text.trim())
  const [, host, port, pin, token] = match ?? []
  if (!host || !port || !pin || !token || Number(port) < 1 || Number(port) > 65_535)
    throw new Malformed("this is no invitation: it is one line that begins with assay1:")
  const invitation = { host, port: Number(port), pin: unurl(pin), token: unurl(token) }
  if (writeInvitation(invitation) !== text.trim()) throw new Malformed("this invitation was altered: ask for a new one")
  return invitation
}

const url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")
const unurl = (text: string): Uint8Array => fromBase64(toBase64(Buffer.from(text, "base64url")))
