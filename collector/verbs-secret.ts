/** What may an operator ask of secrets? The verbs of `verbs.ts` that are carried out in `administer-secrets.ts`. None gives a secret's bytes. */
import { z } from "zod"
import { tpmName } from "../attestation/protocol/evidence.ts"
import { secretLimit, secretName } from "../attestation/protocol/release.ts"
import { base64, count, instant, line } from "../attestation/wire/text.ts"
import { releaseTiers } from "./secret.ts"

const person = line(128).min(1)
const reason = line(300).min(1)
const whom = line(253).min(1)

/** A secret that is kept, without its bytes; `releases` since it was put, and when last. */
const kept = z.strictObject({
  attester: tpmName,
  /** what it calls itself: anybody may have written it */
  label: line(253),
  name: secretName,
  tier: z.enum(releaseTiers),
  by: person,
  reason,
  at: instant,
  releases: count(Number.MAX_SAFE_INTEGER),
  last: instant.nullable(),
})
export type KeptRow = z.infer<typeof kept>

export const secretVerbs = {
  /** keeps a secret for one attester, in place of one of the same name; `tier` is the least good verdict on which it is released */
  "secret-put": {
    needs: "a person",
    request: z.strictObject({
      attester: whom,
      name: secretName,
      tier: z.enum(releaseTiers),
      by: person,
      reason,
      secret: base64(secretLimit).min(1),
    }),
    answer: z.strictObject({ attester: tpmName, name: secretName, replaced: z.boolean() }),
  },
  /** what is kept; `next` is how many to skip after these, or null */
  "secret-list": {
    needs: "the socket",
    request: z.strictObject({ skip: count(1 << 24) }),
    answer: z.strictObject({ secrets: z.array(kept).max(200), next: count(1 << 24).nullable() }),
  },
  /** forgets a secret; `attester` may be null where only one has a secret of this name */
  "secret-withdraw": {
    needs: "a person",
    request: z.strictObject({ attester: whom.nullable(), name: secretName, by: person, reason }),
    answer: z.strictObject({ attester: tpmName, name: secretName }),
  },
} as const
