/**
 * What does nvidia-smi say that proc does not: InfoROM, part numbers, ECC, MIG, persistence, confidential computing? Its own
 * word, through NVIDIA's library: each fact is named after it. Whether it says what others say: contradiction.ts.
 */
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { fact, known } from "../source.ts"
import { BadXml, type Element, parseXml, within } from "./xml.ts"

export const nvidiaSmi = "/usr/bin/nvidia-smi"

/** What it says by the names of its XML; `failures`: what it says where it could not find out. What it leaves out is in neither. */
type Words = { readonly fields: ReadonlyMap<string, string>; readonly failures: ReadonlyMap<string, string> }
export type SmiCard = Words & { readonly address: string }
export type Smi = Words & { readonly cards: readonly SmiCard[] }

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
  "inforom_version/pwr_object",
  "persistence_mode",
  "addressing_mode",
  "compute_mode",
  "ecc_mode/current_ecc",
  "ecc_mode/pending_ecc",
  "mig_mode/current_mig",
  "mig_mode/pending_mig",
  "gpu_virtualization_mode/virtualization_mode",
  "gpu_virtualization_mode/host_vgpu_mode",
  "gpu_operation_mode/current_gom",
  "pci/pci_device_id",
  "pci/pci_sub_system_id",
]

/** The output of `nvidia-smi -q -x`, with the warnings that it writes before and behind its XML. */
export function readSmi(output: Uint8Array): Found<Smi> {
  const { xml, remarks } = parted(Buffer.from(output).toString("utf8"))
  try {
    const root = parseXml(xml)
    if (root.name !== "nvidia_smi_log") return { state: "unreadable", problem: `says ${root.name}, not nvidia_smi_log` }
    const cards = root.children.filter(each => each.name === "gpu").slice(0, 64)
    const { fields, failures } = wordsOf(root, machineFields)
    const all = remarks === "" ? fields : new Map([...fields, ["remark", remarks]])
    return { state: "present", value: { fields: all, failures, cards: cards.map(cardOf) } }
  } catch (error) {
    if (error instanceof BadXml) return { state: "unreadable", problem: `its XML ${error.message}` }
    throw error
  }
}

const ending = "</nvidia_smi_log>"

/** A corrupt InfoROM, for one, is told in a line of its own beside the document. */
function parted(text: string): { readonly xml: string; readonly remarks: string } {
  const end = text.lastIndexOf(ending)
  const start = text.search(/<\?xml|<nvidia_smi_log/)
  if (start < 0 || end < start) return { xml: text, remarks: "" }
  const stop = end + ending.length
  const remarks = `${text.slice(0, start)} ${text.slice(stop)}`.replaceAll(/[\s\ufeff]+/g, " ").trim()
  return { xml: text.slice(start, stop), remarks: remarks.slice(0, 1000) }
}

const cardOf = (gpu: Element): SmiCard => {
  const { fields, failures } = wordsOf(gpu, cardFields)
  const address = addressOf(gpu.attributes.get("id") ?? within(gpu, "pci", "pci_bus_id")?.text ?? "")
  return { address, fields: new Map([...fields, ...instancesOf(gpu)]), failures }
}

/** As the kernel spells it: the program writes domains with eight digits, and some releases in capitals. */
const addressOf = (id: string): string => id.toLowerCase().replace(/^0{0,4}(?=[0-9a-f]{4,8}:[0-9a-f]{2}:)/, "")

/** The parts into which a card is cut where MIG is on. */
const instancesOf = (gpu: Element): (readonly [string, string])[] =>
  (within(gpu, "mig_devices")?.children ?? []).slice(0, 64).map(each => {
    const told = (...names: readonly string[]): string => within(each, ...names)?.text ?? "?"
    const [gi, ci] = [told("gpu_instance_id"), told("compute_instance_id")]
    const size = told("device_attributes", "shared", "multiprocessor_count")
    return [`mig_device/${told("index")}`, `gpu instance ${gi}, compute instance ${ci}, ${size} multiprocessors`]
  })

/** What the program writes in place of a value: the words of NVML's errors (nvmlErrorString), some in brackets. */
const failure =
  /^\[?(?:ERR!|unknown error|gpu is lost|gpu requires reset|insufficient permissions|insufficient external power|function not found|not found|timeout|in use by another client|driver not loaded|irq issue|infoROM is corrupted)\]?$/i

function wordsOf(element: Element, paths: readonly string[]): Words {
  const [fields, failures] = [new Map<string, string>(), new Map<string, string>()]
  for (const path of paths) {
    const value = within(element, ...path.split("/"))?.text ?? ""
    if (value !== "") (failure.test(value) ? failures : fields).set(path, value)
  }
  return { fields, failures }
}

/** What it says of cards and driver. It is asked only where a driver is loaded: it could load one. */
export async function askSmi(host: Host): Promise<Found<Smi>> {
  const said = await host.says(nvidiaSmi, ["-q", "-x"])
  return said.state === "present" ? readSmi(said.value) : said
}

/** Its facts of the machine, and of a card: the program's name stands in front of what is its word. */
export const machineFacts = (smi: Smi): Fact[] => factsOf(smi, machineFields)
export const cardFacts = (card: SmiCard): Fact[] => factsOf(card, cardFields)

/** What this release of the program does not speak of is absent. */
function factsOf({ fields, failures }: Words, asked: readonly string[]): Fact[] {
  const more = [...fields.keys()].filter(each => !asked.includes(each))
  return [...asked, ...more].map(name => {
    const [value, problem] = [fields.get(name), failures.get(name)]
    const called = `nvidia-smi/${name}`
    if (value !== undefined) return known(called, value)
    return fact(
      called,
      problem === undefined ? { state: "absent" } : { state: "unreadable", problem: `says ${problem}` },
    )
  })
}

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
