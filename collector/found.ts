/** How does a finding stand in a row of ours, and in an answer to an operator? As verify and appraise made it. */
import { z } from "zod"
import { line } from "../attestation/wire/text.ts"
import { type FindingId, findings } from "../attestation/verify/finding.ts"

const id = z.custom<FindingId>(value => typeof value === "string" && Object.hasOwn(findings, value), "no finding")

/** A finding, its texts bounded. */
export const found = z.strictObject({ id, component: line(2048), seen: line(4096), wanted: line(4096) })
