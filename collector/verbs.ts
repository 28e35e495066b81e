/**
 * What may an operator ask of the collector? A closed set of verbs over its Unix socket, each a request and an answer. Who may
 * connect is the socket's mode; that a person is named is kept with what they did. How they are carried out: `administer.ts`.
 */
import { z } from "zod"
import { tiers } from "../attestation/appraise/appraise.ts"
import { decision, endorsement } from "../attestation/appraise/endorsement.ts"
import { bootLogNames, logLimits, tpmName } from "../attestation/protocol/evidence.ts"
import { identity } from "../attestation/protocol/message.ts"
import { mostFiles } from "../attestation/pins/reference.ts"
import { base64, base64Exactly, count, hex, instant, line } from "../attestation/wire/text.ts"
import { approvalVerbs } from "./verbs-approval.ts"
import { secretVerbs } from "./verbs-secret.ts"
import { found } from "./found.ts"

/** The socket's name in the runtime folder. */
export const socketName = "admin.sock"

/** A person, by name: what an operator's word is kept under. */
const person = line(128).min(1)
const reason = line(300).min(1)
/** An attester as people name it: its name, the beginning of it, or its label, if only one fits. */
const whom = line(253).min(1)
const findings = z.array(found).max(64)
const tier = z.enum(tiers)
const answer = z.strictObject({ name: line(256), word: line(256) }).nullable()
const authority = z.strictObject({ hash: answer, key: answer, pin: answer })
/** How an attester stands at the moment of asking. */
const standing = z.strictObject({
  attester: tpmName,
  /** what it calls itself: anybody may have written it */
  label: line(253),
  state: z.enum(["unknown", "affirming", "warning", "contraindicated"]),
  stale: z.boolean(),
  /** when the nonce of the newest answer in time was issued, or null */
  fresh: instant.nullable(),
  connected: z.boolean(),
  retired: z.boolean(),
  /** who vouches for its EK, in words */
  endorsement: line(512),
})
export type Shown = z.infer<typeof standing>

const incident = z.strictObject({
  at: instant,
  kind: z.enum(["refused", "missed", "declined"]),
  evidence: hex(32).nullable(),
  findings,
  says: line(512),
})

/** Who retired an attester, when and why. */
const retirement = z.strictObject({ at: instant, by: line(128), reason: line(300) })
export type Retired = z.infer<typeof retirement>

/** An admitted certificate of a TPM maker; `admitted` by whom, or because the table of makers' roots lists it. */
const admittedCertificate = z.strictObject({
  fingerprint: hex(32),
  role: z.enum(["root", "intermediate"]),
  maker: line(128),
  approval: z.union([z.literal("listed"), decision]),
  at: instant,
})
export type AdmittedRow = z.infer<typeof admittedCertificate>

/** A piece of something longer: `length` is of the whole. */
const piece = z.strictObject({ length: count(1 << 30), bytes: base64(1 << 20) })

/** Verb → what it takes and what it gives. */
export const verbs = {
  /** who this collector is: version, build digest, pin of its TLS key, key of its results, where it listens */
  identity: {
    needs: "the socket",
    request: z.strictObject({}),
    answer: z.strictObject({
      version: line(32),
      build: hex(32),
      name: line(64),
      pin: base64Exactly(32),
      resultKey: base64Exactly(32),
      host: line(253),
      port: count(65_535),
      started: instant,
      attesters: count(1 << 30),
      connected: count(1 << 30),
    }),
  },
  /** makes an invitation; the line that it gives is not kept and cannot be shown again */
  invite: {
    needs: "a person",
    request: z.strictObject({
      by: person,
      purpose: z.enum(["attester", "verifier"]),
      /** what it admits is called; an outside verifier's evidence names it as its audience */
      name: z
        .string()
        .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/, "a name of letters, digits, dots, dashes and underscores"),
      /** null: as configured */
      lifetimeSeconds: count(2_592_000).min(1).nullable(),
      /** for an attester: admits this EK only, for which this person vouches */
      accept: z.strictObject({ ek: tpmName, by: person, reason }).nullable(),
    }),
    answer: z.strictObject({ id: hex(32), invitation: line(512), expires: instant }),
  },
  /** a new TLS key, signed by the one of before, which is then forgotten; both pins */
  "tls-rotate": {
    needs: "a person",
    request: z.strictObject({ by: person, reason }),
    answer: z.strictObject({ pin: hex(32), before: hex(32) }),
  },
  /** an invitation admits nobody from now on; who was admitted stays */
  revoke: {
    needs: "a person",
    request: z.strictObject({ id: hex(32), by: person }),
    answer: z.strictObject({ revoked: z.boolean() }),
  },
  /** invitations, newest first, issued before this; `next` is what to ask for after these, or null */
  invitations: {
    needs: "the socket",
    request: z.strictObject({ before: instant.nullable() }),
    answer: z.strictObject({
      invitations: z
        .array(
          z.strictObject({
            id: hex(32),
            purpose: z.enum(["attester", "verifier"]),
            name: line(64),
            by: line(128),
            issued: instant,
            expires: instant,
            /** the EK that it is bound to, and who vouches for that one */
            accept: z.strictObject({ ek: tpmName, by: line(128), reason: line(300) }).nullable(),
            state: z.enum(["open", "used", "revoked", "expired"]),
          }),
        )
        .max(200),
      next: instant.nullable(),
    }),
  },
  /** admits the certificate of a TPM maker, under a person's name where the table of makers' roots does not list it */
  "roots-add": {
    needs: "a listed root, or a person",
    request: z.strictObject({ certificate: base64(8192), approver: decision.nullable() }),
    answer: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("admitted"), certificate: admittedCertificate }),
      z.strictObject({ kind: z.literal("known"), certificate: admittedCertificate }),
      z.strictObject({
        kind: z.literal("refused"),
        fingerprint: hex(32).nullable(),
        subject: line(128),
        why: line(1024),
      }),
    ]),
  },
  /** what is admitted; `next` is how many to skip after these, or null */
  "roots-list": {
    needs: "the socket",
    request: z.strictObject({ skip: count(1 << 16) }),
    answer: z.strictObject({ certificates: z.array(admittedCertificate).max(200), next: count(1 << 16).nullable() }),
  },
  /** a certificate vouches for nobody from now on, nor for those who are enrolled */
  "roots-withdraw": {
    needs: "a person",
    request: z.strictObject({ fingerprint: hex(32), by: person, reason }),
    answer: z.strictObject({ withdrawn: z.boolean() }),
  },
  /** an attester is none any more: what it sends is refused, and its TPM comes back only by name */
  retire: {
    needs: "a person",
    request: z.strictObject({ attester: whom, by: person, reason }),
    answer: z.strictObject({ attester: tpmName, enrolments: count(1 << 30) }),
  },
  /** the fleet, by name; `next` is what to ask for after this, or null */
  attesters: {
    needs: "the socket",
    request: z.strictObject({ after: z.union([tpmName, z.literal("")]) }),
    answer: z.strictObject({ attesters: z.array(standing).max(200), next: tpmName.nullable() }),
  },
  /** one attester: how it stands and why */
  status: {
    needs: "the socket",
    request: z.strictObject({ attester: whom }),
    answer: z.strictObject({
      standing,
      /** `endorsement` is as it counts now */
      enrolled: z.strictObject({
        ...{ number: count(1 << 30), at: instant, ak: tpmName, evidenceKey: base64Exactly(32), endorsement },
      }),
      retired: retirement.nullable(),
      /** names under which the same TPM was seen: its other EKs */
      aliases: z.array(tpmName).max(16),
      /** the newest answer in time */
      answer: z
        .strictObject({
          evidence: hex(32),
          asked: instant,
          received: instant,
          tier,
          reference: hex(32).nullable(),
          authority,
          cause: line(256).nullable(),
          says: z.array(z.strictObject({ name: line(64), tier, says: line(1024) })).max(64),
          findings,
        })
        .nullable(),
      /** newest first */
      incidents: z.array(incident).max(20),
      /** evidence before which some is missing */
      gaps: z.array(z.strictObject({ evidence: hex(32), missing: hex(32).nullable(), opened: instant })).max(64),
      /** the digest of the reference that it is compared with */
      reference: hex(32).nullable(),
    }),
  },
  /** asks now, and waits for how it ends, at most the deadline */
  challenge: {
    needs: "the socket",
    request: z.strictObject({ attester: whom, depth: z.enum(["quick", "full"]) }),
    answer: z.discriminatedUnion("kind", [
      z.strictObject({
        kind: z.literal("judged"),
        attester: tpmName,
        evidence: hex(32),
        tier,
        findings,
        /** the signed attestation result */
        result: base64(1 << 19),
      }),
      z.strictObject({ kind: z.literal("refused"), attester: tpmName, findings }),
      z.strictObject({ kind: z.literal("unanswered"), attester: tpmName, reason: line(512) }),
    ]),
  },
  /** what is needed to verify elsewhere: evidence, its keys as enrolled, the result. The log comes with `log` */
  export: {
    needs: "the socket",
    request: z.strictObject({ attester: whom, evidence: z.union([hex(32), z.enum(["newest", "newest-answer"])]) }),
    answer: z.strictObject({
      evidence: hex(32),
      envelope: base64(1 << 19),
      identity,
      endorsement,
      result: base64(1 << 19),
      /** bytes of the log that belong to it */
      log: count(1 << 24),
      /** the boot logs that it names, which come with `boot-log` */
      bootLogs: z.array(z.enum(bootLogNames)).max(bootLogNames.length),
      received: instant,
    }),
  },
  /** bytes of the log of archived evidence */
  log: {
    needs: "the socket",
    request: z.strictObject({ evidence: hex(32), offset: count(1 << 24) }),
    answer: piece,
  },
  /** bytes of a boot log of archived evidence */
  "boot-log": {
    needs: "the socket",
    request: z.strictObject({ evidence: hex(32), name: z.enum(bootLogNames), offset: count(logLimits.ima) }),
    answer: piece,
  },
  /** proposes what the newest answer in time shows as the reference to compare with, under a person's name */
  "reference-record": {
    needs: "a person",
    request: z.strictObject({ attester: whom, by: person, ignore: z.array(line(1024).min(1)).max(256) }),
    answer: z.strictObject({
      attester: tpmName,
      reference: hex(32),
      evidence: hex(32),
      /** how many of the agent's measurements, of the boot's parts and of the kernel's files it holds */
      measurements: count(4096),
      boot: count(16),
      files: count(mostFiles),
    }),
  },
  /** bytes of the reference that an attester is compared with */
  "reference-show": {
    needs: "the socket",
    request: z.strictObject({ attester: whom, offset: count(1 << 24) }),
    answer: piece,
  },
  ...approvalVerbs,
  ...secretVerbs,
  /** a named person takes back a contraindication and closes every gap: nothing is known until new evidence */
  clear: {
    needs: "a person",
    request: z.strictObject({ attester: whom, by: person, reason }),
    answer: z.strictObject({ attester: tpmName, was: z.enum(["unknown", "affirming", "warning", "contraindicated"]) }),
  },
  /** notes that the store came out of a backup; `attesters` are warnings until they boot anew */
  restored: {
    needs: "a person",
    request: z.strictObject({ by: person, reason }),
    answer: z.strictObject({ attesters: count(Number.MAX_SAFE_INTEGER) }),
  },
} as const
export type CollectorVerbs = typeof verbs
