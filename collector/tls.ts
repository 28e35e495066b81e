/**
 * With what does the collector meet a connection? TLS 1.3 and a self-signed certificate over its TLS key: agents know the key
 * by its pin, so the certificate says nothing, and is made anew from the key when it is gone.
 */
import { execFileSync } from "node:child_process"
import { X509Certificate } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { SecureContextOptions } from "node:tls"
import { pinOf, tlsKey, writeWhole } from "./keys.ts"

/** A program is missing. A process that meets it exits with 69 (EX_UNAVAILABLE). */
export class ProgramMissing extends Error {
  readonly hint: string
  constructor(program: string) {
    super(`${program} is not on the PATH, and there is no /usr/bin/${program}`)
    this.name = "ProgramMissing"
    this.hint = `install ${program}: apt-get install ${program}`
  }
}

export type TlsIdentity = { readonly pin: Uint8Array; readonly options: SecureContextOptions }

/** Key and certificate in `folder`, made at the first start. Throws {@link ProgramMissing}. */
export function tlsIdentity(folder: string): TlsIdentity {
  const key = tlsKey(folder)
  const path = join(folder, "tls-certificate.pem")
  if (!existsSync(path) || !new X509Certificate(readFileSync(path)).checkPrivateKey(key))
    writeWhole(path, selfSigned(join(folder, "tls-key.pem")))
  const pem = key.export({ format: "pem", type: "pkcs8" })
  return {
    pin: pinOf(key),
    options: { key: pem, cert: readFileSync(path), minVersion: "TLSv1.3", maxVersion: "TLSv1.3" },
  }
}

/** Node makes no certificates; openssl does. Its days are a century: nothing is concluded from them. */
function selfSigned(keyFile: string): string {
  const openssl = existsSync("/usr/bin/openssl") ? "/usr/bin/openssl" : "openssl"
  const what = ["req", "-x509", "-key", keyFile, "-sha256", "-days", "36500", "-subj", "/CN=assay collector"]
  try {
    return execFileSync(openssl, what, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] })
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") throw new ProgramMissing("openssl")
    throw error
  }
}
