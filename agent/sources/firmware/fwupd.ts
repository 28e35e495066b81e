/**
 * Which firmware does fwupd know of: of disks, docks, network cards, and once more of the machine itself? Its own word, by its
 * program; where the kernel or SMBIOS speak of the same firmware and differ, that is a fact. Which updates there are is no fact.
 */
import { z } from "zod"
import type { Fact, Measurement } from "../../../attestation/protocol/event.ts"
import { escaped } from "../../escape.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { type Context, contradiction, digestFacts, fact, known, measurements, prefixed } from "../source.ts"

export const fwupdmgr = "/usr/bin/fwupdmgr"
/** Without it the program reaches no fwupd, and says so at length. */
const bus = "/run/dbus/system_bus_socket"

const word = z.string().max(512)
const device = z.object({
  Name: word.default("unnamed"),
  DeviceId: z.string().regex(/^[0-9a-f]{40}$/),
  Plugin: word.optional(),
  Vendor: word.optional(),
  VendorId: word.optional(),
  Version: word.optional(),
  VersionLowest: word.optional(),
  VersionBootloader: word.optional(),
  VersionRaw: z.int().min(0).optional(),
  Guid: z.array(word).max(64).default([]),
  Checksums: z.array(word).max(16).default([]),
})
const said = z.object({ Devices: z.array(device).max(256) })
export type Device = z.infer<typeof device>

const told = ["Plugin", "Vendor", "VendorId", "Version", "VersionLowest", "VersionBootloader"] as const

/** What the program writes with --json. */
export function readDevices(output: Uint8Array): Found<readonly Device[]> {
  const parsed = said.safeParse(jsonIn(output))
  return parsed.success
    ? { state: "present", value: parsed.data.Devices }
    : { state: "unreadable", problem: "its JSON is not in the known form" }
}

function jsonIn(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString("utf8"))
  } catch {
    return undefined
  }
}

/** The inventory, where fwupd is installed. `own`: what was measured of the machine's firmware, to compare it with. */
export async function fwupd(context: Context, own: readonly Measurement[]): Promise<Measurement[]> {
  const answer = await ask(context.host)
  if (answer.state !== "present") return measurements("firmware", "fwupd", [fact(fwupdmgr, answer)])
  const itself = (await digestFacts(context, fwupdmgr)).map(prefixed("program"))
  const devices = answer.value.toSorted((a, b) => (a.DeviceId < b.DeviceId ? -1 : 1))
  const compared = devices.flatMap(each => contradictionsOf(each, own))
  return measurements("firmware", "fwupd", [...itself, ...devices.flatMap(deviceFacts), ...compared])
}

async function ask(host: Host): Promise<Found<readonly Device[]>> {
  const program = await host.stat(fwupdmgr)
  if (program.state !== "present") return program
  const there = await host.stat(bus)
  if (there.state === "unreadable") return there
  if (there.state === "absent") return { state: "unreadable", problem: `there is no bus at ${bus}` }
  const answer = await host.says(fwupdmgr, ["get-devices", "--json"])
  return answer.state === "present" ? readDevices(answer.value) : answer
}

/** Two devices may have one name: the beginning of fwupd's own number of the device tells them apart. */
function deviceFacts(each: Device): Fact[] {
  const name = `${escaped(each.Name, 128)} ${each.DeviceId.slice(0, 8)}`
  const facts = told.flatMap(key => (each[key] === undefined ? [] : [known(key, each[key])]))
  return [...facts, ...each.Checksums.map(sum => known("Checksum", sum))].map(prefixed(`fwupd/${name}`))
}

/** fwupd's plugins that speak of what is measured here too: bios of SMBIOS, cpu of the microcode, uefi_capsule of the ESRT. */
function contradictionsOf(each: Device, own: readonly Measurement[]): Fact[] {
  const factOf = (subject: string, name: string): string | undefined =>
    own.find(event => event.subject === subject)?.facts.find(([key]) => key === name)?.[1]
  const differs = (about: string, where: string, shown: string | undefined, word: string | undefined): Fact[] =>
    shown === undefined || word === undefined || sameVersion(shown, word)
      ? []
      : [contradiction(about, [`${where} says ${shown}`, `fwupd says ${escaped(word, 512)}`])]
  if (each.Plugin === "bios")
    return differs("system firmware", "/sys/class/dmi/id", factOf("smbios", "bios_version"), each.Version)
  if (each.Plugin === "cpu") return differs("microcode", "the kernel", factOf("microcode", "revision"), each.Version)
  if (each.Plugin !== "uefi_capsule") return []
  const entries = own.find(event => event.subject === "uefi")?.facts ?? []
  const entry = entries.find(([name, value]) => /^esrt\/\w+\/fw_class$/.test(name) && each.Guid.includes(value))?.[0]
  const version = entry && factOf("uefi", entry.replace(/fw_class$/, "fw_version"))
  return differs(each.Name, "the ESRT", version, each.VersionRaw === undefined ? undefined : String(each.VersionRaw))
}

/** A number may be written in decimal or in hexadecimal. */
function sameVersion(a: string, b: string): boolean {
  const number = (text: string): bigint | string =>
    /^(?:0x[0-9a-f]{1,16}|\d{1,19})$/i.test(text) ? BigInt(text) : text
  return number(a) === number(b)
}
