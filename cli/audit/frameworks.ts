/**
 * Which controls of which frameworks do people map this to? Dated data to edit: a copy lies in each audit folder as frameworks.json, to be
 * given back, edited, with --frameworks. It says what speaks to a control, never that a control is met.
 */
import { z } from "zod"
import { line } from "../../attestation/wire/text.ts"

const framework = z.strictObject({
  framework: line(128),
  control: line(256),
  evidence: line(256),
  /** when this row was written, YYYY-MM-DD */
  asOf: z.iso.date(),
})
export type Framework = z.infer<typeof framework>
export const frameworkTable = z.array(framework).max(256)

/** What is written where nobody gives another table. Check each row against its source before you rely on it. */
export const frameworks: readonly Framework[] = [
  {
    framework: "EU AI Act (Regulation 2024/1689)",
    control: "Article 12, record-keeping",
    evidence: "evidence and results as leaves of the vault; holes shown as holes",
    asOf: "2026-11-21",
  },
  {
    framework: "EU AI Act (Regulation 2024/1689)",
    control: "Article 19, retention of logs",
    evidence: "vault.retention and the leaves of kind pruning",
    asOf: "2026-11-21",
  },
  {
    framework: "PRA SS1/23 (model risk management)",
    control: "model identification and change control",
    evidence: "weights by manifest, pins with approvals and change ids",
    asOf: "2026-11-21",
  },
  {
    framework: "SR 26-2 / OCC 2026-13 (replacing SR 11-7)",
    control: "inventory and change control; generative models are outside its scope",
    evidence: "which weights ran where and when, approved by whom",
    asOf: "2026-11-21",
  },
]
