/**
 * What does a verifier tell a relying party? An attestation result: a DSSE envelope over the verdict, naming the evidence, the
 * reference and the verifier, so that anyone can recompute it. Format: docs/the-evidence.md.
 */
import { z } from "zod"
import { readExact, writeExact } from "../wire/json.ts"
import { hex, instant, line } from "../wire/text.ts"
import { tpmName } from "../protocol/evidence.ts"
import { type Appraisal, tiers } from "./appraise.ts"
import { findings } from "../verify/finding.ts"

const found = z.strictObject({
  id: z.enum(Object.keys(findings) as (keyof typeof findings)[]),
  component: line(2048),
  seen: line(4096),
  wanted: line(4096),
})

const component = z.strictObject({ name: line(64), tier: z.enum(tiers), says: line(1024), findings: z.array(found) })

/** An answer to one of the three questions of authority, or null: nobody's. */
const authority = z.strictObject({ name: line(256), word: line(256) }).nullable()

const result = z.strictObject({
  attester: tpmName,
  evidence: hex(32),
  kind: z.enum(["answer", "report"]),
  /** when the nonce was issued (answers), and when the evidence had come whole, by the verifier's clock */
  asked: instant.nullable(),
  received: instant,
  tier: z.enum(tiers),
  components: z.array(component).max(64),
  findings: z.array(found),
  /** whose hash backs the weights, whose key signs, whose pin holds the rest */
  authority: z.strictObject({ hash: authority, key: authority, pin: authority }),
  /** digest of the reference compared with, or null */
  reference: hex(32).nullable(),
  /** the verifier's version and the SHA-256 of its own code */
  verifier: z.strictObject({ version: line(64), build: hex(32) }),
})
export type Result = z.infer<typeof result>

const resultLimit = 1 << 18

/** Throws Malformed. */
export const readResult = (bytes: Uint8Array): Result => readExact(result, bytes, resultLimit)
export const writeResult = (value: Result): Uint8Array => writeExact(result, value)

/** Who stands behind each answer: so far, the TPM that seals the evidence key, and nobody for hash and pin. */
export const authorityOf = (attester: string): Result["authority"] => ({
  hash: null,
  key: { name: attester, word: "TPM-sealed: whoever may use this TPM may sign" },
  pin: null,
})

/** The verdict's parts of a result. */
export const verdictOf = ({
  tier,
  components,
  findings: all,
}: Appraisal): Pick<Result, "tier" | "components" | "findings"> => ({
  tier,
  components: components.map(each => ({ ...each, findings: [...each.findings] })),
  findings: [...all],
})
