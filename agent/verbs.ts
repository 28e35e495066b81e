/**
 * What may be asked of a running agent? How it stands, to measure now, and to join a collector; over its Unix socket. Who may
 * ask is the socket file's mode. How it is answered: `main.ts`.
 */
import { z } from "zod"
import { base64, base64Exactly, count, hex, instant, line } from "../attestation/wire/text.ts"
import { tpmName } from "../attestation/protocol/evidence.ts"
import { secretLimit, secretName } from "../attestation/protocol/release.ts"
import { logState } from "./broker/verbs.ts"

/** The name of the agent's socket in its runtime folder. */
export const agentSocket = "agent.sock"

const depth = z.enum(["quick", "full"])

/** `since` is when it became so; a problem is what ended the last attempt. */
const connection = z.discriminatedUnion("state", [
  z.strictObject({ state: z.literal("not enrolled") }),
  z.strictObject({ state: z.literal("connecting"), since: instant }),
  z.strictObject({ state: z.literal("connected"), since: instant }),
  z.strictObject({ state: z.literal("waiting"), since: instant, until: instant, problem: line(1024) }),
])

const status = z.strictObject({
  version: line(32),
  /** Name of the EK */
  attester: tpmName,
  collector: z
    .strictObject({ host: line(253), port: count(65_535), pin: hex(32), resultKey: base64Exactly(32), joined: instant })
    .nullable(),
  connection,
  /** the last evidence that was made */
  evidence: z
    .strictObject({ digest: hex(32), kind: z.enum(["answer", "report"]), audience: line(128), made: instant })
    .nullable(),
  acknowledged: z
    .strictObject({
      evidence: hex(32),
      tier: z.enum(["affirming", "warning", "contraindicated", "none"]),
      at: instant,
      /** when the collector means to ask again */
      next: instant,
    })
    .nullable(),
  refused: z
    .strictObject({ evidence: hex(32).nullable(), at: instant, findings: z.array(line(64)).max(64) })
    .nullable(),
  spool: z.strictObject({ waiting: count(1 << 24), acknowledged: count(1 << 24) }),
  /** the file of a model that is hashed now; `done` and `total` in bytes of the model */
  hashing: z
    .strictObject({
      model: line(1024),
      file: line(1024),
      done: count(Number.MAX_SAFE_INTEGER),
      total: count(Number.MAX_SAFE_INTEGER),
    })
    .nullable(),
  /** the reading of all weights in the background: bytes of this walk */
  recheck: z.discriminatedUnion("state", [
    z.strictObject({ state: z.literal("off") }),
    z.strictObject({ state: z.literal("nothing to read") }),
    z.strictObject({
      state: z.enum(["under way", "done"]),
      reads: z.enum(["buffered", "direct"]),
      done: count(Number.MAX_SAFE_INTEGER),
      total: count(Number.MAX_SAFE_INTEGER),
      begun: instant,
      until: instant,
    }),
  ]),
  log: logState,
})
export type Status = z.infer<typeof status>

const joined = z.strictObject({ attester: tpmName, host: line(253), port: count(65_535) })

const ready = z.strictObject({
  /** the number of records in the log with this one */
  record: count(1 << 24),
  files: z.array(z.strictObject({ path: z.string(), sha256: hex(32) })),
  models: z.array(z.strictObject({ path: z.string(), digest: hex(32), files: count(1 << 24) })),
  bytes: count(Number.MAX_SAFE_INTEGER),
})

/** Verb → what it takes and what it gives. */
export const agentVerbs = {
  status: { needs: "the socket", request: z.strictObject({}), answer: status },
  /** measures now; `appended` events were new */
  measure: {
    needs: "the socket",
    request: z.strictObject({ depth }),
    answer: z.strictObject({ log: logState, appended: count(1 << 24) }),
  },
  /**
   * hashes what a command names, and records it, before it is started by the process of this number, which becomes it;
   * `environment` holds what changes how models are run, and arguments are one byte a character
   */
  run: {
    needs: "the socket",
    request: z.strictObject({
      process: count(1 << 30),
      program: z.string().max(4096),
      given: z
        .array(z.string().max(1 << 17))
        .min(1)
        .max(4096),
      cwd: z.string().max(4096),
      path: z.string().max(1 << 16),
      environment: z.array(z.string().max(1 << 17)).max(1024),
      alsoModels: z.array(z.string().max(4096)).max(256),
      depth,
    }),
    answer: ready,
  },
  /** joins the collector of an invitation and connects to it */
  join: {
    needs: "an invitation",
    request: z.strictObject({ invitation: line(1024) }),
    answer: joined,
  },
  /** the same under a new AK; refused while evidence waits, since it is signed by the AK of before */
  rotate: { needs: "an invitation", request: z.strictObject({ invitation: line(1024) }), answer: joined },
  /** a secret that the collector keeps for this machine: released on an answer that is made for it now, or why not */
  secret: {
    needs: "the socket",
    request: z.strictObject({ name: secretName }),
    answer: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("released"), evidence: hex(32), secret: base64(secretLimit) }),
      z.strictObject({ kind: z.literal("withheld"), reason: line(512), hint: line(512) }),
    ]),
  },
} as const
