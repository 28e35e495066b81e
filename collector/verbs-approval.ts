/** What may an operator ask of approvals and gaps? The verbs of `verbs.ts` that are carried out in `administer-approval.ts`. */
import { z } from "zod"
import { tiers } from "../attestation/appraise/component.ts"
import { statementKinds } from "../attestation/pins/statement.ts"
import { tpmName } from "../attestation/protocol/evidence.ts"
import { base64, count, hex, instant, line } from "../attestation/wire/text.ts"
import { questions } from "./gap.ts"

const person = line(128).min(1)
const reason = line(300).min(1)
const tier = z.enum(tiers)
/** YYYY-MM-DD */
const day = z.iso.date()
const piece = z.strictObject({ length: count(1 << 30), bytes: base64(1 << 20) })

export const approvalVerbs = {
  /** publishes a note: a policy, a pin, a rollback or a certification, if those who signed it may approve it */
  publish: {
    needs: "people's signatures",
    request: z.strictObject({ note: base64(1 << 20) }),
    answer: z.discriminatedUnion("kind", [
      z.strictObject({ kind: z.literal("accepted"), note: z.enum(statementKinds), origin: line(512), digest: hex(32) }),
      z.strictObject({ kind: z.literal("refused"), why: line(1024) }),
    ]),
  },
  /** what was published, in the order of its acceptance, and the policy root that this collector pins */
  notes: {
    needs: "the socket",
    request: z.strictObject({ skip: count(1 << 24) }),
    answer: z.strictObject({
      root: hex(32).nullable(),
      notes: z
        .array(z.strictObject({ kind: z.enum(statementKinds), origin: line(512), digest: hex(32), at: instant }))
        .max(100),
      next: count(1 << 24).nullable(),
    }),
  },
  /** bytes of a published note */
  note: {
    needs: "the socket",
    request: z.strictObject({ digest: hex(32), offset: count(1 << 20) }),
    answer: piece,
  },
  /** the record that a pinned digest stands for, where a machine was recorded that showed it; whoever asks hashes it */
  measured: {
    needs: "the socket",
    request: z.strictObject({ digest: hex(32) }),
    answer: z.strictObject({
      record: z
        .string()
        .max(1 << 20)
        .nullable(),
    }),
  },
  /** answers for which nobody's name can be given, with who is to close each, and when */
  gaps: {
    needs: "the socket",
    request: z.strictObject({ skip: count(1 << 24) }),
    answer: z.strictObject({
      gaps: z
        .array(
          z.strictObject({
            gap: line(64),
            question: z.enum(questions),
            attester: tpmName,
            label: line(253),
            says: line(512),
            holds: line(256),
            /** oldest first: the last counts, those before it are its moved dates */
            plans: z.array(z.strictObject({ owner: person, closes: day, by: person, reason, at: instant })).max(16),
          }),
        )
        .max(100),
      next: count(1 << 24).nullable(),
    }),
  },
  /** gives a gap, or all of one question, an owner and a date, under a person's name */
  "gap-plan": {
    needs: "a person",
    request: z.strictObject({ gap: line(64).min(1), owner: person, closes: day, by: person, reason }),
    answer: z.strictObject({ gap: line(64) }),
  },
  /** machines by the one reason for which their verdict is not better */
  causes: {
    needs: "the socket",
    request: z.strictObject({}),
    answer: z.strictObject({
      causes: z
        .array(
          z.strictObject({
            cause: line(256).nullable(),
            tier,
            machines: count(1 << 30),
            labels: z.array(line(253)).max(8),
          }),
        )
        .max(200),
    }),
  },
} as const
