/**
 * With what does the collector meet a connection? TLS 1.3 and a certificate over its TLS key: agents know the key by its pin. A key that is to be
 * replaced signs the certificate of its successor, which agents follow, and is then forgotten.
 */
import { createPrivateKey, generateKeyPairSync, X509Certificate } from "node:crypto"
import { existsSync, readFileSync, rmSync } from "node:fs"
import { join } from "node:path"
import type { SecureContextOptions } from "node:tls"
import { z } from "zod"
import { readJson, writeJson } from "../attestation/wire/json.ts"
import { hex, instant, line, toHex } from "../attestation/wire/text.ts"
import { selfSigned, successorOf } from "../channel/certificate.ts"
import type { Serving } from "../channel/listen.ts"
import { pinOf } from "../channel/pin.ts"
import { tlsKey, writeWhole } from "./keys.ts"

/** `pin` is the SHA-256 of the key's SubjectPublicKeyInfo. */
export type TlsIdentity = { readonly pin: Uint8Array; readonly options: SecureContextOptions }

const subject = "assay collector"
/** Key and certificates in one file, since they change together; before the first successor they lie in two. */
const succeeded = (folder: string): string => join(folder, "tls.pem")
const first = (folder: string) => ({
  key: join(folder, "tls-key.pem"),
  certificate: join(folder, "tls-certificate.pem"),
})

/** Key and certificate in `folder`, made at the first start. Throws ProgramMissing. */
export function tlsIdentity(folder: string): TlsIdentity {
  const { key, certificate } = files(folder)
  return {
    pin: pinOf(createPrivateKey(key)),
    options: { key, cert: certificate, minVersion: "TLSv1.3", maxVersion: "TLSv1.3" },
  }
}

/** Makes a new key that the present one signs; from then on the present one is no more. Throws ProgramMissing. */
export function succeed(folder: string): TlsIdentity {
  const present = files(folder)
  const whole = succeeded(folder)
  const fresh = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey.export({ format: "pem", type: "pkcs8" })
  const from = existsSync(whole) ? { key: whole, certificate: whole } : first(folder)
  const beside = join(folder, "tls-successor.pem")
  writeWhole(beside, fresh.toString())
  const certificate = successorOf(beside, subject, from.key, from.certificate)
  writeWhole(whole, `${fresh.toString()}${certificate}${present.certificate}`)
  for (const old of [beside, first(folder).key, first(folder).certificate]) rmSync(old, { force: true })
  return tlsIdentity(folder)
}

/** Who replaced a key, and why; the pins before and after. */
const succession = z.strictObject({ from: hex(32), to: hex(32), by: line(128), reason: line(300), at: instant })
type Succession = z.infer<typeof succession>

/** The TLS key of a running collector. */
export type TlsKeys = {
  readonly pin: () => Uint8Array
  /** Replaces the key for connections to come, and returns the new pin. */
  readonly succeed: (who: Pick<Succession, "by" | "reason" | "at">) => Uint8Array
}

/** The key in `folder`, which `serving` meets connections with. Each successor is kept in `tls-successors.json`. */
export function tlsKeys(folder: string, first: TlsIdentity, serving: Pick<Serving, "renew">): TlsKeys {
  let now = first
  return {
    pin: () => now.pin,
    succeed: who => {
      const from = toHex(now.pin)
      now = succeed(folder)
      serving.renew(now.options)
      keep(join(folder, "tls-successors.json"), { from, to: toHex(now.pin), ...who })
      return now.pin
    },
  }
}

function keep(path: string, latest: Succession): void {
  const all = existsSync(path) ? readJson(z.array(succession), readFileSync(path), 1 << 24) : []
  writeWhole(path, Buffer.from(writeJson([...all, latest])).toString("utf8"))
}

/** The private key, and the certificates from its own to that of the first, each in PEM. */
function files(folder: string): { readonly key: string; readonly certificate: string } {
  const whole = succeeded(folder)
  if (existsSync(whole)) {
    const text = readFileSync(whole, "latin1")
    const at = text.indexOf("-----BEGIN CERTIFICATE-----")
    return { key: text.slice(0, at), certificate: text.slice(at) }
  }
  const key = tlsKey(folder)
  const { key: keyFile, certificate } = first(folder)
  if (!existsSync(certificate) || !new X509Certificate(readFileSync(certificate)).checkPrivateKey(key))
    writeWhole(certificate, selfSigned(keyFile, subject))
  return {
    key: key.export({ format: "pem", type: "pkcs8" }).toString(),
    certificate: readFileSync(certificate, "latin1"),
  }
}
