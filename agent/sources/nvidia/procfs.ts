/**
 * What does NVIDIA's kernel driver say of itself and of its cards in proc? Whether others say the same: contradiction.ts.
 * The formats are those of the driver's nv-procfs.c, which is published with its open kernel modules.
 */
import type { Fact } from "../../../attestation/protocol/event.ts"
import { escaped } from "../../escape.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { fact, filesAsFacts, known, prefixed } from "../source.ts"

export const nvidiaVersion = "/proc/driver/nvidia/version"
const gpus = "/proc/driver/nvidia/gpus"
/** More cards than any machine has. */
const cardLimit = 64

/** `version` is the driver's own, as it says it, or "unknown". */
export type Driver = { readonly version: string; readonly facts: readonly Fact[] }
/** `fields` are the card's own words: of what is unknown there is none. */
export type Card = {
  readonly address: string
  readonly fields: ReadonlyMap<string, string>
  readonly facts: readonly Fact[]
}

/** Both grammars of the NVRM line: "NVIDIA UNIX x86_64 Kernel Module  550.120 …" and "… Open Kernel Module for x86_64  595.91.07 …". */
const nvrm = /^NVRM version: NVIDIA UNIX (?:(Open) Kernel Module for (\S+)|(\S+) Kernel Module)\s+(\d+(?:\.\d+)+)\s/

/** The driver; "none" where neither it nor its module is there. */
export async function nvidiaDriver(host: Host): Promise<Driver | "none"> {
  const read = await host.readBytes(nvidiaVersion)
  const module = await host.stat("/sys/module/nvidia")
  if (read.state === "absent" && module.state === "absent") return "none"
  const { version, facts } =
    read.state === "present" ? inVersion(read.value) : { version: "unknown", facts: [fact(nvidiaVersion, read)] }
  const loaded = await filesAsFacts(host, "/sys/module/nvidia", ["version", "srcversion", "taint"])
  const told = [...facts, ...loaded.map(prefixed("module")), ...(await settings(host)), ...(await patches(host))]
  return { version, facts: told }
}

function inVersion(content: Uint8Array): Driver {
  const [first = "", second = ""] = Buffer.from(content).toString("latin1").split("\n")
  const match = nvrm.exec(`${first} `)
  const lines = [known("line", bytes(first)), known("compiler", bytes(second))]
  if (!match)
    return { version: "unknown", facts: [["unreadable", "version: the line is of neither known form"], ...lines] }
  const [, open, openMachine, machine, version = ""] = match
  const read = [
    known("version", version),
    known("kind", open ? "open" : "proprietary"),
    known("machine", openMachine ?? machine ?? ""),
  ]
  return { version, facts: [...read, ...lines] }
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

/** Patches that the module says were applied to it: a file each. */
async function patches(host: Host): Promise<Fact[]> {
  const folder = "/proc/driver/nvidia/patches"
  const listed = await host.list(folder)
  if (listed.state !== "present") return listed.state === "absent" ? [] : [fact("patches", listed)]
  const facts = await filesAsFacts(host, folder, listed.value.slice(0, 64))
  return facts.map(prefixed("patches"))
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

/** Each card that the driver runs, by its address on the PCI bus. */
export async function nvidiaCards(host: Host): Promise<Found<readonly Card[]>> {
  const listed = await host.list(gpus)
  if (listed.state !== "present") return listed
  const cards: Card[] = []
  for (const address of listed.value.slice(0, cardLimit)) cards.push(await cardAt(host, address))
  return { state: "present", value: cards }
}

async function cardAt(host: Host, address: string): Promise<Card> {
  const read = await host.readBytes(`${gpus}/${address}/information`)
  if (read.state !== "present") return { address, fields: new Map(), facts: [fact("information", read)] }
  const told = fields(read.value).filter(([name]) => !assigned.has(name))
  const overrides = await host.readLine(`${gpus}/${address}/registry`)
  const registry = overrides.state === "absent" ? [] : [fact("registry", overrides)]
  const facts = told.length > 0 ? told.map(cardFact) : [fact("information", nothingSaid)]
  return { address, fields: new Map(told.filter(([, value]) => !isUnknown(value))), facts: [...facts, ...registry] }
}

const nothingSaid: Found<never> = { state: "unreadable", problem: "says nothing of the card" }

/** Until a card is initialised its driver shows question marks: not a value. */
const isUnknown = (value: string): boolean => value.includes("??")

const cardFact = ([name, value]: [string, string]): Fact =>
  isUnknown(value)
    ? ["unreadable", escaped(bytes(`${name}: not known before the card is initialised`))]
    : known(bytes(name), bytes(value))
