/** How is a gap in a chain of evidence closed? By what fills it, or by a named person; either is a leaf of the vault. */
import { z } from "zod"
import { writeJson } from "../attestation/wire/json.ts"
import type { Database } from "./database.ts"
import { appendLeaf } from "./vault/leaves.sqlite.ts"

/** Which gaps of an attester: those that lack the evidence `is`, or all that are open. */
export type Closing = {
  readonly attester: string
  readonly at: number
  readonly by: string
  readonly reason: string
} & ({ readonly where: "missing"; readonly is: string } | { readonly where: "open" })

const gapRow = z.strictObject({ gap: z.string() })

/** Closes them within the caller's transaction. */
export function closeGaps(db: Database, closing: Closing): void {
  const { attester, at, by, reason } = closing
  const which = closing.where === "missing" ? "AND missing = ?" : ""
  const closed = db.all(
    gapRow,
    `INSERT INTO closing (gap, at, by, reason) SELECT evidence, ?, ?, ? FROM gap
     WHERE attester = ? ${which} ON CONFLICT DO NOTHING RETURNING gap`,
    ...[at, by, reason, attester],
    ...(closing.where === "missing" ? [closing.is] : []),
  )
  for (const { gap } of closed)
    appendLeaf(db, { kind: "chain-gap-closed", bytes: writeJson({ evidence: gap, attester, at, by, reason }), at })
}
