/**
 * Which keys are the collector's own? Three, and none is used for another's work: the TLS key, which agents pin, the
 * result key, which signs what it concludes, and the vault's key, which signs what was kept. Each is made once, in a file that only this user reads.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { join } from "node:path"

/** What the collector signs results with. `publicKey` is 32 bytes; the file is PKCS#8 in PEM. */
export type ResultKey = {
  readonly publicKey: Uint8Array
  readonly sign: (message: Uint8Array) => Uint8Array
}

/** The result key in `folder`, made at the first start. */
export const resultKey = (folder: string): ResultKey => ed25519In(join(folder, "result-key.pem"))

/** What the collector signs checkpoints of its vault with, in `folder`, made at the first start. */
export const vaultKey = (folder: string): ResultKey => ed25519In(join(folder, "vault-key.pem"))

function ed25519In(path: string): ResultKey {
  const key = keyIn(path, () => generateKeyPairSync("ed25519").privateKey)
  const jwk = createPublicKey(key).export({ format: "jwk" })
  return {
    publicKey: new Uint8Array(Buffer.from(jwk.x ?? "", "base64url")),
    sign: message => new Uint8Array(sign(null, message, key)),
  }
}

/** The TLS key in `folder`, ECDSA P-256, made at the first start. */
export const tlsKey = (folder: string): KeyObject =>
  keyIn(join(folder, "tls-key.pem"), () => generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey)

function keyIn(path: string, make: () => KeyObject): KeyObject {
  if (!existsSync(path)) writeWhole(path, make().export({ format: "pem", type: "pkcs8" }).toString())
  return createPrivateKey(readFileSync(path))
}

/** Writes a file of mode 0600 so that it is there whole, on disk, or not at all. */
export function writeWhole(path: string, content: string | Uint8Array): void {
  const beside = `${path}.${randomBytes(4).toString("hex")}`
  const file = openSync(beside, "wx", 0o600)
  try {
    writeFileSync(file, content)
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  renameSync(beside, path)
}
