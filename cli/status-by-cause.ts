/** For how many reasons are machines not better than they are? Each reason once, however many machines it is of. */
import { askOffice } from "./office.ts"
import type { Exit } from "./exit.ts"
import { plain, remark, type Terminal, wrapped, writeJsonLine } from "./terminal.ts"
import { lookOf } from "./verdict.ts"

/** Counts the collector's machines by cause. */
export async function byCause(
  { collectorConfig, json }: { readonly collectorConfig?: string | undefined; readonly json: boolean },
  terminal: Terminal,
): Promise<Exit> {
  const { causes } = await askOffice(collectorConfig, office => office.call("causes", {}))
  if (json) {
    writeJsonLine(terminal, { causes })
    return "good"
  }
  if (causes.length === 0) remark(terminal, "no attester is enrolled")
  const { out } = terminal
  for (const { cause, tier, machines, labels } of causes) {
    const names = labels.map(each => plain(each, 32)).join(", ") + (machines > labels.length ? ", …" : "")
    const head = `  ${String(machines).padStart(6)}  ${out.style(lookOf[tier], tier.padEnd(16))}`
    out.write(`${head}${wrapped(plain(cause ?? "nothing holds it down", 256), out.width - 26, 26)}\n`)
    out.write(`          ${out.style("faint", names)}\n`)
  }
  return "good"
}
