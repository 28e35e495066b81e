/**
 * How does text that anybody may have written stand in a fact? In one reversible spelling: UTF-8 that people can see stays
 * as it is, a backslash is doubled, and each byte of anything else (control characters, bytes that are no UTF-8) is \xhh.
 * What is too long is cut, and the SHA-256 of the whole follows, so that a change behind the cut is seen.
 */
import { createHash } from "node:crypto"

/** `bytes` as a line of at most `max` UTF-16 units (≥ 128). */
export function escaped(bytes: Uint8Array | string, max = 4096): string {
  const raw = Buffer.from(bytes)
  const text = escapeAll(raw)
  if (text.length <= max) return text
  const tail = ` \\cut sha256:${createHash("sha256").update(raw).digest("hex")}`
  return cutTo(text, max - tail.length) + tail
}

/** What no line may hold, and what the spelling itself needs. */
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const special = /[\u0000-\u001f\\\u007f-\u009f\u2028\u2029]/gu

function escapeAll(raw: Buffer): string {
  const text = raw.toString("utf8")
  if (Buffer.from(text, "utf8").equals(raw)) return text.replace(special, escapeCharacter)
  return validRuns(raw).join("")
}

const escapeCharacter = (character: string): string =>
  character === "\\" ? "\\\\" : escapeBytes(Buffer.from(character))
const escapeBytes = (bytes: Uint8Array): string =>
  [...bytes].map(byte => `\\x${byte.toString(16).padStart(2, "0")}`).join("")

/** Character by character, for bytes that are not UTF-8 throughout. */
function validRuns(raw: Buffer): string[] {
  const parts: string[] = []
  for (let at = 0; at < raw.length; ) {
    const size = characterAt(raw, at)
    const piece = raw.subarray(at, at + Math.max(size, 1))
    parts.push(size === 0 ? escapeBytes(piece) : piece.toString("utf8").replace(special, escapeCharacter))
    at += piece.length
  }
  return parts
}

/** Bytes of the well-formed character at `at`, or 0. */
function characterAt(raw: Buffer, at: number): number {
  const size = [1, 2, 3, 4].find(n => {
    const piece = raw.subarray(at, at + n)
    return piece.length === n && Buffer.from(piece.toString("utf8"), "utf8").equals(piece)
  })
  return size ?? 0
}

/** Never within an escape or a pair of surrogates. */
function cutTo(text: string, length: number): string {
  const kept = text.slice(0, length).replace(/[\ud800-\udbff]$/, "")
  return kept.replace(/(^|[^\\])((?:\\\\)*)\\(?:x[0-9a-f]?)?$/, "$1$2")
}
