/**
 * What is evidence? A DSSE envelope whose payload holds a body and the TPM's quote over it. An *answer* carries the nonce
 * that asked for it and the channel it was asked on; a *report* was made while nobody asked. Format: docs/the-evidence.md.
 */
import { hash } from "node:crypto"
import { z } from "zod"
import { digestOf } from "../wire/digest.ts"
import { readExact, writeExact, writeJson } from "../wire/json.ts"
import { base64, base64Exactly, count, decimal64, hex, instant, line } from "../wire/text.ts"
import { celLimits } from "../tcg/cel.ts"
import { firmwareLimits } from "../tcg/firmware/log.ts"
import { imaLimits } from "../tcg/ima/entry.ts"
import { measureLogLimits } from "../tcg/measure-log.ts"

/** A Name of SHA-256 or SHA-384, in hex. */
export const tpmName = z.string().regex(/^(000b[0-9a-f]{64}|000c[0-9a-f]{96})$/, "not the Name of a TPM object in hex")

/** Where evidence stands among the evidence for one audience. */
const chain = z.strictObject({
  /** drawn anew at every start of the broker */
  id: hex(16),
  /** strictly rising, persisted before the quote; a number may be skipped */
  sequence: decimal64,
  /** SHA-256 of the evidence before this one in the chain, or null for the first */
  previous: hex(32).nullable(),
  /** for the first only: the last evidence of the chain before it; its digest is null if it was begun and never finished */
  predecessor: z.strictObject({ id: hex(16), sequence: decimal64, digest: hex(32).nullable() }).nullable(),
})

/** A log whose first `length` bytes belong to this evidence; they travel beside it. */
const log = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9-]{0,31}$/),
  length: count(celLimits.log),
  digest: hex(32),
})

const common = {
  attester: tpmName,
  /** Name of the AK that quotes */
  ak: tpmName,
  /** Ed25519 public key that signs the envelope */
  evidenceKey: base64Exactly(32),
  /** for whom this chain is: a collector's or an outside verifier's name */
  audience: line(128),
  chain,
  /** when the attester says that it made this: a claim */
  made: instant,
  /** the kernel's boot id: a label, which root can forge */
  boot: line(64),
  selection: z.strictObject({ bank: z.literal("sha256"), pcrs: z.array(count(23)).min(1).max(24) }),
  /** the PCR that holds our event log */
  logPcr: count(23),
  logs: z.array(log).min(1).max(8),
} as const

const answer = z.strictObject({
  kind: z.literal("answer"),
  ...common,
  nonce: base64Exactly(32),
  /** RFC 9266 tls-exporter channel binding of the connection that asked, or empty when it came by no connection */
  channel: base64(32).refine(text => text === "" || text.length === 44, "neither empty nor 32 bytes"),
  /** whether a secret recovered by TPM2_ActivateCredential is in the qualifying data */
  credential: z.enum(["none", "recovered"]),
})

const report = z.strictObject({
  kind: z.literal("report"),
  ...common,
  /** digest of the newest acknowledged evidence that the attester had seen: this was not made before it */
  after: hex(32).nullable(),
})

export const body = z.discriminatedUnion("kind", [answer, report])
export type Body = z.infer<typeof body>
export type Answer = z.infer<typeof answer>

/** The logs of a boot that others wrote: the firmware's, systemd's and IMA's. */
export const bootLogNames = ["firmware", "userspace", "ima"] as const
export type BootLogName = (typeof bootLogNames)[number]

/** The most bytes of each log that may come with evidence. */
export const logLimits = {
  assay: celLimits.log,
  firmware: firmwareLimits.log,
  userspace: measureLogLimits.log,
  ima: imaLimits.log,
} as const

/**
 * How a boot log stood when it was read, after the quote: its first `length` bytes travel beside the evidence. That there is
 * none, or that the agent may not read it, is a claim; what is there is tied to the quote by its replay.
 */
const bootLog = z.discriminatedUnion("state", [
  z.strictObject({
    name: z.enum(bootLogNames),
    state: z.literal("present"),
    length: count(imaLimits.log),
    digest: hex(32),
  }),
  z.strictObject({ name: z.enum(bootLogNames), state: z.literal("absent") }),
  z.strictObject({ name: z.enum(bootLogNames), state: z.literal("unreadable") }),
])
export type BootLog = z.infer<typeof bootLog>

/** What is said of each boot log, in the order of {@link bootLogNames}, none twice. */
export const bootLogs = z
  .array(bootLog)
  .max(bootLogNames.length)
  .refine(logs => logs.every(({ name }, i) => i === 0 || place(name) > place(logs[i - 1]?.name)), "not in order")

const place = (name: BootLogName | undefined): number => (name === undefined ? -1 : bootLogNames.indexOf(name))

/** What TPM2_GetCommandAuditDigest stated, and the codes of the commands that were under audit, in ascending order. */
export const audit = z.strictObject({
  commands: z.array(count(0xffffffff)).min(1).max(64),
  /** TPMS_ATTEST */
  attest: base64(1024),
  /** TPMT_SIGNATURE */
  signature: base64(1024),
})
export type Audit = z.infer<typeof audit>

/** What the TPM signed, and the values that it signed: everything that cannot be in the body. */
const quoted = z.strictObject({
  /** TPMS_ATTEST */
  attest: base64(1024),
  /** TPMT_SIGNATURE */
  signature: base64(1024),
  /** PCR index and value of the selection's bank, in ascending order */
  pcrs: z.array(z.tuple([count(23), hex(32)])).max(24),
  /** logs that others write and that go on growing: read after the quote, which their replay ties them to */
  logs: bootLogs,
  /** command audit of TPM2_PCR_Reset, read after the quote; null where it is not armed */
  audit: audit.nullable(),
})

const payload = z.strictObject({ body, quote: quoted })
export type Payload = z.infer<typeof payload>

/** The most bytes of a payload. */
export const payloadLimit = 1 << 18

/** The payload in `bytes`. Throws Malformed. */
export const readPayload = (bytes: Uint8Array): Payload => readExact(payload, bytes, payloadLimit)

/** The exact bytes of a payload. Throws Malformed if it would not be read back. */
export const writePayload = (value: Payload): Uint8Array => writeExact(payload, value)

/** SHA-256 of the body's exact bytes, which stand in the payload as they are hashed here. */
export const bodyDigest = (value: Body): Uint8Array => digestOf("sha256", writeExact(body, value))

/** The same of a body that {@link readPayload} gave: its members are in order already. */
export const digestAsRead = (value: Body): Uint8Array => digestOf("sha256", writeJson(value))

/** What evidence is called: SHA-256 of its payload. The envelope around it may be signed anew; the payload is what is said. */
export const evidenceDigest = (payloadBytes: Uint8Array): string => hash("sha256", payloadBytes)
