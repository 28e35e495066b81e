/**
 * What does a log promise, and who saw it? A checkpoint is a signed note of origin, size and root (c2sp.org/tlog-checkpoint); a witness
 * that saw it consistent with all before adds a cosignature with the time (c2sp.org/tlog-cosignature). How notes are signed:
 * `../pins/note.ts`.
 */
import { createHash } from "node:crypto"
import { type Note, type NoteKey, readNote, signersOf, type SignatureLine, writeNote } from "../pins/note.ts"
import { ed25519Verifies } from "../protocol/dsse.ts"
import { whyWeakEd25519 } from "../tcg/weak-key.ts"
import { Malformed } from "../wire/codec.ts"
import { fromBase64, toBase64, toHex } from "../wire/text.ts"
import type { Head } from "./proof.ts"
import { hashSize, treeLimit } from "./tree.ts"

/** A log's promise: the tree of this size has this root. `origin` names the log. */
export type Checkpoint = Head & { readonly origin: string }

/** The text that is signed. Extension lines are not written, and are carried along when read. */
export const checkpointText = ({ origin, size, root }: Checkpoint): string => `${origin}\n${size}\n${toBase64(root)}\n`

/** The checkpoint that a text is. Nobody has verified it. Throws {@link Malformed}. */
export function readCheckpointText(text: string): Checkpoint {
  const [origin = "", digits = "", encoded = "", ...more] = text.split("\n")
  const root = fromBase64(encoded)
  if (origin === "" || more.pop() !== "" || more.some(each => each === "")) throw new Malformed("not a checkpoint")
  if (!/^(0|[1-9][0-9]{0,14})$/.test(digits) || Number(digits) > treeLimit)
    throw new Malformed("the size of a checkpoint is not a decimal number of leaves")
  if (root.length !== hashSize || toBase64(root) !== encoded)
    throw new Malformed("the root of a checkpoint is not 32 bytes in base64")
  return { origin, size: Number(digits), root }
}

/** A checkpoint that its log signed, and who else signed it. */
export type Signed = { readonly checkpoint: Checkpoint; readonly note: Note }

/** The checkpoint in `bytes`, signed by its log. Throws {@link Malformed}, also where it is of another origin or not signed by `log`. */
export function readCheckpoint(bytes: Uint8Array, log: NoteKey): Signed {
  const note = readNote(bytes)
  const checkpoint = readCheckpointText(note.text)
  if (checkpoint.origin !== log.name)
    throw new Malformed(`the checkpoint is of ${checkpoint.origin}, and not of ${log.name}`)
  if (signersOf(note, [log]).length === 0) throw new Malformed(`the checkpoint is not signed by the key of ${log.name}`)
  return { checkpoint, note }
}

/** Signature type 0x04: an Ed25519 cosignature with the time (c2sp.org/tlog-cosignature). */
const cosignatureType = 0x04

/** The key id of a witness: the first four bytes of SHA-256(name, newline, 0x04, key), in hex. */
export const witnessKeyId = ({ name, publicKey }: NoteKey): string =>
  createHash("sha256")
    .update(Buffer.from(`${name}\n`, "utf8"))
    .update(Uint8Array.of(cosignatureType))
    .update(publicKey)
    .digest("hex")
    .slice(0, 8)

/** What a witness signs: the time in seconds since 1970, and the text of the checkpoint. */
const cosigned = (text: string, seconds: number): Uint8Array =>
  new Uint8Array(Buffer.from(`cosignature/v1\ntime ${seconds}\n${text}`, "utf8"))

/** The line of the witness `key` under a checkpoint's text at `seconds` since 1970. */
export function cosign(
  text: string,
  key: NoteKey,
  seconds: number,
  sign: (message: Uint8Array) => Uint8Array,
): SignatureLine {
  const time = Buffer.alloc(8)
  time.writeBigUInt64BE(BigInt(seconds))
  const signature = new Uint8Array(Buffer.concat([time, sign(cosigned(text, seconds))]))
  return { name: key.name, keyId: witnessKeyId(key), signature }
}

/** Who cosigned, and when by its own clock, in seconds since 1970. */
export type Cosignature<K extends NoteKey> = { readonly witness: K; readonly seconds: number }

/** Which of `known` cosigned the text. A known key whose cosignature does not verify spoils it: throws {@link Malformed}. */
export function cosignersOf<K extends NoteKey>({ text, signatures }: Note, known: readonly K[]): Cosignature<K>[] {
  return known.flatMap(witness => {
    const id = witnessKeyId(witness)
    const lines = signatures.filter(each => each.name === witness.name && each.keyId === id)
    return lines.map(({ signature }) => ({ witness, seconds: cosignedAt(text, witness, signature) }))
  })
}

function cosignedAt(text: string, { name, publicKey }: NoteKey, signature: Uint8Array): number {
  const time = signature.length === 72 ? Buffer.from(signature).readBigUInt64BE(0) : undefined
  if (time === undefined || time > BigInt(Number.MAX_SAFE_INTEGER))
    throw new Malformed(`the cosignature of ${name} is not a time and an Ed25519 signature`)
  const seconds = Number(time)
  if (!ed25519Verifies(publicKey, cosigned(text, seconds), signature.subarray(8)))
    throw new Malformed(`the cosignature of ${name} does not fit the checkpoint`)
  return seconds
}

/** The note with more lines under it, each line once. */
export function withLines(note: Note, lines: readonly SignatureLine[]): Note {
  const key = (each: SignatureLine): string => `${each.name} ${each.keyId} ${toHex(each.signature)}`
  const there = new Set(note.signatures.map(key))
  return { text: note.text, signatures: [...note.signatures, ...lines.filter(each => !there.has(key(each)))] }
}

/** The one spelling of a note: {@link writeNote}. */
export const writeCheckpoint = (note: Note): Uint8Array => writeNote(note)

/** "name+keyid+base64(0x04 ‖ key)": how a witness's key is handed to those who rely on it. */
export const writeWitnessKey = (key: NoteKey): string =>
  `${key.name}+${witnessKeyId(key)}+${toBase64(Uint8Array.of(cosignatureType, ...key.publicKey))}`

/** As {@link writeWitnessKey} writes it. Throws {@link Malformed}, for a weak key too. */
export function readWitnessKey(text: string): NoteKey {
  const [, name = "", keyId = "", encoded = ""] = /^([^+\s]{1,128})\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text) ?? []
  const bytes = fromBase64(encoded)
  const key = { name, publicKey: bytes.subarray(1) }
  if (bytes.length !== 33 || bytes[0] !== cosignatureType || toBase64(bytes) !== encoded)
    throw new Malformed("not a witness's key: name+key id+base64, of type 4")
  if (witnessKeyId(key) !== keyId) throw new Malformed(`the key id of ${name} is not that of its key`)
  const weak = whyWeakEd25519(key.publicKey)
  if (weak !== undefined) throw new Malformed(`the key of ${name} is refused: ${weak}`)
  return key
}
