/**
 * Which entries does an IMA log hold? The kernel's binary and ASCII forms (Documentation/security/IMA-templates.rst), one entry
 * at a time, so that half a million need no array. What an entry says is asked in `event.ts`, what they add up to in `replay.ts`.
 */
import { Malformed } from "../../wire/codec.ts"
import { digestSize, type HashAlgorithm, hashAlgorithms } from "../algorithm.ts"
import { digestOfLine, readLine } from "./ascii.ts"
import { digestOfEntry, readBinary } from "./binary.ts"
import { type ImaEntry, imaLimits, type ImaLog } from "./entry.ts"

/** A log by its first entry: binary begins with a PCR's number, ASCII with its digits. Throws Malformed. */
export function openImaLog(untrusted: Uint8Array): ImaLog {
  const bytes = Buffer.from(untrusted.buffer, untrusted.byteOffset, untrusted.byteLength)
  if (bytes.length > imaLimits.log) throw new Malformed(`an IMA log of ${bytes.length} bytes exceeds ${imaLimits.log}`)
  const first = bytes[0]
  if (first === undefined) return { form: "binary", shows: "sha1", bytes }
  if (first >= 0x20) return { form: "ascii", shows: digestOfFirst(bytes), bytes }
  const shows = hashAlgorithms.find(each => hasName(bytes, 4 + digestSize[each]))
  if (!shows) throw new Malformed("the IMA log's first entry names no template")
  return { form: "binary", shows, bytes }
}

/** Whether a counted, printable name stands at `at`. */
function hasName(bytes: Buffer, at: number): boolean {
  if (at + 4 > bytes.length) return false
  const length = bytes.readUInt32LE(at)
  const name = bytes.toString("latin1", at + 4, at + 4 + length)
  return length > 0 && length <= imaLimits.template && name.length === length && /^[\x21-\x7e]+$/.test(name)
}

function digestOfFirst(bytes: Buffer): HashAlgorithm {
  const [, digest] = /^ ?\d+ ([0-9a-f]+) /.exec(bytes.toString("latin1", 0, 160)) ?? []
  const shows = hashAlgorithms.find(each => 2 * digestSize[each] === digest?.length)
  if (!shows) throw new Malformed("the IMA log's first line has no PCR and template digest")
  return shows
}

/** The digest that the entry at byte `at` shows, zeroes in a violation; what the TPM got is computed from its data. */
export const claimedDigest = (log: ImaLog, at: number): Uint8Array =>
  log.form === "ascii" ? digestOfLine(log, at) : digestOfEntry(log, at)

/** The entry that begins at byte `at`, or "cut" where the log ends before it does: it is still growing. Throws Malformed. */
export function readEntry(log: ImaLog, at: number): ImaEntry | "cut" {
  const entry = log.form === "ascii" ? readLine(log, at) : readBinary(log, at)
  if (entry !== "cut" && entry.pcr > 23) throw new Malformed(`entry at byte ${at}: there is no PCR ${entry.pcr}`)
  return entry
}
