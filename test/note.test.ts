/** Are signed notes what the specification says, checked by openssl, by a log that others signed, and by hostile ones? */
import { generateKeyPairSync, sign as signWith } from "node:crypto"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import {
  noteKeyId,
  readNote,
  readVerifierKey,
  signatureLimit,
  signersOf,
  signNote,
  textDigest,
  writeNote,
  writeVerifierKey,
} from "../attestation/pins/note.ts"
import { toPem } from "../attestation/protocol/dsse.ts"
import { Malformed } from "../attestation/wire/codec.ts"
import { output, sha256 } from "./foreign.ts"
import { vector } from "./vectors.ts"

function keyCalled(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519")
  const raw = new Uint8Array(Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url"))
  return { name, publicKey: raw, sign: (message: Uint8Array) => new Uint8Array(signWith(null, message, privateKey)) }
}
const ada = keyCalled("firm.example/ada")
const grace = keyCalled("firm.example/grace")
const text = "firm.example/pins\nassay pin v1\n\nwith an empty line\n"
const signed = writeNote({ text, signatures: [ada, grace].map(key => signNote(text, key, key.sign)) })
const bytesOf = (note: string): Uint8Array => new Uint8Array(Buffer.from(note, "utf8"))

test("comes back as it was written, and names who signed", () => {
  const note = readNote(signed)
  expect(note.text).toBe(text)
  expect(writeNote(note)).toEqual(signed)
  expect(signersOf(note, [grace, ada])).toEqual([ada, grace])
  expect(signersOf(note, [grace])).toEqual([grace])
})

test("openssl and coreutils verify it", () => {
  const folder = mkdtempSync(join(tmpdir(), "note-"))
  try {
    writeFileSync(join(folder, "note"), signed)
    writeFileSync(join(folder, "key.pem"), toPem(ada.publicKey))
    const script = `
      cd ${folder}
      last=$(grep -n '^$' note | tail -n 1 | cut -d: -f1)
      head -n $((last - 1)) note > text
      grep '^— firm.example/ada ' note | cut -d' ' -f3 | base64 -d | tail -c +5 > sig
      grep '^— firm.example/ada ' note | cut -d' ' -f3 | base64 -d | head -c 4 | od -An -tx1 | tr -d ' \\n'; echo
      openssl pkeyutl -verify -pubin -inkey key.pem -rawin -in text -sigfile sig
      sha256sum < text | cut -c -64`
    const [keyId, verdict, digest] = output("bash", ["-euo", "pipefail", "-c", script]).toString().split("\n")
    expect(keyId).toBe(noteKeyId(ada))
    expect(verdict).toBe("Signature Verified Successfully")
    expect(digest).toBe(textDigest(text))
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test("the key id is what the specification hashes", () => {
  const hashed = Buffer.concat([Buffer.from("firm.example/ada\n\u0001"), ada.publicKey])
  expect(noteKeyId(ada)).toBe(sha256(hashed).slice(0, 8))
})

test("the specification's own example is a note", () => {
  const example =
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n" +
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
  const { text, signatures } = readNote(bytesOf(example))
  expect(text.endsWith("ed è subito sera.\n")).toBe(true)
  expect(signatures[0]).toMatchObject({ name: "quasimodo.example/salvatore", keyId: "367ba04b" })
})

test("sixteen checkpoints that a log of others signed", () => {
  const key = readVerifierKey("example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx")
  const checkpoints = Array.from({ length: 16 }, (_, i) => vector("tessera-log", "log", `checkpoint.${i}`))
  for (const bytes of checkpoints) {
    const note = readNote(bytes)
    expect(signersOf(note, [key])).toEqual([key])
    const altered = { ...note, text: note.text.replace(/\n(\d+)\n/, (_, size) => `\n${Number(size) + 1}\n`) }
    expect(() => signersOf(altered, [key])).toThrow(Malformed)
  }
})

test("a verifier key comes back, and a weak or miscalled one does not", () => {
  const { name, publicKey } = ada
  expect(readVerifierKey(writeVerifierKey(ada))).toEqual({ name, publicKey })
  const other = writeVerifierKey({ ...ada, name: "firm.example/eve" }).replace("eve", "ada")
  expect(() => readVerifierKey(other)).toThrow("not that of its key")
  const weak = writeVerifierKey({ name, publicKey: new Uint8Array(32).fill(0).with(0, 1) })
  expect(() => readVerifierKey(weak)).toThrow("small order")
  for (const text of ["", "a+b", "a b+00000000+AA==", writeVerifierKey(ada).slice(0, -1)])
    expect(() => readVerifierKey(text), text).toThrow(Malformed)
})

describe("unknown signers", () => {
  test("are ignored, whatever they write", () => {
    const unknown = { name: "eve.example", keyId: "00000000", signature: new Uint8Array(2420).fill(7) }
    const note = readNote(writeNote({ text, signatures: [unknown, signNote(text, ada, ada.sign)] }))
    expect(signersOf(note, [ada, grace])).toEqual([ada])
  })

  test("do not count under a known name, nor under a known key id", () => {
    const impostor = keyCalled("firm.example/ada")
    const line = { ...signNote(text, impostor, impostor.sign), name: "firm.example/adа" }
    const note = { text, signatures: [signNote(text, impostor, impostor.sign), { ...line, keyId: noteKeyId(ada) }] }
    expect(signersOf(note, [ada])).toEqual([])
  })
})

test("a signature of a known key that does not fit spoils the note", () => {
  const note = { text, signatures: [{ ...signNote(text, ada, ada.sign), signature: new Uint8Array(64).fill(1) }] }
  expect(() => signersOf(note, [ada])).toThrow("does not fit the text")
})

describe("is refused", () => {
  const whole = Buffer.from(signed).toString("utf8")
  const line = whole.slice(whole.lastIndexOf("— "))
  const cases: Record<string, string> = {
    "without an empty line": whole.replaceAll("\n\n", "\n"),
    "without a signature": `${text}\n`,
    "without a newline at the end": whole.slice(0, -1),
    "with a line after its signatures": `${whole}more\n`,
    "with a signature line twice": whole + line,
    "with a carriage return": whole.replace("\n", "\r\n"),
    "with a tab": whole.replace(" ", "\t"),
    "with another dash": whole.replaceAll("— ", "– "),
    "with two spaces in a signature": whole.replaceAll("— ", "—  "),
    "with base64 in another spelling": whole.replace(/=\n$/, "\n"),
    "with a name that holds a plus": whole.replaceAll("/ada ", "+ada "),
    "with an invisible character in a name": whole.replaceAll("/ada ", "/a\u200bda "),
    "with a signature of nothing": `${text}\n— a AAAAAA==\n`,
    "with too many signatures": `${text}\n${Array.from({ length: signatureLimit + 1 }, (_, i) => `— a${i} AAAAAAA=\n`).join("")}`,
  }
  test.each(Object.entries(cases))("%s", (_, note) => expect(() => readNote(bytesOf(note))).toThrow(Malformed))

  test("not in UTF-8, or too long", () => {
    expect(() => readNote(Buffer.concat([Uint8Array.of(0xff), signed]))).toThrow("not UTF-8")
    expect(() => readNote(new Uint8Array((1 << 20) + 1))).toThrow("longer than")
  })

  test("cut at any length but that of fewer signatures, or with any byte of the text altered", () => {
    const fewer = writeNote({ text, signatures: [signNote(text, ada, ada.sign)] }).length
    for (let length = 0; length < signed.length; length++)
      if (length === fewer) expect(signersOf(readNote(signed.subarray(0, length)), [ada, grace])).toEqual([ada])
      else expect(() => signersOf(readNote(signed.subarray(0, length)), [ada, grace])).toThrow(Malformed)
    for (let at = 0; at < text.length; at++)
      expect(() => signersOf(readNote(signed.with(at, (signed[at] ?? 0) ^ 1)), [ada, grace])).toThrow(Malformed)
  })
})
