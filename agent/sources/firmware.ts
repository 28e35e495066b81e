/**
 * Which firmware brought this machine up, as the kernel passes on what it says of itself? What the TPM recorded of the same
 * boot is the firmware's event log; here it is only told whether there is one.
 */
import { createHash } from "node:crypto"
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import { escaped } from "../escape.ts"
import type { Found } from "../found.ts"
import type { Host } from "../host.ts"
import { controllerFacts } from "./firmware/controllers.ts"
import { fwupd } from "./firmware/fwupd.ts"
import { BadTable, steadyDigest, stringsOf, structuresIn } from "./firmware/smbios.ts"
import { uefiFacts } from "./firmware/uefi.ts"
import { type Context, contradiction, fact, filesAsFacts, known, measurements, type Source } from "./source.ts"

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

const eventLog = "/sys/kernel/security/tpm0/binary_bios_measurements"

export const firmware: Source = {
  name: "firmware",
  measure: async context => {
    const own = await ownWord(context)
    return [...own, ...(await fwupd(context, own))]
  },
}

async function ownWord(context: Context): Promise<Measurement[]> {
  return [
    ...(await smbios(context.host)),
    ...measurements("firmware", "uefi", await uefiFacts(context.host)),
    ...(await microcode(context.host)),
    ...(await processor(context.host)),
    ...measurements("firmware", "controllers", await controllerFacts(context.host)),
    ...tpm(context),
    ...(await log(context.host)),
  ]
}

/** What the kernel shows, the table behind it, and whether they agree. The table is shown to root alone. */
async function smbios(host: Host): Promise<Measurement[]> {
  const fields = await filesAsFacts(host, "/sys/class/dmi/id", smbiosFields)
  const read = await host.readBytes(smbiosTable, 1 << 20)
  const table = read.state === "present" ? tableFacts(read.value, fields) : [fact("table", read)]
  return measurements("firmware", "smbios", [...fields, ...table])
}

function tableFacts(content: Uint8Array, fields: readonly Fact[]): Fact[] {
  try {
    const structures = structuresIn(content)
    const own = stringsOf(structures)
    const disputed = fields.flatMap(([name, value]) => differing(name, value, own.get(name)))
    return [known("table", steadyDigest(structures)), known("structures", structures.length), ...disputed]
  } catch (error) {
    if (!(error instanceof BadTable)) throw error
    return [fact("table", { state: "unreadable", problem: error.message }), known("table-bytes", digestOf(content))]
  }
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`

function differing(name: string, shown: string, own: string | undefined): Fact[] {
  if (own === undefined || escaped(Buffer.from(own, "latin1")) === shown) return []
  return [contradiction(`SMBIOS ${name}`, [`/sys/class/dmi/id says ${shown}`, `the table says ${own}`])]
}

/** One revision if all processors agree. Where sysfs tells none, what the kernel lists of each processor does. */
async function microcode(host: Host): Promise<Measurement[]> {
  const folder = "/sys/devices/system/cpu"
  const listed = await host.list(folder)
  if (listed.state !== "present") return measurements("firmware", "microcode", [fact(folder, listed)])
  const facts: Fact[] = []
  for (const cpu of listed.value.filter(name => /^cpu\d{1,5}$/.test(name)))
    facts.push(fact("revision", await host.readLine(`${folder}/${cpu}/microcode/version`)))
  const shown = facts.some(([name]) => name === "revision") ? facts : [...facts, ...(await listedRevisions(host))]
  const seen = new Map(shown.map(each => [each.join("\0"), each]))
  const distinct = [...seen.values()].filter(([name]) => name !== "absent" || seen.size === 1)
  const revisions = distinct.filter(([name]) => name === "revision").map(([, value]) => value)
  const disputed =
    revisions.length > 1
      ? [
          contradiction(
            "microcode",
            revisions.map(each => `a processor has ${each}`),
          ),
        ]
      : []
  return measurements(
    "firmware",
    "microcode",
    distinct.length > 0 ? [...distinct, ...disputed] : [["absent", "revision"]],
  )
}

async function listedRevisions(host: Host): Promise<Fact[]> {
  const lines = await processorLines(host)
  if (lines.state === "unreadable") return [fact(processors, lines)]
  return lines.state === "present" ? (lines.value.get("microcode") ?? []).map(each => known("revision", each)) : []
}

const processors = "/proc/cpuinfo"

/** Lines "name : value" of /proc/cpuinfo, of all processors together, each value once. */
async function processorLines(host: Host): Promise<Found<ReadonlyMap<string, readonly string[]>>> {
  const read = await host.readBytes(processors, 1 << 22)
  if (read.state !== "present") return read
  const found = new Map<string, string[]>()
  for (const line of Buffer.from(read.value).toString("latin1").split("\n")) {
    const [, name, value] = /^([^\t:]{1,64})\t*: (.{1,256})$/.exec(line) ?? []
    if (name === undefined || value === undefined) continue
    const values = found.get(name) ?? []
    if (!values.includes(value) && values.length < 16) found.set(name, [...values, value])
  }
  return { state: "present", value: found }
}

async function processor(host: Host): Promise<Measurement[]> {
  const lines = await processorLines(host)
  if (lines.state !== "present") return measurements("firmware", "processor", [fact(processors, lines)])
  const names = ["vendor_id", "cpu family", "model", "model name", "stepping"]
  const facts = names.flatMap(name =>
    (lines.value.get(name) ?? []).map(value => known(name, Buffer.from(value, "latin1"))),
  )
  return measurements("firmware", "processor", facts.length > 0 ? facts : [["absent", processors]])
}

function tpm({ tpm: answer }: Context): Measurement[] {
  if (answer === "not asked")
    return measurements("firmware", "tpm", [["unreadable", "it: the broker alone asks it, when evidence is made"]])
  const { manufacturer, vendor, firmware, software, banks } = answer
  return measurements("firmware", "tpm", [
    known("manufacturer", manufacturer),
    known("vendor", vendor),
    known("firmware", firmware),
    known("kind", software ? "software" : "device"),
    ...banks.map(bank => known("bank", bank)),
  ])
}

/**
 * "No log" is a state of its own: some boot paths extend PCRs and leave none. Its bytes are no fact: they hold addresses in memory,
 * which differ from boot to boot. What it says travels with the evidence, and is replayed against the quoted PCRs.
 */
async function log(host: Host): Promise<Measurement[]> {
  const read = await host.readBytes(eventLog, 1 << 24)
  const told = read.state === "present" ? ({ state: "present", value: "shown with the evidence" } as const) : read
  return measurements("firmware", "event-log", [fact(eventLog, told)])
}
