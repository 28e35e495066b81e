/** Is Secure Boot on, what does it admit and forbid, and who vouched for what was loaded? PCR 7, where every event proves its data. */
import { hash } from "node:crypto"
import { plainLine } from "../../wire/text.ts"
import { ofType, type ProvenEvent, readable } from "./proven.ts"
import { type Authority, readAuthority, readSignatureLists, readVariable, type Signature, vendors } from "./variable.ts"

/** A signature database as it was measured. */
export type Database = {
  /** SHA-256 of the variable, in hex: what to compare first */
  readonly sha256: string
  /** undefined where its lists cannot be read */
  readonly signatures: readonly Signature[] | undefined
}

/** An authority, and the variable in which it was found: db, shim's own, MokList. */
export type NamedAuthority = Authority & { readonly variable: string }

export type SecureBoot = {
  /** absent: the firmware has no such variable; unknown: PCR 7 is not proven, or says it not at all, twice, or late */
  readonly state: "on" | "off" | "absent" | "unknown"
  readonly platformKey: Database | undefined
  readonly keyExchangeKeys: Database | undefined
  readonly allowed: Database | undefined
  readonly forbidden: Database | undefined
  /** each once, in the order of first use. Programs may add to them after the boot: they show who vouched, not that nobody else did */
  readonly authorities: readonly NamedAuthority[]
  /** the revocations of boot loaders that shim enforces (SBAT), as text */
  readonly sbatLevel: string | undefined
  /** other variables before the separator: AuditMode, DeployedMode and a vendor's own, name → value in hex */
  readonly others: Readonly<Record<string, string>>
  /** what the firmware did on its own account, for example "DMA Protection Disabled" */
  readonly actions: readonly string[]
}

type Policy = { readonly vendor: string; readonly name: string; readonly data: Uint8Array }

/** What the proven events of PCR 7 say. */
export function secureBootOf(events: readonly ProvenEvent[]): SecureBoot {
  const policies = ofType(events, 7, "EFI_VARIABLE_DRIVER_CONFIG").flatMap(policyOf)
  const authorities = ofType(events, 7, "EFI_VARIABLE_AUTHORITY").flatMap(variableOf)
  return {
    state: stateOf(policies),
    platformKey: databaseOf(policies, vendors.global, "PK"),
    keyExchangeKeys: databaseOf(policies, vendors.global, "KEK"),
    allowed: databaseOf(policies, vendors.imageSecurity, "db"),
    forbidden: databaseOf(policies, vendors.imageSecurity, "dbx"),
    authorities: distinct(authorities.filter(each => each.data.length > 32).flatMap(authorityOf)),
    sbatLevel: sbatLevelOf(authorities),
    others: othersOf(policies),
    actions: ofType(events, 7, "EFI_ACTION", "ACTION").flatMap(each => (each.content ? [textOf(each.content)] : [])),
  }
}

const textOf = (bytes: Uint8Array): string => plainLine(Buffer.from(bytes).toString("latin1").replace(/\0+$/, ""), 1024)

/** A variable that the firmware measured before it handed over, and whose value the digest proves. */
const policyOf = (event: ProvenEvent): Policy[] => (event.phase === "firmware" ? variableOf(event) : [])

function variableOf({ content }: ProvenEvent): Policy[] {
  const variable = content && readable(() => readVariable(content))
  return variable ? [variable] : []
}

const named = (policies: readonly Policy[], vendor: string, name: string): Policy[] =>
  policies.filter(each => each.vendor === vendor && each.name === name)

function stateOf(policies: readonly Policy[]): SecureBoot["state"] {
  const [only, another] = named(policies, vendors.global, "SecureBoot")
  if (!only || another) return "unknown"
  if (only.data.length === 0) return "absent"
  if (only.data.length > 1) return "unknown"
  return only.data[0] === 1 ? "on" : "off"
}

function databaseOf(policies: readonly Policy[], vendor: string, name: string): Database | undefined {
  const [only, another] = named(policies, vendor, name)
  if (!only || another) return undefined
  return { sha256: hash("sha256", only.data), signatures: readable(() => readSignatureLists(only.data)) }
}

function authorityOf({ name, data }: Policy): NamedAuthority[] {
  if (name === "SbatLevel") return []
  const authority = readable(() => readAuthority(data))
  return authority ? [{ variable: name, ...authority }] : []
}

const distinct = (authorities: readonly NamedAuthority[]): NamedAuthority[] => [
  ...new Map(authorities.map(each => [`${each.variable} ${each.digest}`, each])).values(),
]

function sbatLevelOf(authorities: readonly Policy[]): string | undefined {
  const [level] = named(authorities, vendors.shim, "SbatLevel")
  return level && textOf(level.data)
}

function othersOf(policies: readonly Policy[]): Record<string, string> {
  const known = new Set(["SecureBoot", "PK", "KEK", "db", "dbx"])
  const rest = policies.filter(each => !known.has(each.name))
  return Object.fromEntries(
    rest.map(each => [each.name, Buffer.from(each.data.subarray(0, 256)).toString("hex")] as const),
  )
}
