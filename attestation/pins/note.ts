/**
 * Who signed this text? C2SP signed notes (c2sp.org/signed-note): a text that a person reads, an empty line, and a line for each
 * signature. Only signatures of known keys count, and each key once; others are carried along and say nothing. What a text
 * means, and whose signatures it needs: `policy.ts` and its neighbours.
 */
import { createHash } from "node:crypto"
import { ed25519Verifies } from "../protocol/dsse.ts"
import { whyWeakEd25519 } from "../tcg/weak-key.ts"
import { Malformed } from "../wire/codec.ts"
import { fromBase64, toBase64, toHex } from "../wire/text.ts"

/** A line under a note; `signature` is what follows the four bytes of `keyId`. Nobody has verified it. */
export type SignatureLine = { readonly name: string; readonly keyId: string; readonly signature: Uint8Array }

/** A note as it came: `text` ends with a newline, and is trusted by nobody until {@link signersOf} names who signed it. */
export type Note = { readonly text: string; readonly signatures: readonly SignatureLine[] }

/** A key that a verifier knows: its name, and 32 bytes of Ed25519. */
export type NoteKey = { readonly name: string; readonly publicKey: Uint8Array }

/** The most bytes of a note, and the most signatures under it (the specification asks for 16 or more). */
export const noteLimit = 1 << 20
export const signatureLimit = 64
/** The longest signature: those of ML-DSA-87 have 4627 bytes. */
const longestSignature = 8192

/** Signature type 0x01: Ed25519 over the text (c2sp.org/signed-note, Signature types). */
const ed25519Type = 0x01
const keyName = /^[^\s+\p{Z}\p{C}]{1,128}$/u

/** The note in `bytes`. Throws {@link Malformed} for what is not the one spelling of a signed note. */
export function readNote(bytes: Uint8Array): Note {
  if (bytes.length > noteLimit) throw new Malformed(`a note of ${bytes.length} bytes is longer than ${noteLimit}`)
  const whole = decodeUtf8(bytes)
  // oxlint-disable-next-line no-control-regex -- control characters are what it refuses
  if (/[\u0000-\u0009\u000b-\u001f\u007f]/.test(whole)) throw new Malformed("a note holds a control character")
  const at = whole.lastIndexOf("\n\n")
  if (at < 0) throw new Malformed("a note has no empty line before its signatures")
  const lines = whole.slice(at + 2).split("\n")
  if (lines.pop() !== "") throw new Malformed("a note does not end with a newline")
  if (lines.length === 0) throw new Malformed("a note has no signature")
  if (lines.length > signatureLimit) throw new Malformed(`a note has more than ${signatureLimit} signatures`)
  if (new Set(lines).size < lines.length) throw new Malformed("a signature line stands twice")
  return { text: whole.slice(0, at + 1), signatures: lines.map(readSignature) }
}

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Malformed("a note is not UTF-8")
  }
}

function readSignature(line: string): SignatureLine {
  const [dash, name = "", encoded = "", ...more] = line.split(" ")
  if (dash !== "—" || !keyName.test(name) || more.length > 0)
    throw new Malformed("a signature line is not: em dash, name, base64")
  const bytes = fromBase64(encoded)
  if (toBase64(bytes) !== encoded || bytes.length < 5 || bytes.length > 4 + longestSignature)
    throw new Malformed(`the signature of ${name} is not a key id and a signature in base64`)
  return { name, keyId: toHex(bytes.subarray(0, 4)), signature: bytes.subarray(4) }
}

/** The one spelling of a note. Throws {@link Malformed} for a text that no note can have. */
export function writeNote({ text, signatures }: Note): Uint8Array {
  const lines = signatures.map(
    ({ name, keyId, signature }) =>
      `— ${name} ${Buffer.concat([Buffer.from(keyId, "hex"), signature]).toString("base64")}\n`,
  )
  const bytes = new Uint8Array(Buffer.from(`${text}\n${lines.join("")}`, "utf8"))
  if (readNote(bytes).text !== text) throw new Malformed("a text that cannot stand in a note")
  return bytes
}

/** The key id of an Ed25519 key, in hex: the first four bytes of SHA-256(name, newline, 0x01, key). */
export const noteKeyId = ({ name, publicKey }: NoteKey): string =>
  createHash("sha256")
    .update(Buffer.from(`${name}\n`, "utf8"))
    .update(Uint8Array.of(ed25519Type))
    .update(publicKey)
    .digest("hex")
    .slice(0, 8)

/** Which of `known` signed `text`, and the signature of each. A known key whose signature does not verify spoils the note. */
export function signersOf<K extends NoteKey>({ text, signatures }: Note, known: readonly K[]): readonly K[] {
  const message = new Uint8Array(Buffer.from(text, "utf8"))
  const byLine = new Map(known.map(key => [`${key.name} ${noteKeyId(key)}`, key]))
  const found = new Set<K>()
  for (const { name, keyId, signature } of signatures) {
    const key = byLine.get(`${name} ${keyId}`)
    if (!key) continue
    if (found.has(key)) throw new Malformed(`${name} signs twice`)
    if (!ed25519Verifies(key.publicKey, message, signature))
      throw new Malformed(`the signature of ${name} does not fit the text`)
    found.add(key)
  }
  return [...found]
}

/** The line of `key` under `text`, given what signs with it. */
export function signNote(text: string, key: NoteKey, sign: (message: Uint8Array) => Uint8Array): SignatureLine {
  return { name: key.name, keyId: noteKeyId(key), signature: sign(new Uint8Array(Buffer.from(text, "utf8"))) }
}

/** The digest by which a note is named: SHA-256 of its text, whoever signed it, in hex. */
export const textDigest = (text: string): string => createHash("sha256").update(text, "utf8").digest("hex")

/** "name+keyid+base64(0x01 ‖ key)": how a key is handed to a verifier (a vkey of c2sp.org/signed-note's tools). */
export const writeVerifierKey = (key: NoteKey): string =>
  `${key.name}+${noteKeyId(key)}+${toBase64(Uint8Array.of(ed25519Type, ...key.publicKey))}`

/** The key in a verifier key. Throws {@link Malformed}, for a weak key too. */
export function readVerifierKey(text: string): NoteKey {
  const [, name = "", keyId = "", encoded = ""] = /^([^+]*)\+([^+]*)\+(.*)$/.exec(text) ?? []
  const bytes = fromBase64(encoded)
  const key = { name, publicKey: bytes.subarray(1) }
  if (!keyName.test(name) || bytes[0] !== ed25519Type || bytes.length !== 33 || toBase64(bytes) !== encoded)
    throw new Malformed("not an Ed25519 verifier key: name+key id+base64")
  if (noteKeyId(key) !== keyId) throw new Malformed(`the key id of ${name} is not that of its key`)
  const weak = whyWeakEd25519(key.publicKey)
  if (weak !== undefined) throw new Malformed(`the key of ${name} is refused: ${weak}`)
  return key
}
