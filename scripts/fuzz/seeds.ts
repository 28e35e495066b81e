/** What does well-formed input look like? Keys and structures made at every run, with keys of node:crypto in a TPM's formats. */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto"
import { writeResult } from "../../attestation/appraise/result.ts"
import { writeReference } from "../../attestation/pins/reference.ts"
import { payloadTypes, seal } from "../../attestation/protocol/dsse.ts"
import { writeEvent } from "../../attestation/protocol/event.ts"
import { type Audit, type Body, type Payload, writePayload } from "../../attestation/protocol/evidence.ts"
import { writeInvitation } from "../../attestation/protocol/invitation.ts"
import { type FromAttester, type Identity, writeMessage } from "../../attestation/protocol/message.ts"
import { auditQualifyingData, qualifyingData } from "../../attestation/protocol/qualifying-data.ts"
import { auditAttest, creationAttest, quote } from "../../attestation/tcg/attest.ts"
import { celRecord, readCel, replayCel, writeCelLine } from "../../attestation/tcg/cel.ts"
import type { Chance } from "../../attestation/tcg/credential.ts"
import { compositeDigest } from "../../attestation/tcg/pcr.ts"
import { nameOf, objectAttributes, type PublicArea, readPublic } from "../../attestation/tcg/public.ts"
import { signature } from "../../attestation/tcg/signature.ts"
import { auditedCommands } from "../../attestation/verify/audit.ts"
import type { Expected } from "../../attestation/verify/verify.ts"
import { encode } from "../../attestation/wire/codec.ts"
import { fromBase64, toBase64, toHex } from "../../attestation/wire/text.ts"

/** Parts behind one another. */
export const join = (...parts: readonly Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts))
export const utf8 = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, "utf8"))

const u16 = (value: number): Uint8Array => Uint8Array.of(value >> 8, value & 0xff)
const u32 = (value: number): Uint8Array => join(u16(value >>> 16), u16(value & 0xffff))
const tpm2b = (bytes: Uint8Array): Uint8Array => join(u16(bytes.length), bytes)
const sha256 = (bytes: Uint8Array): Uint8Array => new Uint8Array(createHash("sha256").update(bytes).digest())
const base64url = (text: string | undefined): Uint8Array => new Uint8Array(Buffer.from(text ?? "", "base64url"))

const { restricted, sign: signs, decrypt, fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth } = objectAttributes
const held = fixedTPM | fixedParent | sensitiveDataOrigin | userWithAuth | restricted

/** TPMT_PUBLIC of a P-256 key that signs, or of one that decrypts. */
function eccArea(key: KeyObject, use: "sign" | "decrypt"): Uint8Array {
  const { x, y } = key.export({ format: "jwk" })
  const forUse = use === "sign" ? "00100018000b" : "0006008000430010"
  return join(
    ...[u16(0x0023), u16(0x000b), u32(held | (use === "sign" ? signs : decrypt)), tpm2b(new Uint8Array(0))],
    ...[Buffer.from(forUse, "hex"), u16(0x0003), u16(0x0010), tpm2b(base64url(x)), tpm2b(base64url(y))],
  )
}

function rsaArea(key: KeyObject, use: "sign" | "decrypt"): Uint8Array {
  const { n } = key.export({ format: "jwk" })
  const head = [u16(0x0001), u16(0x000b), u32(held | (use === "sign" ? signs : decrypt)), tpm2b(new Uint8Array(0))]
  const forUse = use === "sign" ? "00100014000b" : "0006008000430010"
  return join(...head, Buffer.from(forUse, "hex"), u16(2048), u32(0), tpm2b(base64url(n)))
}

const ak = generateKeyPairSync("ec", { namedCurve: "P-256" })
const ek = generateKeyPairSync("ec", { namedCurve: "P-256" })
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 })
const evidence = generateKeyPairSync("ed25519")
export const evidenceKey = base64url(evidence.publicKey.export({ format: "jwk" }).x)
export const akPublic = eccArea(ak.publicKey, "sign")
export const ekPublic = eccArea(ek.publicKey, "decrypt")
/** EKs, for which a credential is made. */
export const storageKeys = [ekPublic, rsaArea(rsa.publicKey, "decrypt")]
export const publicAreas = [akPublic, ...storageKeys, rsaArea(rsa.publicKey, "sign")]

const ephemeral = (curve: string): Uint8Array =>
  new Uint8Array(generateKeyPairSync("ec", { namedCurve: curve }).privateKey.export({ format: "der", type: "pkcs8" }))
const ephemerals = { p256: ephemeral("P-256"), p384: ephemeral("P-384"), p521: ephemeral("P-521") }
/** The chance that a credential for `ek` needs. */
export const chanceFor = (ek: PublicArea): Chance =>
  ek.kind === "rsa"
    ? { kind: "rsa", seed: new Uint8Array(64), mask: new Uint8Array(64) }
    : { kind: "ecc", ephemeral: ephemerals[ek.curve] }

const akName = nameOf(readPublic(akPublic))
const attester = toHex(nameOf(readPublic(ekPublic)))

function signed(message: Uint8Array): Uint8Array {
  const raw = new Uint8Array(sign("sha256", message, { key: ak.privateKey, dsaEncoding: "ieee-p1363" }))
  return encode(signature, { kind: "ecdsa", hash: "sha256", r: raw.subarray(0, 32), s: raw.subarray(32) })
}

/** Signatures over nothing in particular, by each kind of key. */
export const signatures = [
  signed(utf8("a message")),
  encode(signature, { kind: "rsassa", hash: "sha256", value: sign("sha256", utf8("a message"), rsa.privateKey) }),
]

const clock = { milliseconds: 123_456n, resetCount: 7, restartCount: 1, safe: 1 }
const attestHead = {
  magic: 0xff544347,
  qualifiedSigner: akName,
  clock,
  firmwareVersion: 0x2023_0001_0002_0003n,
} as const

/** TPMS_CREATION_DATA under the endorsement hierarchy, and the AK's certification of it. */
function creationOf(): { data: Uint8Array; attest: Uint8Array; signature: Uint8Array } {
  const parent = u32(0x4000000b)
  const none = new Uint8Array(0)
  const data = join(
    u32(0),
    tpm2b(sha256(none)),
    Uint8Array.of(1),
    u16(0x0010),
    tpm2b(parent),
    tpm2b(parent),
    tpm2b(none),
  )
  const attest = encode(creationAttest, {
    ...attestHead,
    type: 0x801a,
    qualifyingData: none,
    objectName: akName,
    creationHash: sha256(data),
  })
  return { data, attest, signature: signed(attest) }
}
export const creation = creationOf()

const boot = "0e2c5f0e-7f0c-4f8e-9d3e-1a2b3c4d5e6f"
/** Contents of log records: one of each kind. */
export const events = [
  writeEvent({ type: "assay.epoch.v1", reason: "boot", resetCount: 7, restartCount: 1, boot, previous: null }),
  writeEvent({
    ...{ type: "assay.measurement.v1", source: "weights", subject: "/srv/model", state: "present" },
    facts: [
      ["sha256", "ab".repeat(32)],
      ["fs-verity", "cd".repeat(32)],
    ],
  }),
  writeEvent({ type: "assay.measurement.v1", source: "driver", subject: "", state: "absent", facts: [] }),
  writeEvent({ type: "assay.hash-begun.v1", nonce: toBase64(new Uint8Array(32).fill(5)) }),
  writeEvent({ type: "assay.hash-done.v1", nonce: toBase64(new Uint8Array(32).fill(5)) }),
]

const logPcr = 23
/** A log that holds `contents`. */
export const logOf = (contents: readonly string[]): Uint8Array =>
  join(...contents.map((content, i) => writeCelLine(celRecord(i, logPcr, ["sha256", "sha384"], content))))
export const log = logOf(events)

const nonce = new Uint8Array(randomBytes(32))
const channel = new Uint8Array(randomBytes(32))
const made = "2026-05-04T03:02:01.000Z"

function bodyOf(kind: Body["kind"]): Body {
  const common = {
    ...{ attester, ak: toHex(akName), evidenceKey: toBase64(evidenceKey), audience: "collector" },
    chain: { id: toHex(randomBytes(16)), sequence: "1", previous: null, predecessor: null },
    ...{ made, boot, selection: { bank: "sha256" as const, pcrs: [0, 7, logPcr] }, logPcr },
    logs: [{ name: "assay", length: log.length, digest: toHex(sha256(log)) }],
  }
  if (kind === "report") return { kind, ...common, after: toHex(randomBytes(32)) }
  return { kind, ...common, nonce: toBase64(nonce), channel: toBase64(channel), credential: "none" }
}

function payloadOf(body: Body): Payload {
  const values = new Map<number, Uint8Array>([0, 7].map(pcr => [pcr, new Uint8Array(randomBytes(32))]))
  values.set(logPcr, replayCel(readCel(log), logPcr, "sha256"))
  const attest = encode(quote, {
    ...{ ...attestHead, type: 0x8018, qualifyingData: qualifyingData(body, new Uint8Array(0)) },
    ...{ selections: [body.selection], pcrDigest: compositeDigest("sha256", body.selection.pcrs, values) },
  })
  const pcrs = [...values].map(([pcr, value]): [number, string] => [pcr, toHex(value)])
  const audit = body.kind === "answer" ? auditOf(attest) : null
  return { body, quote: { attest: toBase64(attest), signature: toBase64(signed(attest)), pcrs, logs: [], audit } }
}

/** What command audit stated after the quote `attest`: nothing was reset. */
function auditOf(quoted: Uint8Array): Audit {
  const commands = Object.values(auditedCommands)
  const attest = encode(auditAttest, {
    ...{ ...attestHead, type: 0x8015, qualifyingData: auditQualifyingData(nonce, quoted) },
    ...{ auditCounter: 3n, digestAlg: "sha256", auditDigest: new Uint8Array(0) },
    commandDigest: sha256(join(...commands.map(u32))),
  })
  return { commands, attest: toBase64(attest), signature: toBase64(signed(attest)) }
}

/** Payloads that verify: an answer's, and a report's. */
export const payloads = (["answer", "report"] as const).map(kind => payloadOf(bodyOf(kind)))
export const payloadBytes = payloads.map(writePayload)
export const audits = payloads.flatMap(({ quote: { audit } }) => (audit ? [fromBase64(audit.attest)] : []))
export const attests = payloads.map(({ quote: { attest } }) => new Uint8Array(Buffer.from(attest, "base64")))

/** `payload` in an envelope, signed by the evidence key. */
export const enveloped = (payload: Uint8Array): Uint8Array =>
  seal(payloadTypes.evidence, payload, evidenceKey, message => new Uint8Array(sign(null, message, evidence.privateKey)))

/** What a verifier expects that asked for the answer among {@link payloads}. */
export const expected: Expected = {
  keys: { attester, ak: akPublic, evidenceKey },
  asked: { kind: "nonce", nonce, channel, credential: new Uint8Array(0) },
  pcrs: [0, 7, logPcr],
  ...{ logPcr, audience: { named: "collector" } },
  now: Date.parse(made),
}

const identity: Identity = {
  ...{ attester, ekPublic: toBase64(ekPublic), ekCertificate: null, akPublic: toBase64(akPublic) },
  creation: {
    ...{ data: toBase64(creation.data), attest: toBase64(creation.attest), signature: toBase64(creation.signature) },
  },
  evidenceKey: toBase64(evidenceKey),
}

const digest = toHex(randomBytes(32))
const token = toBase64(randomBytes(32))
const id = toHex(randomBytes(16))
const credential = { idObject: toBase64(randomBytes(80)), encryptedSecret: toBase64(randomBytes(70)) }
const announced: FromAttester & { type: "evidence" } = {
  ...{ type: "evidence", challenge: id, envelope: 2000, logs: [{ name: "assay", offset: 0, length: 4096 }] },
}
const goodbye = { type: "goodbye", reason: "no more", retryAfterSeconds: 60 } as const
const noted = { id: "log.missing", component: "log", seen: "no log", wanted: "4096 bytes of one log" }
const told = (message: Parameters<typeof writeMessage>[0]): Uint8Array => utf8(writeMessage(message))

/** One message of each kind. */
export const messages = {
  fromAttester: [
    told({ type: "hello", attester, ak: toHex(akName), version: "0.1.0" }),
    told({ type: "enrol", invitation: token, identity, label: "a machine" }),
    told({ type: "activated", secret: token, audit: null }),
    told({ type: "activated", secret: token, audit: payloads[0]?.quote.audit ?? null }),
    told({ type: "hashed", challenge: id }),
    told({ type: "want", secret: "disk-key" }),
    told(announced),
    told({ ...announced, challenge: null, envelope: 1 }),
    told({ type: "declined", challenge: id, reason: "the TPM is busy" }),
    told(goodbye),
  ],
  toAttester: [
    told({ type: "credential", credential }),
    told({ type: "enrolled", attester, resultKey: token, audience: "collector" }),
    told({
      ...{
        type: "challenge",
        id,
        nonce: token,
        audience: "collector",
        depth: "quick",
        deadlineSeconds: 600,
        credential,
      },
    }),
    told({ type: "acknowledged", evidence: digest, tier: "warning", nextSeconds: 300 }),
    told({ type: "resend", after: digest }),
    told({ type: "released", secret: "disk-key", evidence: digest, credential, sealed: token }),
    told({ type: "withheld", secret: "disk-key", reason: "not yet", hint: "later" }),
    told({ type: "refused", evidence: digest, findings: [noted] }),
  ],
  fromVerifier: [
    told({ type: "who", token, attester }),
    told({ type: "ask", token, attester, nonce: token, depth: "full", credential }),
  ],
  toVerifier: [
    told({ type: "identity", identity, endorsement: "by name" }),
    told(announced),
    told({ type: "declined", challenge: null, reason: "nobody of this name" }),
  ],
}

export const invitation = writeInvitation({
  ...{ host: "collector.example", port: 7443, pin: randomBytes(32), token: randomBytes(32) },
})

const message = utf8("a message")
/** Public key, signature, message. */
export const ed25519 = [join(evidenceKey, sign(null, message, evidence.privateKey), message)]

export const references = [
  writeReference({
    ...{ type: "assay.reference.v1", attester, by: "a person", recorded: made, evidence: digest },
    measurements: events.slice(1),
  }),
]

export const results = [
  writeResult({
    ...{ attester, evidence: digest, kind: "answer", asked: made, received: made, tier: "warning" },
    components: [{ name: "driver", tier: "warning", says: "no reference", findings: [] }],
    findings: [
      { id: "history.not-checked", component: "history", seen: "nothing", wanted: "the evidence before this" },
    ],
    authority: { hash: null, key: { name: attester, word: "TPM-sealed" }, pin: null },
    custody: [{ signs: "quote", key: attester, class: "TPM-resident", chain: ["EK that nobody vouches for"] }],
    ...{ policy: null, pin: null, cause: "history.not-checked history" },
    ...{ reference: null, verifier: { version: "0.1.0", build: digest } },
  }),
]

export const agentConfigurations = [
  `state = "/var/lib/assay-agent"\n[tpm]\npcr = 23\npcrs = [0, 7, 23] # some\nsoftware = false\n
[[weights]]\nname = "a model"\npath = '/srv/models/a'\n[hash]\nworkers = 2\nrate = 0x10\n[reports]\nevery = 3_600\n`,
  'weights = [{ path = "/a", links = "anywhere" }, { path = "/\\u00e9" }]\nspool.evidence = 10\n',
].map(utf8)

export const collectorConfigurations = [
  'name = "collector"\n[listen]\nhost = "::"\nport = 7443\n[challenge]\nevery = 300\nstale = 900\n[evidence]\npcrs = [0]\n',
  `runtime = """/run/a"""\nadvertise.host = "[fe80::1]"\nlimits = { asks = 6, late = 0 }\n`,
].map(utf8)
