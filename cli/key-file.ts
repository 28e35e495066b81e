/**
 * How is a person's signing key kept? In a file that only its passphrase opens: scrypt makes a key of the passphrase,
 * ChaCha20-Poly1305 seals the seed with it, and the lines before are sealed with it too. Format: docs/governance.md.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  scryptSync,
  sign,
} from "node:crypto"
import { type NoteKey, readVerifierKey, writeVerifierKey } from "../attestation/pins/note.ts"
import { fromBase64, toBase64 } from "../attestation/wire/text.ts"
import { Problem } from "./exit.ts"

/** A key that signs. Where it is kept beside a file, `sign` would ask that place: an HSM's name stands where `sealed` does. */
export type SigningKey = NoteKey & { readonly sign: (message: Uint8Array) => Uint8Array }

/** A key file whose seed is still sealed. */
export type KeyFile = {
  readonly key: NoteKey
  readonly person: string
  readonly named: string
  readonly open: (passphrase: string) => SigningKey
}

const head = "assay key v1"
/** RFC 7914's parameters: 128 MiB and about half a second on the machines of today. */
const work = { N: 1 << 17, r: 8, p: 1, maxmem: 1 << 28 }
/** The most work that a file may ask for. */
const mostWork = 1 << 20
const seedHead = Buffer.from("302e020100300506032b657004220420", "hex")

/** A new key for `person`, called `name` in notes, sealed with `passphrase`: its file, and the key. */
export function newKeyFile(
  { person, named, name }: { readonly person: string; readonly named: string; readonly name: string },
  passphrase: string,
): { readonly text: string; readonly key: NoteKey } {
  const { privateKey } = generateKeyPairSync("ed25519")
  const der = privateKey.export({ format: "der", type: "pkcs8" })
  const key: NoteKey = { name, publicKey: publicOf(privateKey) }
  const salt = randomBytes(16)
  const lines = headOf(key, person, named, work.N, salt)
  const nonce = randomBytes(12)
  const cipher = createCipheriv("chacha20-poly1305", keyFrom(passphrase, salt, work.N), nonce, { authTagLength: 16 })
  cipher.setAAD(Buffer.from(lines), { plaintextLength: 32 })
  const sealed = Buffer.concat([nonce, cipher.update(der.subarray(-32)), cipher.final(), cipher.getAuthTag()])
  return { text: `${lines}sealed ${sealed.toString("base64")}\n`, key }
}

const headOf = (key: NoteKey, person: string, named: string, n: number, salt: Uint8Array): string =>
  [head, `person ${person} ${named}`, `key ${writeVerifierKey(key)}`, `scrypt ${n} ${toBase64(salt)}`]
    .map(line => `${line}\n`)
    .join("")

function publicOf(privateKey: KeyObject): Uint8Array {
  const { x = "" } = createPublicKey(privateKey).export({ format: "jwk" })
  return new Uint8Array(Buffer.from(x, "base64url"))
}

const keyFrom = (passphrase: string, salt: Uint8Array, n: number): Buffer =>
  scryptSync(passphrase.normalize("NFKC"), salt, 32, { ...work, N: n, maxmem: 256 * n * work.r })

const shape =
  /^assay key v1\nperson ([a-z][a-z0-9-]{0,31}) ([ -~]{1,300})\nkey (\S{1,300})\nscrypt (\d{1,7}) (\S{24})\nsealed (\S{80})\n$/

/** The key file in `text`, from `path`. Throws {@link Problem} for what is none. */
export function readKeyFile(text: string, path: string): KeyFile {
  const [, person, named, verifier, work, salt, sealed] = shape.exec(text) ?? []
  if (!person || !named || !verifier || !work || !salt || !sealed)
    throw new Problem("failed", `${path} is no key file`, "make one with: assay key new")
  const n = Number(work)
  if (n > mostWork || n < 1024 || (n & (n - 1)) !== 0)
    throw new Problem("failed", `${path} asks for scrypt with ${n}`, "this is not a file that assay key new wrote")
  const key = readVerifierKey(verifier)
  const lines = text.slice(0, text.indexOf("sealed "))
  const open = (passphrase: string): SigningKey => {
    const privateKey = unsealed(fromBase64(sealed), keyFrom(passphrase, fromBase64(salt), n), lines)
    if (!privateKey || Buffer.compare(publicOf(privateKey), key.publicKey) !== 0)
      throw new Problem("failed", `the passphrase does not open ${path}`, "try again; or the file was altered")
    return { ...key, sign: message => new Uint8Array(sign(null, message, privateKey)) }
  }
  return { key, person, named, open }
}

function unsealed(sealed: Uint8Array, key: Buffer, lines: string): KeyObject | undefined {
  try {
    const decipher = createDecipheriv("chacha20-poly1305", key, sealed.subarray(0, 12), { authTagLength: 16 })
    decipher.setAAD(Buffer.from(lines), { plaintextLength: 32 })
    decipher.setAuthTag(sealed.subarray(-16))
    const seed = Buffer.concat([decipher.update(sealed.subarray(12, -16)), decipher.final()])
    return createPrivateKey({ key: Buffer.concat([seedHead, seed]), format: "der", type: "pkcs8" })
  } catch {
    return undefined
  }
}
