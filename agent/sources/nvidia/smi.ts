/**
 * What does nvidia-smi say that proc does not: InfoROM, part numbers, ECC, MIG, persistence, confidential computing? Its own
 * word, through NVIDIA's library: each fact is named after it. Whether it says what others say: contradiction.ts.
 */
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Found, Host } from "../../host.ts"
import { fact, known } from "../source.ts"
import { BadXml, type Element, parseXml, within } from "./xml.ts"

export const nvidiaSmi = "/usr/bin/nvidia-smi"

/** What it says of a card; of what it does not say there is no field. */
export type SmiCard = { readonly address: string; readonly fields: ReadonlyMap<string, string> }
export type Smi = { readonly fields: ReadonlyMap<string, string>; readonly cards: readonly SmiCard[] }

/** Of the machine: what the driver is, and the newest CUDA that it can run, which is not the CUDA that is installed. */
const machineFields = ["driver_version", "cuda_version", "attached_gpus"]

/** Of a card: what is the same tomorrow unless somebody changes it. No counters, clocks, temperatures, serial numbers. */
const cardFields = [
  "product_name",
  "product_brand",
  "product_architecture",
  "uuid",
  "vbios_version",
  "gsp_firmware_version",
  "board_part_number",
  "gpu_part_number",
  "inforom_version/img_version",
  "inforom_version/oem_object",
  "inforom_version/ecc_object",
  "persistence_mode",
  "addressing_mode",
  "compute_mode",
  "ecc_mode/current_ecc",
  "ecc_mode/pending_ecc",
  "mig_mode/current_mig",
  "mig_mode/pending_mig",
  "gpu_virtualization_mode/virtualization_mode",
  "gpu_operation_mode/current_gom",
  "pci/pci_device_id",
  "pci/pci_sub_system_id",
]

/** The output of `nvidia-smi -q -x`. */
export function readSmi(output: Uint8Array): Found<Smi> {
  try {
    const root = parseXml(Buffer.from(output).toString("utf8"))
    if (root.name !== "nvidia_smi_log") return { state: "unreadable", problem: `says ${root.name}, not nvidia_smi_log` }
    const cards = root.children.filter(each => each.name === "gpu").slice(0, 64)
    return { state: "present", value: { fields: fieldsOf(root, machineFields), cards: cards.map(cardOf) } }
  } catch (error) {
    if (error instanceof BadXml) return { state: "unreadable", problem: `its XML ${error.message}` }
    throw error
  }
}

const cardOf = (gpu: Element): SmiCard => ({
  address: addressOf(gpu.attributes.get("id") ?? ""),
  fields: fieldsOf(gpu, cardFields),
})

/** As the kernel spells it: the program writes domains with eight digits, and some releases in capitals. */
const addressOf = (id: string): string => id.toLowerCase().replace(/^0000(?=[0-9a-f]{4}:)/, "")

function fieldsOf(element: Element, paths: readonly string[]): Map<string, string> {
  const found = new Map<string, string>()
  for (const path of paths) {
    const value = within(element, ...path.split("/"))?.text ?? ""
    if (value !== "") found.set(path, value)
  }
  return found
}

/** What it says of cards and driver. It is asked only where a driver is loaded: it could load one. */
export async function askSmi(host: Host): Promise<Found<Smi>> {
  const said = await host.says(nvidiaSmi, ["-q", "-x"])
  return said.state === "present" ? readSmi(said.value) : said
}

/** Its facts: the program's name stands in front of what is its word. */
export const smiFacts = (fields: ReadonlyMap<string, string>): Fact[] =>
  [...fields].map(([name, value]) => known(`nvidia-smi/${name}`, value))

/** Lines of `nvidia-smi conf-compute -q`, "name : value", which have no XML. Drivers before 535 do not know the question. */
export async function confidentialComputing(host: Host, driver: string): Promise<readonly Fact[]> {
  if (!(Number.parseInt(driver, 10) >= 535)) return [["absent", "nvidia-smi/conf-compute"]]
  const said = await host.says(nvidiaSmi, ["conf-compute", "-q"])
  if (said.state !== "present") return [fact("nvidia-smi/conf-compute", said)]
  const lines = Buffer.from(said.value.subarray(0, 1 << 16))
    .toString("utf8")
    .split("\n")
    .slice(0, 64)
  const told = lines.flatMap(each => {
    const [, name, value] = /^\s*([^:=]{1,80}?)\s*:\s*(.*?)\s*$/.exec(each) ?? []
    return name === undefined || value === undefined || value === ""
      ? []
      : [known(`nvidia-smi/conf-compute/${name}`, value)]
  })
  return told.length > 0 ? told : [fact("nvidia-smi/conf-compute", { state: "unreadable", problem: "says nothing" })]
}
