/**
 * What does a machine show that is verified again and again? Evidence with keys of node:crypto in a TPM's formats, our log, a
 * firmware log of as many events and bytes as the median of the foreign ones that the tests read (94 events, 19 KB), and an IMA log.
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign, verify as verifyBare } from "node:crypto"
import { payloadTypes, seal } from "../../attestation/protocol/dsse.ts"
import { writeEvent } from "../../attestation/protocol/event.ts"
import {
  type Body,
  type BootLog,
  type BootLogName,
  bootLogNames,
  writePayload,
} from "../../attestation/protocol/evidence.ts"
import { qualifyingData } from "../../attestation/protocol/qualifying-data.ts"
import { quote } from "../../attestation/tcg/attest.ts"
import { celRecord, readCel, replayCel, writeCelLine } from "../../attestation/tcg/cel.ts"
import { readFirmwareLog } from "../../attestation/tcg/firmware/log.ts"
import { replayFirmwareLog, startupOf } from "../../attestation/tcg/firmware/replay.ts"
import { compositeDigest, extend, zero } from "../../attestation/tcg/pcr.ts"
import { nameOf, objectAttributes, readPublic } from "../../attestation/tcg/public.ts"
import { signature } from "../../attestation/tcg/signature.ts"
import type { Expected, UntrustedEvidence } from "../../attestation/verify/verify.ts"
import { encode } from "../../attestation/wire/codec.ts"
import { toBase64, toHex } from "../../attestation/wire/text.ts"

const sha256 = (bytes: Uint8Array): Buffer => createHash("sha256").update(bytes).digest()
const le = (value: number, size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  bytes.writeUIntLE(value, 0, Math.min(size, 6))
  return bytes
}

/** An event of a crypto agile log with sha1 and sha256, its digests over `data`. */
const event = (pcr: number, type: number, data: Buffer, measured = data): Buffer =>
  Buffer.concat([
    ...[le(pcr, 4), le(type, 4), le(2, 4), le(0x0004, 2), createHash("sha1").update(measured).digest()],
    ...[le(0x000b, 2), sha256(measured), le(data.length, 4), data],
  ])

const specId = (): Buffer => {
  const banks = Buffer.concat([le(2, 4), le(0x0004, 2), le(20, 2), le(0x000b, 2), le(32, 2)])
  const body = Buffer.concat([
    Buffer.from("Spec ID Event03\0"),
    le(0, 4),
    Buffer.from([0, 2, 105, 2]),
    banks,
    Buffer.alloc(1),
  ])
  return Buffer.concat([le(0, 4), le(3, 4), Buffer.alloc(20), le(body.length, 4), body])
}

const variable = (name: string, data: Buffer): Buffer =>
  Buffer.concat([
    ...[Buffer.from("61dfe48bca93d211aa0d00e098032b8c", "hex"), le(name.length, 8), le(data.length, 8)],
    ...[Buffer.from(name, "utf16le"), data],
  ])

const [separator, ipl, code, driverConfig, bootVariable] = [0x4, 0xd, 0x80000008, 0x80000001, 0x80000002]
const median = { events: 94, bytes: 19_000 }

/** A boot by GRUB in as many events, and about as many bytes. */
export function firmwareLog(): Uint8Array {
  const settings = ["SecureBoot", "PK", "KEK", "db", "dbx"].map((name, i) =>
    event(7, driverConfig, variable(name, i === 0 ? Buffer.from([0]) : Buffer.alloc(0))),
  )
  const head = [event(0, 0x8, Buffer.from("1.0\0", "utf16le")), event(0, code, Buffer.alloc(16, 1), randomBytes(64))]
  const entries = Array.from({ length: 10 }, (_, i) =>
    event(1, bootVariable, variable(`Boot000${i}`, Buffer.alloc(120))),
  )
  const separators = [0, 1, 2, 3, 4, 5, 6, 7].map(pcr => event(pcr, separator, Buffer.alloc(4)))
  const line = Buffer.from("/vmlinuz root=UUID=3d1c2a9e ro quiet")
  const command = (text: string): Buffer => event(8, ipl, Buffer.from(`grub_cmd: ${text}\0`), Buffer.from(text))
  const files = Array.from({ length: 12 }, (_, i) =>
    event(9, ipl, Buffer.from(`(hd0,gpt2)/boot/grub/file${i}.mod\0`), randomBytes(32)),
  )
  const fixed = [...head, ...settings, ...entries, ...separators, ...files]
  const commands = Array.from({ length: median.events - 1 - fixed.length - 1 }, (_, i) =>
    command(`setparams 'Debian GNU/Linux' ${i}`.padEnd(60, " x")),
  )
  const kernel = event(8, ipl, Buffer.concat([Buffer.from("kernel_cmdline: "), line, Buffer.alloc(1)]), line)
  return new Uint8Array(Buffer.concat([specId(), ...fixed, ...commands, kernel]))
}

const field = (bytes: Buffer): Buffer => Buffer.concat([le(bytes.length, 4), bytes])

/** An entry of the template ima-ng. */
export function imaEntry(path: string, digest: Buffer): Uint8Array {
  const data = Buffer.concat([
    field(Buffer.concat([Buffer.from("sha256:\0"), digest])),
    field(Buffer.from(`${path}\0`)),
  ])
  const shown = createHash("sha1").update(data).digest()
  const template = Buffer.from("ima-ng")
  return new Uint8Array(Buffer.concat([le(10, 4), shown, le(template.length, 4), template, le(data.length, 4), data]))
}

/** A log of `entries`, which begins with the aggregate over `boot`. */
export function imaLog(entries: number, boot: ReadonlyMap<number, Uint8Array>): Uint8Array {
  const values = Array.from({ length: 10 }, (_, pcr) => boot.get(pcr) ?? zero("sha256"))
  const first = imaEntry("boot_aggregate", sha256(Buffer.concat(values)))
  const files = Array.from({ length: entries - 1 }, (_, i) =>
    imaEntry(`/usr/lib/x86_64-linux-gnu/library${i}.so.1.2.3`, randomBytes(32)),
  )
  return new Uint8Array(Buffer.concat([first, ...files]))
}

/** What PCR 10 holds after these entries of the template ima-ng. */
export function imaValue(log: Uint8Array, from = zero("sha256")): Uint8Array {
  let value = from
  const bytes = Buffer.from(log)
  for (let at = 0; at < bytes.length; ) {
    const dataAt = at + 4 + 20 + 4 + bytes.readUInt32LE(at + 24) + 4
    const end = dataAt + bytes.readUInt32LE(dataAt - 4)
    value = extend("sha256", value, sha256(bytes.subarray(dataAt, end)))
    at = end
  }
  return value
}

const u16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff])
const tpm2b = (bytes: Uint8Array): Buffer => Buffer.concat([u16(bytes.length), bytes])
const coordinates = (key: KeyObject): [Buffer, Buffer] => {
  const { x, y } = key.export({ format: "jwk" })
  return [Buffer.from(x ?? "", "base64url"), Buffer.from(y ?? "", "base64url")]
}

const { restricted, sign: signs, fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth } = objectAttributes

/** A machine whose evidence is signed here, with the keys that a verifier pins. */
export class BenchedMachine {
  readonly #ak = generateKeyPairSync("ec", { namedCurve: "P-256" })
  readonly #evidence = generateKeyPairSync("ed25519")
  readonly akPublic: Uint8Array
  readonly evidenceKey: Uint8Array
  readonly #log: Uint8Array
  #sequence = 0

  /** @param records of our own log */
  constructor(records: number) {
    const attributes = restricted | signs | fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth
    const [x, y] = coordinates(this.#ak.publicKey)
    const attributeBytes = Buffer.alloc(4)
    attributeBytes.writeUInt32BE(attributes)
    const head = [u16(0x0023), u16(0x000b), attributeBytes, tpm2b(Buffer.alloc(0)), Buffer.from("00100018000b", "hex")]
    this.akPublic = new Uint8Array(Buffer.concat([...head, u16(0x0003), u16(0x0010), tpm2b(x), tpm2b(y)]))
    this.evidenceKey = new Uint8Array(
      Buffer.from(this.#evidence.publicKey.export({ format: "jwk" }).x ?? "", "base64url"),
    )
    const measurements = Array.from({ length: records - 1 }, (_, i) =>
      writeEvent({
        ...{ type: "assay.measurement.v1", source: "library", subject: `/usr/lib/library${i}.so`, state: "present" },
        facts: [
          ["sha256", randomBytes(32).toString("hex")],
          ["version", "12.4.127-1"],
        ],
      }),
    )
    const opening = writeEvent({
      type: "assay.epoch.v1",
      reason: "boot",
      resetCount: 7,
      restartCount: 0,
      boot: "b",
      previous: null,
    })
    const lines = [opening, ...measurements].map((content, i) => writeCelLine(celRecord(i, 23, ["sha256"], content)))
    this.#log = new Uint8Array(Buffer.concat(lines))
  }

  /** Evidence over these logs, and what a verifier expects of it. `ima` is the value of PCR 10. */
  attest(
    logs: ReadonlyMap<BootLogName, Uint8Array>,
    values: ReadonlyMap<number, Uint8Array>,
  ): { evidence: UntrustedEvidence; expected: Expected } {
    const [nonce, channel] = [new Uint8Array(randomBytes(32)), new Uint8Array(randomBytes(32))]
    const made = "2026-05-04T03:02:01.000Z"
    const akName = toHex(nameOf(readPublic(this.akPublic)))
    const pcrs = [...Array.from({ length: 16 }, (_, i) => i), 23]
    const body: Body = {
      kind: "answer",
      ...{ attester: akName, ak: akName, evidenceKey: toBase64(this.evidenceKey), audience: "collector" },
      chain: { id: "ab".repeat(16), sequence: String(++this.#sequence), previous: null, predecessor: null },
      ...{ made, boot: "b", selection: { bank: "sha256", pcrs }, logPcr: 23 },
      logs: [{ name: "assay", length: this.#log.length, digest: toHex(sha256(this.#log)) }],
      ...{ nonce: toBase64(nonce), channel: toBase64(channel), credential: "none" },
    }
    const quoted = new Map(pcrs.map(pcr => [pcr, values.get(pcr) ?? zero("sha256")]))
    quoted.set(23, replayCel(readCel(this.#log), 23, "sha256"))
    const clock = { milliseconds: 1000n, resetCount: 7, restartCount: 0, safe: 1 }
    const attest = encode(quote, {
      ...{ magic: 0xff544347, type: 0x8018, qualifiedSigner: Buffer.concat([u16(0x000b), Buffer.alloc(32)]) },
      ...{ qualifyingData: qualifyingData(body, new Uint8Array(0)), clock, firmwareVersion: 1n },
      ...{ selections: [body.selection], pcrDigest: compositeDigest("sha256", pcrs, quoted) },
    })
    const raw = sign("sha256", attest, { key: this.#ak.privateKey, dsaEncoding: "ieee-p1363" })
    const signed = encode(signature, { kind: "ecdsa", hash: "sha256", r: raw.subarray(0, 32), s: raw.subarray(32) })
    const named = bootLogNames.flatMap((name): BootLog[] => {
      const bytes = logs.get(name)
      return bytes ? [{ name, state: "present", length: bytes.length, digest: toHex(sha256(bytes)) }] : []
    })
    const payload = writePayload({
      body,
      quote: {
        ...{ attest: toBase64(attest), signature: toBase64(signed), logs: named, audit: null },
        pcrs: [...quoted].map(([pcr, value]) => [pcr, toHex(value)]),
      },
    })
    const envelope = seal(
      payloadTypes.evidence,
      payload,
      this.evidenceKey,
      message => new Uint8Array(sign(null, message, this.#evidence.privateKey)),
    )
    return {
      evidence: { envelope, logs: new Map([["assay", this.#log], ...logs]) },
      expected: {
        keys: { attester: akName, ak: this.akPublic, evidenceKey: this.evidenceKey },
        asked: { kind: "nonce", nonce, channel, credential: new Uint8Array(0) },
        ...{ pcrs, logPcr: 23, audience: { named: "collector" }, now: Date.parse(made) },
      },
    }
  }

  /** The two signatures of evidence alone, over messages of its size: what verification cannot do without. */
  bare(): () => boolean {
    const attest = randomBytes(160)
    const envelope = randomBytes(3000)
    const quoteSignature = sign("sha256", attest, this.#ak.privateKey)
    const envelopeSignature = sign(null, envelope, this.#evidence.privateKey)
    const [ak, evidence] = [this.#ak.publicKey, this.#evidence.publicKey]
    return () =>
      verifyBare("sha256", attest, ak, quoteSignature) && verifyBare(null, envelope, evidence, envelopeSignature)
  }
}

/** The values of PCRs 0 to 9 and 11 to 15 after a firmware log. */
export function bootValues(log: Uint8Array): ReadonlyMap<number, Uint8Array> {
  const read = readFirmwareLog(log)
  return replayFirmwareLog(read, "sha256", startupOf(read)).values
}
