/**
 * What may boot here? The UEFI variables that decide it, as efivarfs shows them, shim's own beside them, and the versions of
 * firmware that the ESRT lists. The authority on what did boot is the TPM's event log.
 */
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Found } from "../../found.ts"
import type { Host } from "../../host.ts"
import { contentDigest, contradiction, fact, filesAsFacts, known, prefixed } from "../source.ts"

/** UEFI 2.10, 3.3 and 32.6.1: the vendor GUIDs of the variables; shim's is its own. */
const global = "8be4df61-93ca-11d2-aa0d-00e098032b8c"
const imageSecurity = "d719b2cb-3d3a-4596-a3bc-dad00e67656f"
const shim = "605dab50-e046-4300-abb6-3dd810dd8b23"
const flags = [`SecureBoot-${global}`, `SetupMode-${global}`, `AuditMode-${global}`, `DeployedMode-${global}`]
const databases = [`PK-${global}`, `KEK-${global}`, `db-${imageSecurity}`, `dbx-${imageSecurity}`]
/** Keys that the machine's owner enrolled, and hashes: shim accepts them as the firmware does its own. */
const shimDatabases = ["MokListRT", "MokListXRT", "MokSBStateRT", "SbatLevelRT"].map(each => `${each}-${shim}`)
const variables = "/sys/firmware/efi/efivars"

export async function uefiFacts(host: Host): Promise<Fact[]> {
  const efi = await host.stat("/sys/firmware/efi")
  if (efi.state !== "present") return [fact("/sys/firmware/efi", efi)]
  const facts: Fact[] = [known("boot", "uefi")]
  for (const name of flags) facts.push(fact(nameOf(name), flagIn(await host.readBytes(`${variables}/${name}`, 16))))
  for (const name of databases) facts.push(fact(nameOf(name), await variableDigest(host, name)))
  for (const name of shimDatabases) {
    const digest = await variableDigest(host, name)
    if (digest.state !== "absent") facts.push(fact(nameOf(name), digest))
  }
  return [...facts, ...impossible(facts), ...(await resourceFacts(host))]
}

const nameOf = (variable: string): string => variable.slice(0, variable.indexOf("-"))

const variableDigest = async (host: Host, name: string): Promise<Found<string>> =>
  contentDigest(withoutAttributes(await host.readBytes(`${variables}/${name}`, 1 << 20)))

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

/** UEFI 2.10, 32.3: without a platform key there is no Secure Boot. */
function impossible(facts: readonly Fact[]): Fact[] {
  const has = (name: string, value: string): boolean => facts.some(each => each[0] === name && each[1] === value)
  return has("SecureBoot", "on") && has("SetupMode", "on")
    ? [contradiction("Secure Boot", ["SecureBoot says on", "SetupMode says that no platform key is enrolled"])]
    : []
}

/** The EFI System Resource Table: firmware of the machine and its devices by class, each with its version. */
async function resourceFacts(host: Host): Promise<Fact[]> {
  const folder = "/sys/firmware/efi/esrt/entries"
  const listed = await host.list(folder)
  if (listed.state !== "present") return listed.state === "absent" ? [] : [fact("esrt", listed)]
  const facts: Fact[] = []
  for (const entry of listed.value.slice(0, 64)) {
    const told = await filesAsFacts(host, `${folder}/${entry}`, [
      "fw_class",
      "fw_type",
      "fw_version",
      "lowest_supported_fw_version",
    ])
    facts.push(...told.map(prefixed(`esrt/${entry}`)))
  }
  return facts
}
