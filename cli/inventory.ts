/**
 * What does a common inventory program say of this machine, beside what was measured? `systeminformation` runs programs from PATH and
 * fills in values where there are none, so nothing that it says is measured, and it runs in no service: it is shown, and where
 * it contradicts what was measured, that is shown too.
 */
import type { FactRow } from "./machine.ts"
import { type Output, plain } from "./terminal.ts"

/** `measured`: what was measured of the same thing, or "nothing"; `differs`: both speak, and disagree. */
export type InventoryRow = {
  readonly name: string
  readonly says: string
  readonly measured: string
  readonly differs: boolean
}

type Said = readonly (readonly [name: string, says: string, component: string, fact: string])[]

/** What systeminformation says now, each beside the name of the fact that speaks of the same thing. */
async function said(): Promise<Said> {
  const { default: about } = await import("systeminformation")
  const [system, bios, cpu, os, graphics] = await Promise.all([
    about.system(),
    about.bios(),
    about.cpu(),
    about.osInfo(),
    about.graphics(),
  ])
  return [
    ["kernel", os.kernel, "kernel running", "/proc/sys/kernel/osrelease"],
    ["machine", system.model, "firmware smbios", "product_name"],
    ["maker", system.manufacturer, "firmware smbios", "sys_vendor"],
    ["firmware's maker", bios.vendor, "firmware smbios", "bios_vendor"],
    ["firmware", bios.version, "firmware smbios", "bios_version"],
    ["firmware's date", bios.releaseDate ?? "", "firmware smbios", "bios_date"],
    ["processor", `${cpu.manufacturer} ${cpu.brand}`.trim(), "firmware processor", "model name"],
    ["system", `${os.distro} ${os.release}`.trim(), "", ""],
    ...graphics.controllers
      .slice(0, 16)
      .map(each => ["graphics", `${each.vendor} ${each.model}`.trim(), "", ""] as const),
  ]
}

/** The inventory of this machine beside facts that were measured, of this machine or of another. */
export async function inventory(facts: readonly FactRow[]): Promise<InventoryRow[]> {
  return (await said()).map(([name, says, component, fact]) => {
    const measured = facts.find(each => each.component === component && each.fact === fact)?.value ?? "nothing"
    return { name, says, measured, differs: measured !== "nothing" && normal(says) !== normal(measured) }
  })
}

/** SMBIOS writes month, day and year; white space and case say nothing. */
const normal = (text: string): string =>
  text
    .replace(/^(\d\d)\/(\d\d)\/(\d{4})$/, "$3-$1-$2")
    .replaceAll(/\s+/g, " ")
    .trim()
    .toLowerCase()

/** The inventory as a table, under a heading that says what it is worth. */
export function writeInventory(out: Output, rows: readonly InventoryRow[]): void {
  out.write(`${out.style("strong", "inventory: the word of systeminformation, measured by nobody")}\n`)
  for (const { name, says, measured, differs } of rows) {
    const beside = differs ? out.style("bad", `  contradicts what was measured: ${plain(measured, 80)}`) : ""
    out.write(`  ${name.padEnd(18)}${plain(says, 80) || out.style("faint", "says nothing")}${beside}\n`)
  }
}
