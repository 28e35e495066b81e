/**
 * Which firmware runs beside the processor's own: Intel's management engine, AMD's security processor, the board's management
 * controller? Their versions, as their drivers show them (Documentation/ABI); nothing where there is no such driver.
 */
import { posix } from "node:path"
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Host } from "../../host.ts"
import { fact, filesAsFacts, prefixed } from "../source.ts"

type Family = {
  readonly folder: string
  readonly devices: RegExp
  readonly files: readonly string[]
  readonly as: string
}

/** sysfs-class-mei, sysfs-driver-ccp, sysfs-devices-platform-ipmi. What counts or names the single machine is left out. */
const families: readonly Family[] = [
  {
    as: "management-engine",
    folder: "/sys/class/mei",
    devices: /^mei\d{1,3}$/,
    files: ["fw_ver", "hbm_ver_drv", "kind"],
  },
  {
    as: "security-processor",
    folder: "/sys/bus/pci/drivers/ccp",
    devices: /^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/,
    files: [
      "fused_part",
      "debug_lock_on",
      "tsme_status",
      "anti_rollback_status",
      "rpmc_production_enabled",
      "rpmc_spirom_available",
      "hsp_tpm_available",
      "rom_armor_enforced",
      "bootloader_version",
      "tee_version",
    ],
  },
  {
    as: "management-controller",
    folder: "/sys/devices/platform",
    devices: /^ipmi_bmc\.\d{1,5}$/,
    files: ["firmware_revision", "aux_firmware_revision", "ipmi_version", "manufacturer_id", "product_id", "revision"],
  },
]

/** Facts of each controller that shows itself; where none does, where it was looked for. */
export async function controllerFacts(host: Host): Promise<Fact[]> {
  const facts: Fact[] = []
  for (const family of families) facts.push(...(await familyFacts(host, family)))
  return facts
}

async function familyFacts(host: Host, { folder, devices, files, as }: Family): Promise<Fact[]> {
  const listed = await host.list(folder)
  const names = listed.state === "present" ? listed.value.filter(each => devices.test(each)).slice(0, 16) : []
  const facts: Fact[] = []
  for (const name of names) {
    const told = await filesAsFacts(host, posix.join(folder, name), files)
    facts.push(...told.filter(([state]) => state !== "absent").map(prefixed(`${as}/${name}`)))
  }
  if (facts.length > 0) return facts
  return [listed.state === "unreadable" ? fact(as, listed) : ["absent", `${as} in ${folder}`]]
}
