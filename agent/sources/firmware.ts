/**
 * Which firmware brought this machine up, as the kernel passes on what it says of itself? What the TPM recorded of the same
 * boot is the firmware's event log; here it is only told whether there is one.
 */
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import type { Found, Host } from "../host.ts"
import { type Context, contentDigest, fact, filesAsFacts, known, measurements, type Source } from "./source.ts"

/** SMBIOS (DMTF DSP0134), types 0 to 3, without serial numbers: those tell a machine apart, not what it runs. */
const smbiosFields = [
  "bios_vendor",
  "bios_version",
  "bios_date",
  "bios_release",
  "ec_firmware_release",
  "sys_vendor",
  "product_name",
  "product_version",
  "product_sku",
  "product_family",
  "board_vendor",
  "board_name",
  "board_version",
  "chassis_vendor",
  "chassis_type",
]
const smbiosTable = "/sys/firmware/dmi/tables/DMI"

/** UEFI 2.10, 3.3 and 32.6.1: the vendor GUIDs of the variables that decide what may boot. */
const global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
const imageSecurity = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
const flags = [`SecureBoot-${global}`, `SetupMode-${global}`, `AuditMode-${global}`, `DeployedMode-${global}`]
const databases = [`PK-${global}`, `KEK-${global}`, `db-${imageSecurity}`, `dbx-${imageSecurity}`]
const variables = "/sys/firmware/efi/efivars"

const eventLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

export const firmware: Source = {
  name: "firmware",
  measure: async context => [
    ...(await smbios(context.host)),
    ...(await uefi(context.host)),
    ...(await microcode(context.host)),
    ...tpm(context),
    ...(await log(context.host)),
  ],
}

async function smbios(host: Host): Promise<Measurement[]> {
  const fields = await filesAsFacts(host, "/sys/class/dmi/id", smbiosFields)
  return measurements("firmware", "smbios", [
    ...fields,
    fact("table", contentDigest(await host.readBytes(smbiosTable, 1 << 20))),
  ])
}

async function uefi(host: Host): Promise<Measurement[]> {
  const efi = await host.stat("/sys/firmware/efi")
  if (efi.state !== "present") return measurements("firmware", "uefi", [fact("/sys/firmware/efi", efi)])
  const facts: Fact[] = [known("boot", "uefi")]
  for (const name of flags) facts.push(fact(nameOf(name), flagIn(await host.readBytes(`${variables}/${name}`, 16))))
  for (const name of databases) {
    const content = withoutAttributes(await host.readBytes(`${variables}/${name}`, 1 << 20))
    facts.push(fact(nameOf(name), contentDigest(content)))
  }
  return measurements("firmware", "uefi", facts)
}

const nameOf = (variable: string): string => variable.slice(0, variable.indexOf("-"))

/** efivarfs puts the variable's four bytes of attributes in front (Documentation/filesystems/efivarfs.rst). */
function withoutAttributes(found: Found<Uint8Array>): Found<Uint8Array> {
  if (found.state !== "present") return found
  if (found.value.length < 4)
    return { state: "unreadable", problem: `${found.value.length} bytes, too few for a variable` }
  return { state: "present", value: found.value.subarray(4) }
}

function flagIn(found: Found<Uint8Array>): Found<string> {
  const content = withoutAttributes(found)
  if (content.state !== "present") return content
  const [value] = content.value
  if (content.value.length !== 1 || (value !== 0 && value !== 1))
    return { state: "unreadable", problem: `${Buffer.from(content.value).toString("hex")} is neither 00 nor 01` }
  return { state: "present", value: value === 1 ? "on" : "off" }
}

/** One revision if all processors agree, else each with its processors' count. */
async function microcode(host: Host): Promise<Measurement[]> {
  const folder = "/sys/devices/system/cpu"
  const listed = await host.list(folder)
  if (listed.state !== "present") return measurements("firmware", "microcode", [fact(folder, listed)])
  const facts: Fact[] = []
  for (const cpu of listed.value.filter(name => /^cpu\d{1,5}$/.test(name)))
    facts.push(fact("revision", await host.readLine(`${folder}/${cpu}/microcode/version`)))
  const seen = new Map(facts.map(each => [each.join("\0"), each]))
  const distinct = [...seen.values()].filter(([name]) => name !== "absent" || seen.size === 1)
  return measurements("firmware", "microcode", distinct.length > 0 ? distinct : [["absent", "revision"]])
}

const tpm = ({ tpm: { manufacturer, vendor, firmware, software, banks } }: Context): Measurement[] =>
  measurements("firmware", "tpm", [
    known("manufacturer", manufacturer),
    known("vendor", vendor),
    known("firmware", firmware),
    known("kind", software ? "software" : "device"),
    ...banks.map(bank => known("bank", bank)),
  ])

/** "No log" is a state of its own: some boot paths extend PCRs and leave none. */
async function log(host: Host): Promise<Measurement[]> {
  const read = await host.readBytes(eventLog, 1 << 24)
  const size = read.state === "present" ? [known("size", read.value.length)] : []
  return measurements("firmware", "event-log", [fact(eventLog, contentDigest(read)), ...size])
}
