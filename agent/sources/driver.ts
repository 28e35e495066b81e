/**
 * Which driver runs the accelerators, and which accelerators are there? From what drivers and the PCI bus show in proc and
 * sysfs, and from what nvidia-smi adds, as its own word; where they disagree, that is a fact. A card's own signed report is
 * another source's business: here it is told why there is none.
 */
import type { Found } from "../found.ts"
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import type { Host } from "../host.ts"
import { askRocm, type RocmCard, rocmFacts, rocmSmi } from "./amd/rocm-smi.ts"
import { cardContradictions, contradictions, listContradictions } from "./nvidia/contradiction.ts"
import { firmwareFacts, libraryVersions } from "./nvidia/files.ts"
import { type Card, type Driver, nvidiaCards, nvidiaDriver, nvidiaVersion } from "./nvidia/procfs.ts"
import { askSmi, cardFacts, confidentialComputing, machineFacts, nvidiaSmi, type Smi } from "./nvidia/smi.ts"
import {
  type Context,
  digestFacts,
  fact,
  filesAsFacts,
  lookedAt,
  known,
  measurements,
  prefixed,
  type Source,
} from "./source.ts"

const pciDevices = "/sys/bus/pci/devices"

export const driver: Source = {
  name: "driver",
  measure: async context => {
    const devices = await displayDevices(context.host)
    return [...(await nvidia(context, devices)), ...(await amdgpu(context, devices)), ...devicesTold(devices)]
  },
}

async function nvidia(context: Context, devices: Devices): Promise<Measurement[]> {
  const { host } = context
  const loaded = await nvidiaDriver(host)
  if (loaded === "none") return measurements("driver", "nvidia", lookedAt([nvidiaVersion, "/sys/module/nvidia"]))
  const cards = await nvidiaCards(host)
  const smi = await askSmi(host)
  const compared = [...(await versionContradictions(host, loaded, smi)), ...missingCards(cards, smi, devices)]
  const mode = smi.state === "present" ? await confidentialComputing(host, loaded.version) : []
  return [
    ...measurements("driver", "nvidia", [...loaded.facts, attestation(mode), ...compared]),
    ...cardsTold(cards, smi, loaded.version),
    ...measurements("driver", "nvidia-firmware", await firmwareFacts(context, loaded.version)),
    ...measurements("driver", "nvidia-smi", await smiTold(context, smi, mode)),
  ]
}

/** The module as it is loaded, the libraries that are installed, and the program: an upgrade without a reboot parts them. */
async function versionContradictions(host: Host, { version }: Driver, smi: Found<Smi>): Promise<Fact[]> {
  const module = await host.readLine("/sys/module/nvidia/version")
  const libraries = await libraryVersions(host)
  return contradictions("driver version", [
    { by: "driver", value: version },
    { by: "/sys/module/nvidia", value: module.state === "present" ? Buffer.from(module.value).toString() : undefined },
    { by: "nvidia-smi", value: smi.state === "present" ? smi.value.fields.get("driver_version") : undefined },
    ...libraries.map(({ name, version: value }) => ({ by: name, value })),
  ])
}

/** Only those are compared that say anything at all, and no card that the driver was told to leave alone, or that is hidden. */
function missingCards(cards: Found<readonly Card[]>, smi: Found<Smi>, devices: Devices): Fact[] {
  const lists: { by: string; addresses: readonly string[] }[] = []
  if (cards.state === "present") lists.push({ by: "driver", addresses: cards.value.map(each => each.address) })
  if (smi.state === "present") lists.push({ by: "nvidia-smi", addresses: smi.value.cards.map(each => each.address) })
  if (devices.state === "present")
    lists.push({
      by: "PCI",
      addresses: devices.value.filter(each => each.driver === "nvidia").map(each => each.address),
    })
  const left = cards.state === "present" ? cards.value.filter(each => each.fields.get("GPU Excluded") === "Yes") : []
  const hidden = devices.state === "present" ? devices.value.filter(each => each.driver === "unknown") : []
  const excluded = new Set([...left, ...hidden].map(each => each.address))
  return listContradictions(
    lists.map(({ by, addresses }) => ({ by, addresses: addresses.filter(each => !excluded.has(each)) })),
  )
}

function cardsTold(cards: Found<readonly Card[]>, smi: Found<Smi>, version: string): Measurement[] {
  if (cards.state === "unreadable") return measurements("driver", "nvidia-cards", [fact("cards", cards)])
  const listed = cards.state === "present" ? cards.value : []
  return listed.flatMap(card => {
    const own = smi.state === "present" ? smi.value.cards.find(each => each.address === card.address) : undefined
    const words = own ? cardFacts(own) : []
    const facts = [...card.facts, ...words, ...cardContradictions(card, own, version)]
    return measurements("driver", `nvidia/${card.address}`, facts)
  })
}

async function smiTold(context: Context, smi: Found<Smi>, mode: readonly Fact[]): Promise<Fact[]> {
  if (smi.state !== "present") return [fact(nvidiaSmi, smi)]
  const program = (await digestFacts(context, nvidiaSmi)).map(prefixed("program"))
  return [...program, ...machineFacts(smi.value), ...mode]
}

/** A card's own signed report needs a card in confidential mode; why this machine has none. */
function attestation(mode: readonly Fact[]): Fact {
  const [, state] = mode.find(([name]) => /^nvidia-smi\/conf-compute\/CC (?:State|status)$/i.test(name)) ?? []
  if (state === undefined) return known("attestation", "unavailable: nothing shows confidential computing")
  const on = /^on$/i.test(state)
  return known(
    "attestation",
    `unavailable: ${on ? "this agent asks no card for a report" : "confidential computing is off"}`,
  )
}

async function amdgpu(context: Context, devices: Devices): Promise<Measurement[]> {
  const { host } = context
  const folder = "/sys/module/amdgpu"
  const module = await host.stat(folder)
  if (module.state !== "present") return measurements("driver", "amdgpu", [fact(folder, module)])
  const loaded = await filesAsFacts(host, folder, ["version", "srcversion", "taint"])
  const facts = [known("module", "loaded"), ...loaded.map(prefixed("module"))]
  return [...measurements("driver", "amdgpu", facts), ...(await rocm(context, devices))]
}

/** rocm-smi, where it is installed: what it says of each card, and where the kernel says otherwise. */
async function rocm(context: Context, devices: Devices): Promise<Measurement[]> {
  const answer = await askRocm(context.host)
  if (answer.state !== "present") return measurements("driver", "rocm-smi", [fact(rocmSmi, answer)])
  const program = (await digestFacts(context, rocmSmi)).map(prefixed("program"))
  const { driver: version, cards } = answer.value
  const own = version === "unknown" ? [] : [known("rocm-smi/driver version", version)]
  const listed = devices.state === "present" ? devices.value : []
  return [
    ...measurements("driver", "rocm-smi", [...program, ...own]),
    ...cards.flatMap(card => {
      const disputed = amdContradictions(card, listed.find(each => each.address === card.address)?.facts ?? [])
      return measurements("driver", `rocm-smi/${card.address}`, [...rocmFacts(card), ...disputed])
    }),
  ]
}

function amdContradictions({ fields }: RocmCard, shown: readonly Fact[]): Fact[] {
  const kernel = (name: string): string | undefined => shown.find(each => each[0] === name)?.[1]
  return contradictions("VBIOS", [
    { by: "amdgpu", value: kernel("vbios_version") },
    { by: "rocm-smi", value: fields.get("vbios version") },
  ])
}

/** PCI Code and ID Assignment: base class 03 display controllers, 12 processing accelerators, 0b40 co-processors. */
const accelerator = /^0x(?:03|12|0b40)/
const deviceFields = ["class", "vendor", "device", "subsystem_vendor", "subsystem_device", "revision"]
/** What amdgpu shows beside them. */
const amdFields = ["vbios_version", "unique_id"]

/** `driver`: "none" where none is bound, "unknown" where that may not be seen. */
type Device = { readonly address: string; readonly driver: string; readonly facts: readonly Fact[] }
type Devices = Found<readonly Device[]>

async function displayDevices(host: Host): Promise<Devices> {
  const listed = await host.list(pciDevices)
  if (listed.state !== "present") return listed
  const devices: Device[] = []
  for (const address of listed.value) {
    const kind = await host.readLine(`${pciDevices}/${address}/class`)
    if (kind.state === "unreadable") devices.push({ address, driver: "unknown", facts: [fact("class", kind)] })
    else if (kind.state === "present" && accelerator.test(Buffer.from(kind.value).toString("latin1")))
      devices.push(await deviceAt(host, address))
  }
  return { state: "present", value: devices }
}

function devicesTold(devices: Devices): Measurement[] {
  if (devices.state !== "present") return measurements("driver", "pci", [fact(pciDevices, devices)])
  if (devices.value.length === 0)
    return measurements("driver", "pci", lookedAt([`${pciDevices} (class 03, 12 and 0b40)`]))
  return devices.value.flatMap(({ address, facts }) => measurements("driver", `pci/${address}`, facts))
}

async function deviceAt(host: Host, address: string): Promise<Device> {
  const folder = `${pciDevices}/${address}`
  const facts = await filesAsFacts(host, folder, deviceFields)
  const bound = lastPart(await host.link(`${folder}/driver`))
  const extra = await filesAsFacts(host, folder, amdFields)
  const told = [...facts, fact("driver", bound), ...extra.filter(([name]) => name !== "absent")]
  const driver = bound.state === "present" ? bound.value : bound.state === "absent" ? "none" : "unknown"
  return { address, driver, facts: [...told, ...(await firmwareVersions(host, folder))] }
}

/** amdgpu shows the version of each firmware that it put onto the card. */
async function firmwareVersions(host: Host, folder: string): Promise<Fact[]> {
  const listed = await host.list(`${folder}/fw_version`)
  if (listed.state !== "present") return listed.state === "absent" ? [] : [fact("fw_version", listed)]
  const facts = await filesAsFacts(host, `${folder}/fw_version`, listed.value.slice(0, 64))
  return facts.map(prefixed("fw_version"))
}

const lastPart = (found: Found<string>): Found<string> =>
  found.state === "present" ? { state: "present", value: found.value.slice(found.value.lastIndexOf("/") + 1) } : found
