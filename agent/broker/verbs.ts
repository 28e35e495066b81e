/**
 * What may be asked of the broker? A closed set of verbs over its Unix socket, each a request and an answer. No raw TPM
 * access, no PCR reset, no signature over bytes of the caller's choosing. How they are carried out: `broker.ts`.
 */
import { z } from "zod"
import { identity } from "../../attestation/protocol/message.ts"
import { audit, bootLogs, tpmName } from "../../attestation/protocol/evidence.ts"
import { base64, base64Exactly, count, hex, instant, line } from "../../attestation/wire/text.ts"

/** Where the log of the current epoch stands. */
export const logState = z.strictObject({
  resetCount: count(0xffffffff),
  restartCount: count(0xffffffff),
  records: count(1 << 24),
  length: count(1 << 30),
  digest: hex(32),
})
export type LogState = z.infer<typeof logState>

const credential = z.strictObject({ idObject: base64(256), encryptedSecret: base64(1024) })

const asked = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("answer"),
    nonce: base64Exactly(32),
    channel: base64(32),
    credential: credential.nullable(),
  }),
  z.strictObject({ kind: z.literal("report"), after: hex(32).nullable() }),
])

/** Verb → what it takes and what it gives. */
export const verbs = {
  /** who this attester is, with the AK's proof of creation */
  identity: {
    needs: "the socket",
    request: z.strictObject({}),
    answer: z.strictObject({
      identity,
      ak: tpmName,
      /** "TPM-sealed": the evidence key's custody, as it is shown to people */
      custody: line(64),
      tpm: z.strictObject({ manufacturer: line(16), vendor: line(64), firmware: line(32), software: z.boolean() }),
      banks: z.array(line(16)).max(8),
      log: logState,
    }),
  },
  /** writes an event (its one JSON spelling) to the log, then extends the log's PCR in every active bank */
  append: {
    needs: "the socket",
    request: z.strictObject({ event: z.string().max(1 << 20) }),
    /**
     * `opened`: a new epoch began during this call (resume), before this record: what was measured before is gone from the
     * PCR. One may also begin between calls, at a start of the broker, so compare the counters in every `log` with those
     * that were measured under.
     */
    answer: z.strictObject({ log: logState, opened: z.boolean() }),
  },
  /** quotes over the log as it stands; the next sequence number is on disk before the quote */
  attest: {
    needs: "the socket",
    request: z.strictObject({
      asked,
      audience: line(128),
      made: instant,
      pcrs: z.array(count(23)).min(1).max(24),
    }),
    /**
     * `pcrs` are the quoted values, which tell how much of a growing log belongs to the quote; `log` is the one that it covers.
     * `ticket` is for `seal`, until the next `attest` of this audience; `opened` as above: then measure again and repeat
     */
    answer: z.strictObject({
      ticket: hex(16),
      pcrs: z.array(z.tuple([count(23), hex(32)])).max(24),
      log: logState,
      opened: z.boolean(),
    }),
  },
  /** names the boot logs as they were read after the quote, and signs the evidence */
  seal: {
    needs: "the socket",
    request: z.strictObject({ ticket: hex(16), logs: bootLogs }),
    /** DSSE envelope, and the evidence's digest */
    answer: z.strictObject({ envelope: base64(1 << 19), evidence: hex(32) }),
  },
  /** opens a credential that was made for this EK and this AK */
  activate: {
    needs: "the socket",
    request: z.strictObject({ credential }),
    answer: z.strictObject({ secret: base64(64) }),
  },
  /** for joining: puts TPM2_PCR_Reset under command audit, and states its counter over the secret; null where that cannot be */
  audit: {
    needs: "the socket",
    request: z.strictObject({ secret: base64(64) }),
    answer: z.strictObject({ audit: audit.nullable() }),
  },
  /** draws another AK under the same EK, or takes back the one before, for a collector that did not let the new one in */
  rotate: {
    needs: "the socket",
    request: z.strictObject({ to: z.enum(["new", "previous"]) }),
    answer: z.strictObject({ ak: tpmName }),
  },
  /** bytes of the current epoch's log from `offset` on, at most 512 KiB at once */
  log: {
    needs: "the socket",
    request: z.strictObject({ offset: count(1 << 30) }),
    answer: z.strictObject({ log: logState, bytes: base64(1 << 19) }),
  },
} as const
