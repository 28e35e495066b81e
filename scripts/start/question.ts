/** How is the machine asked, and how is what comes back shown in few lines? By the product's own command; all of it: `assay challenge`. */
import { z } from "zod"
import type { Result } from "../../attestation/appraise/result.ts"
import { type Effect, type Finding, findings } from "../../attestation/verify/finding.ts"
import { resultOf } from "../../cli/challenge.ts"
import { type Output, wrapped } from "../../cli/terminal.ts"
import { lookOf, row, writeAuthority } from "../../cli/verdict.ts"
import type { Act } from "./act.ts"

const ended = z.object({ kind: z.literal("judged"), result: z.string() })

/** Asks anew, and says what was concluded. */
export const challenge = ({ house, steps, run, out }: Act): Promise<Result> =>
  steps.step("challenge", async going => {
    going("a fresh nonce; the agent measures and the TPM quotes")
    const { out: said } = await run(["challenge", "--json", "--config", house.collector], "", [0, 3])
    const result = resultOf(ended.parse(JSON.parse(said)).result)
    return [`answered and judged: ${tierIn(out, result)}`, result]
  })

const tierIn = (out: Output, { tier }: Result): string => out.style("strong", out.style(lookOf[tier], tier))

/** The verdict, and whose word stands behind each answer. */
export function writeShort(out: Output, result: Result): void {
  row(out, "overall", tierIn(out, result))
  writeAuthority(out, result.authority)
}

/** What holds a verdict down: a line for each kind of finding. */
export function writeReasons(out: Output, found: readonly Finding[]): void {
  const effects: readonly Effect[] = ["refuses", "contraindicates", "warns"]
  const ids = [...new Set(found.map(({ id }) => id))].filter(id => effects.includes(findings[id].effect))
  out.write("\n")
  for (const id of ids) {
    const text = wrapped(`${id}  ${findings[id].means}`, out.width - 6, 6)
    out.write(`  ${out.style("doubtful", "!")} ${text.replace(id, out.style("doubtful", id))}\n`)
  }
}
