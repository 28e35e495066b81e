/**
 * Which driver runs the accelerators, and which accelerators are there? From what the drivers and the PCI bus show in proc
 * and sysfs: self-reported by the kernel. A card's own signed report is another source's business.
 */
import type { Fact, Measurement } from "../../attestation/protocol/event.ts"
import { escaped } from "../escape.ts"
import type { Found, Host } from "../host.ts"
import { fact, filesAsFacts, known, lookedAt, measurements, type Source } from "./source.ts"

const nvidiaVersion = "/proc/driver/nvidia/version"
const nvidiaGpus = "/proc/driver/nvidia/gpus"
const pciDevices = "/sys/bus/pci/devices"

export const driver: Source = {
  name: "driver",
  measure: async ({ host }) => [
    ...(await nvidia(host)),
    ...(await nvidiaCards(host)),
    ...(await amdgpu(host)),
    ...(await displayDevices(host)),
  ],
}

async function nvidia(host: Host): Promise<Measurement[]> {
  const read = await host.readBytes(nvidiaVersion)
  const module = await host.stat("/sys/module/nvidia")
  if (read.state === "absent" && module.state === "absent")
    return measurements("driver", "nvidia", lookedAt([nvidiaVersion, "/sys/module/nvidia"]))
  const said = read.state === "present" ? versionFacts(read.value) : [fact(nvidiaVersion, read)]
  const loaded = await filesAsFacts(host, "/sys/module/nvidia", ["version", "srcversion", "taint"])
  return measurements("driver", "nvidia", [...said, ...loaded.map(prefixed("module")), ...(await settings(host))])
}

/** Both grammars of the NVRM line: "NVIDIA UNIX x86_64 Kernel Module  550.120 …" and "… Open Kernel Module for x86_64  595.91.07 …". */
const nvrm = /^NVRM version: NVIDIA UNIX (?:(Open) Kernel Module for (\S+)|(\S+) Kernel Module)\s+(\d+(?:\.\d+)+)\s/

function versionFacts(content: Uint8Array): Fact[] {
  const [first = "", second = ""] = Buffer.from(content).toString("latin1").split("\n")
  const match = nvrm.exec(`${first} `)
  const read: Fact[] = match
    ? [
        known("version", match[4] ?? ""),
        known("kind", match[1] ? "open" : "proprietary"),
        known("machine", match[2] ?? match[3] ?? ""),
      ]
    : [["unreadable", "version: the line is of neither known form"]]
  return [...read, known("line", bytes(first)), known("compiler", bytes(second))]
}

/** Lines are taken apart as Latin-1, so that every byte survives. */
const bytes = (text: string): Uint8Array => Buffer.from(text.trimEnd(), "latin1")

/** What the module was told at load: each parameter, and the registry of overrides. */
async function settings(host: Host): Promise<Fact[]> {
  const facts: Fact[] = []
  for (const name of ["params", "registry"]) {
    const read = await host.readBytes(`/proc/driver/nvidia/${name}`)
    if (read.state === "present")
      facts.push(...fields(read.value).map(([key, value]) => known(bytes(`${name}/${key}`), bytes(value))))
    else facts.push(fact(name, read))
  }
  return facts
}

/** Lines of "name: value", at most 256 of them. */
function fields(content: Uint8Array): [name: string, value: string][] {
  const lines = Buffer.from(content).toString("latin1").split("\n").slice(0, 256)
  return lines.flatMap(text => {
    const at = text.indexOf(":")
    return at < 0 ? [] : [[text.slice(0, at).trim(), text.slice(at + 1).trim()]]
  })
}

/** What the kernel assigns anew at a boot. */
const assigned = new Set(["IRQ", "Device Minor", "Bus Location", "DMA Size", "DMA Mask"])

async function nvidiaCards(host: Host): Promise<Measurement[]> {
  const listed = await host.list(nvidiaGpus)
  if (listed.state !== "present")
    return listed.state === "absent" ? [] : measurements("driver", "nvidia-cards", [fact(nvidiaGpus, listed)])
  const cards: Measurement[] = []
  for (const address of listed.value.slice(0, 64)) {
    const read = await host.readBytes(`${nvidiaGpus}/${address}/information`)
    const told =
      read.state === "present"
        ? fields(read.value)
            .filter(([name]) => !assigned.has(name))
            .map(cardFact)
        : []
    const facts = told.length > 0 ? told : [fact("information", read.state === "present" ? nothingSaid : read)]
    cards.push(...measurements("driver", `nvidia/${address}`, facts))
  }
  return cards
}

const nothingSaid: Found<never> = { state: "unreadable", problem: "says nothing of the card" }

/** Until a card is initialised its driver shows question marks: not a value. */
const cardFact = ([name, value]: [string, string]): Fact =>
  /^[?.]+$/.test(value)
    ? ["unreadable", escaped(bytes(`${name}: not known before the card is initialised`))]
    : known(bytes(name), bytes(value))

async function amdgpu(host: Host): Promise<Measurement[]> {
  const folder = "/sys/module/amdgpu"
  const module = await host.stat(folder)
  if (module.state !== "present") return measurements("driver", "amdgpu", [fact(folder, module)])
  const loaded = await filesAsFacts(host, folder, ["version", "srcversion", "taint"])
  return measurements("driver", "amdgpu", [known("module", "loaded"), ...loaded.map(prefixed("module"))])
}

const prefixed =
  (prefix: string) =>
  ([name, value]: Fact): Fact =>
    name === "absent" || name === "unreadable" ? [name, `${prefix}/${value}`] : [`${prefix}/${name}`, value]

/** PCI base classes (PCI Code and ID Assignment): 03 display controllers, 12 processing accelerators. */
const accelerator = /^0x(03|12)/
const deviceFields = ["class", "vendor", "device", "subsystem_vendor", "subsystem_device", "revision"]
/** What amdgpu shows beside them. */
const amdFields = ["vbios_version", "unique_id"]

async function displayDevices(host: Host): Promise<Measurement[]> {
  const listed = await host.list(pciDevices)
  if (listed.state !== "present") return measurements("driver", "pci", [fact(pciDevices, listed)])
  const devices: Measurement[] = []
  for (const address of listed.value) {
    const kind = await host.readLine(`${pciDevices}/${address}/class`)
    if (kind.state !== "present" || !accelerator.test(Buffer.from(kind.value).toString("latin1"))) continue
    devices.push(...measurements("driver", `pci/${address}`, await deviceFacts(host, `${pciDevices}/${address}`)))
  }
  return devices.length > 0 ? devices : measurements("driver", "pci", lookedAt([`${pciDevices} (class 03 and 12)`]))
}

async function deviceFacts(host: Host, folder: string): Promise<Fact[]> {
  const facts = await filesAsFacts(host, folder, deviceFields)
  facts.push(fact("driver", lastPart(await host.link(`${folder}/driver`))))
  const extra = await filesAsFacts(host, folder, amdFields)
  return [...facts, ...extra.filter(([name]) => name !== "absent"), ...(await firmwareVersions(host, folder))]
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
