/**
 * What do attester, collector and outside verifier say to each other? Each message once. Text frames of a WebSocket hold
 * one message; binary frames hold the bytes that an `evidence` message announced. Protocol: docs/the-protocol.md.
 */
import { z } from "zod"
import { readJson, writeJson } from "../wire/json.ts"
import { base64, base64Exactly, count, hex, line } from "../wire/text.ts"
import { envelopeLimit } from "./dsse.ts"
import { audit, logLimits, tpmName } from "./evidence.ts"
import { sealedLimit, secretName } from "./release.ts"

/** WebSocket subprotocol, paths and bounds. */
export const subprotocol = "assay.v1"
export const paths = { attester: "/v1/attester", verifier: "/v1/verifier" } as const
export const messageLimit = 1 << 16
export const chunkLimit = 1 << 18
/** RFC 9266: the label under which TLS 1.3 exports 32 bytes that only the two ends of this connection know. */
export const channelLabel = "EXPORTER-Channel-Binding"

const credential = z.strictObject({ idObject: base64(256), encryptedSecret: base64(1024) })
const creation = z.strictObject({ data: base64(1024), attest: base64(1024), signature: base64(1024) })

/** Who an attester says it is, with what proves it to whoever checks. */
export const identity = z.strictObject({
  /** Name of the EK */
  attester: tpmName,
  /** TPMT_PUBLIC */
  ekPublic: base64(1024),
  /** as it stood in the TPM, or null where there is none */
  ekCertificate: base64(8192).nullable(),
  akPublic: base64(1024),
  /** TPMS_CREATION_DATA and the AK's own certification of it */
  creation,
  evidenceKey: base64Exactly(32),
})
export type Identity = z.infer<typeof identity>

const digest = hex(32)
const finding = z.strictObject({ id: line(64), component: line(1200), seen: line(4096), wanted: line(4096) })

/**
 * A log from `offset` on; the bytes follow the envelope's, in this order. To a collector from 0, or from a length that it
 * acknowledged in this log epoch; to an outside verifier from 0. Evidence that is refused with `log.missing` may be sent once more, from 0.
 */
const logPart = z
  .strictObject({ name: line(32), offset: count(logLimits.ima), length: count(logLimits.ima) })
  .refine(({ name, offset, length }) => offset + length <= limitOf(name), "more than such a log may have")

/** The most bytes of the log of this name: none of one that is not known. */
const limitOf = (name: string): number =>
  new Map<string, number>(Object.entries(logLimits)).get(name) ?? logLimits.assay

const evidence = z.strictObject({
  type: z.literal("evidence"),
  /** the challenge that this answers, or null for a report */
  challenge: hex(16).nullable(),
  envelope: count(envelopeLimit),
  logs: z.array(logPart).min(1).max(8),
})
const goodbye = z.strictObject({ type: z.literal("goodbye"), reason: line(256), retryAfterSeconds: count(86_400) })

const fromAttester = z.discriminatedUnion("type", [
  /** the first message of an attester that is enrolled; also after `enrolled`, on that connection or a later one */
  z.strictObject({ type: z.literal("hello"), attester: tpmName, ak: tpmName, version: line(32) }),
  z.strictObject({ type: z.literal("enrol"), invitation: base64Exactly(32), identity, label: line(253) }),
  /** `audit`: command audit of TPM2_PCR_Reset as it stands now, stated over the secret; null where it cannot be armed */
  z.strictObject({ type: z.literal("activated"), secret: base64Exactly(32), audit: audit.nullable() }),
  evidence,
  z.strictObject({ type: z.literal("declined"), challenge: hex(16), reason: line(512) }),
  /** the first step of a full challenge is done: everything was read again, between two records with its nonce */
  z.strictObject({ type: z.literal("hashed"), challenge: hex(16) }),
  /** a secret is wanted that is kept for this attester: a challenge follows, and after its answer `released` or `withheld` */
  z.strictObject({ type: z.literal("want"), secret: secretName }),
  goodbye,
])
export type FromAttester = z.infer<typeof fromAttester>

const challenge = z.strictObject({
  type: z.literal("challenge"),
  id: hex(16),
  nonce: base64Exactly(32),
  audience: line(128),
  /** quick: what changed is measured again; full: every weight file is read again */
  depth: z.enum(["quick", "full"]),
  deadlineSeconds: count(86_400),
  credential: credential.nullable(),
})
export type Challenge = z.infer<typeof challenge>

const tier = z.enum(["affirming", "warning", "contraindicated", "none"])
const toAttester = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("credential"), credential }),
  /** `audience` is for whom this collector wants evidence */
  z.strictObject({ type: z.literal("enrolled"), attester: tpmName, resultKey: base64Exactly(32), audience: line(128) }),
  challenge,
  /**
   * The evidence is verified, judged and on disk. To a connection that has not answered in time yet, `tier` is "none". What was
   * relayed to an outside verifier is not acknowledged.
   */
  z.strictObject({ type: z.literal("acknowledged"), evidence: digest, tier, nextSeconds: count(86_400) }),
  /** evidence is missing: all that was acknowledged after this one is wanted once more, oldest first, or all that is kept */
  z.strictObject({ type: z.literal("resend"), after: digest.nullable() }),
  /** what was wanted, for the sake of this evidence; the credential holds the key that it is sealed with (`release.ts`) */
  z.strictObject({
    type: z.literal("released"),
    secret: secretName,
    evidence: digest,
    credential,
    sealed: base64(sealedLimit),
  }),
  /** what was wanted is not given: why, and what to do, for people */
  z.strictObject({ type: z.literal("withheld"), secret: secretName, reason: line(512), hint: line(512) }),
  z.strictObject({ type: z.literal("refused"), evidence: digest.nullable(), findings: z.array(finding).max(64) }),
  goodbye,
])
export type ToAttester = z.infer<typeof toAttester>

/** What admits a verifier to a collector; null at an agent's own door, which knows verifiers by their TLS keys. */
const token = base64Exactly(32).nullable()

const fromVerifier = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("who"), token, attester: tpmName }),
  z.strictObject({
    type: z.literal("ask"),
    token,
    attester: tpmName,
    nonce: base64Exactly(32),
    depth: z.enum(["quick", "full"]),
    credential,
  }),
])
export type FromVerifier = z.infer<typeof fromVerifier>

const toVerifier = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("identity"), identity, endorsement: line(512) }),
  evidence,
  z.strictObject({ type: z.literal("declined"), challenge: hex(16).nullable(), reason: line(512) }),
  goodbye,
])
export type ToVerifier = z.infer<typeof toVerifier>

const bytesOf = (text: string | Uint8Array): Uint8Array => (typeof text === "string" ? Buffer.from(text, "utf8") : text)

/** Each reads one text frame and throws Malformed for anything that is not exactly one such message. */
export const readFromAttester = (text: string | Uint8Array): FromAttester =>
  readJson(fromAttester, bytesOf(text), messageLimit)
export const readToAttester = (text: string | Uint8Array): ToAttester =>
  readJson(toAttester, bytesOf(text), messageLimit)
export const readFromVerifier = (text: string | Uint8Array): FromVerifier =>
  readJson(fromVerifier, bytesOf(text), messageLimit)
export const readToVerifier = (text: string | Uint8Array): ToVerifier =>
  readJson(toVerifier, bytesOf(text), messageLimit)

/** The text frame of a message. */
export const writeMessage = (message: FromAttester | ToAttester | FromVerifier | ToVerifier): string =>
  Buffer.from(writeJson(message)).toString("utf8")
