/**
 * What does rocm-smi say of AMD's cards? Its own word, of what is the same tomorrow: each fact is named after it. The keys of its
 * JSON change case and wording between releases; what is not recognised is left out.
 */
import { z } from "zod"
import type { Found } from "../../found.ts"
import type { Fact } from "../../../attestation/protocol/event.ts"
import type { Host } from "../../host.ts"
import { fact, known } from "../source.ts"

export const rocmSmi = "/opt/rocm/bin/rocm-smi"
const question = ["--showid", "--showuniqueid", "--showvbios", "--showfwinfo", "--showproductname", "--showbus"]

/** `driver` and `address` may be "unknown"; `address` is the card's on the PCI bus. */
export type RocmCard = { readonly address: string; readonly fields: ReadonlyMap<string, string> }
export type Rocm = { readonly driver: string; readonly cards: readonly RocmCard[] }

/** What is neither text nor a number is of no interest, and no reason to leave out the rest. */
const said = z.record(z.string(), z.record(z.string(), z.unknown()))
type Fields = Readonly<Record<string, unknown>>
const steady =
  /^(?:card (?:series|model|vendor|sku)|device (?:name|id|rev)|gpu id|subsystem id|unique id|vbios version|gfx version|gpu memory vendor|.{1,24} firmware version)$/

/** What the program writes with --json. */
export function readRocm(output: Uint8Array): Found<Rocm> {
  const parsed = said.safeParse(jsonIn(output))
  const entries = parsed.success ? Object.entries(parsed.data) : []
  const cards = entries.filter(([name]) => /^card\d{1,3}$/i.test(name))
  if (cards.length === 0) return { state: "unreadable", problem: "its JSON is not in the known form" }
  const system = lowered(entries.find(([name]) => name.toLowerCase() === "system")?.[1] ?? {})
  return {
    state: "present",
    value: {
      driver: system.get("driver version") ?? "unknown",
      cards: cards.slice(0, 64).map(([, each]) => cardIn(each)),
    },
  }
}

/** Some releases warn of cards that sleep before they say the rest. */
function jsonIn(bytes: Uint8Array): unknown {
  const text = Buffer.from(bytes).toString("utf8")
  try {
    return JSON.parse(text.slice(Math.max(text.indexOf("{"), 0), text.lastIndexOf("}") + 1))
  } catch {
    return undefined
  }
}

const lowered = (fields: Fields): ReadonlyMap<string, string> =>
  new Map(
    Object.entries(fields).flatMap(([name, value]) =>
      typeof value === "string" || typeof value === "number" ? [[name.toLowerCase().trim(), String(value).trim()]] : [],
    ),
  )

function cardIn(fields: Fields): RocmCard {
  const all = lowered(fields)
  const kept = [...all].filter(([name, value]) => steady.test(name) && value !== "")
  return { address: all.get("pci bus")?.toLowerCase() ?? "unknown", fields: new Map(kept.slice(0, 128)) }
}

/** What it says of the cards that amdgpu runs. */
export async function askRocm(host: Host): Promise<Found<Rocm>> {
  const answer = await host.says(rocmSmi, [...question, "--showdriverversion", "--json"])
  return answer.state === "present" ? readRocm(answer.value) : answer
}

/** What every release says of a card, if it can. */
const usual = ["vbios version", "unique id"]

/** Its facts: the program's name stands in front of what is its word. */
export const rocmFacts = ({ fields }: RocmCard): Fact[] => [
  ...[...fields].map(([name, value]) => known(`rocm-smi/${name}`, value)),
  ...usual.filter(name => !fields.has(name)).map(name => fact(`rocm-smi/${name}`, { state: "absent" })),
]
